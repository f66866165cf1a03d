"""The graph: alone, streamed, watched, checkpointed, and inside another graph."""

from __future__ import annotations

import asyncio
import json
from functools import reduce
from importlib import import_module
from operator import add
from pathlib import Path
from typing import Any

import pytest

import mollm
from mollm import Options
from mollm.calling.calls import Allowance
from mollm.errors import AggregationError, BadRequest, LimitError, ProviderFailed, QuorumError, RequestError
from mollm.events import Arrived, Done, Routed, Started, Token
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.plain import answer_from_plain
from mollm.run import Run
from mollm.types import Answer, Usage

CONFIG: dict[str, Any] = {
    "llms": {name: {"model": "scripted/unused"} for name in ("a", "b", "c", "boss")},
    "router": {"kind": "fixed", "fallback": "team"},
    "mixtures": {
        "team": {"description": "Three and a boss.", "workers": ["a", "b", "c"], "aggregator": {"llm": "boss"}},
        "solo": {"description": "One alone.", "workers": ["a"]},
        "two_layers": {"description": "Twice.", "workers": ["a", "b"], "aggregator": {"llm": "boss"}, "layers": 2},
        "two_workers": {"description": "Two.", "workers": ["a", "b"], "aggregator": {"llm": "boss"}},
        "vote": {"description": "Vote.", "workers": ["a", "b", "c"], "aggregator": {"method": "vote"}},
    },
}


def fakes(**scripts: Any) -> dict[str, ScriptedLLM]:
    """Four LLMs that say their names, or what is given."""
    said = {"a": "from a", "b": "from b", "c": "from c", "boss": "the whole answer"} | scripts
    return {name: ScriptedLLM(script) for name, script in said.items()}


def ask(text: str = "What is a heap?") -> dict[str, Any]:
    """A graph's input."""
    return {"messages": [("user", text)]}


def answer_of(result: Any) -> Answer:
    """The answer as an object."""
    return answer_from_plain(result["mollm"])


def test_it_answers_under_invoke_without_an_event_loop() -> None:
    """`invoke` brings the conversation with the answer added, and the answer as plain data."""
    result = mollm.create_graph(CONFIG, llms=fakes()).invoke(ask())

    assert [type(m).__name__ for m in result["messages"]] == ["HumanMessage", "AIMessage"]
    assert result["messages"][-1].content == "the whole answer"
    assert set(result) == {"messages", "mollm"}
    answer = answer_of(result)
    assert answer.text == "the whole answer"
    assert [p.text for p in answer.proposals] == ["from a", "from b", "from c"]
    assert answer.calls == 4
    assert [call.role for call in answer.breakdown] == ["worker", "worker", "worker", "aggregator"]


async def test_it_answers_under_ainvoke_and_inside_a_running_loop() -> None:
    """Both entry points work where a loop runs, as in a notebook."""
    graph = mollm.create_graph(CONFIG, llms=fakes())

    assert answer_of(await graph.ainvoke(ask())).text == "the whole answer"
    assert answer_of(graph.invoke(ask())).text == "the whole answer"


async def test_the_aggregator_sees_every_proposal_fenced_and_without_names() -> None:
    """What the workers wrote reaches the aggregator; who wrote it does not."""
    llms = fakes(a="alpha", b="beta", c="gamma")

    await mollm.create_graph(CONFIG, llms=llms).ainvoke(ask())

    prompt = llms["boss"].requests[0].messages[-1]["content"]
    assert all(text in prompt for text in ("alpha", "beta", "gamma", "What is a heap?"))
    assert "<answer-" in prompt
    assert "boss" not in prompt


async def test_context_chooses_the_mixture_and_settings() -> None:
    """`context` takes the options of one request, as an `Options` or as a dictionary."""
    llms = fakes()
    graph = mollm.create_graph(CONFIG, llms=llms)

    first = answer_of(await graph.ainvoke(ask(), context=Options(mixture="solo", temperature=0.5, max_tokens=9)))
    second = answer_of(await graph.ainvoke(ask(), context={"mixture": "solo", "seed": 3}))

    assert first.mixture == second.mixture == "solo"
    assert first.route.router == "caller"
    assert llms["a"].requests[0].settings.temperature == 0.5
    assert llms["a"].requests[0].settings.max_tokens == 9
    assert llms["a"].requests[1].settings.seed == 3


async def test_a_bypass_calls_one_llm_once() -> None:
    """One worker in one layer: no aggregator, the reply is the answer."""
    llms = fakes()

    answer = answer_of(await mollm.create_graph(CONFIG, llms=llms).ainvoke(ask(), context={"mixture": "solo"}))

    assert answer.text == "from a"
    assert answer.calls == 1
    assert [len(llm.requests) for llm in llms.values()] == [1, 0, 0, 0]
    assert [p.worker for p in answer.proposals] == ["a"]


async def test_a_bypass_that_fails_is_the_failure_itself() -> None:
    """There is nobody to fall back on, so the caller sees what happened."""
    graph = mollm.create_graph(CONFIG, llms=fakes(a=ProviderFailed("down")))

    with pytest.raises(ProviderFailed, match="a: down"):
        await graph.ainvoke(ask(), context={"mixture": "solo"})


async def test_a_later_layer_sees_the_earlier_proposals() -> None:
    """With two layers each worker answers twice, the second time knowing what all said."""
    llms = fakes(a="alpha", b="beta")

    answer = answer_of(await mollm.create_graph(CONFIG, llms=llms).ainvoke(ask(), context={"mixture": "two_layers"}))

    assert [p.layer for p in answer.proposals] == [1, 1, 2, 2]
    assert "alpha" not in llms["b"].requests[0].messages[-1]["content"]
    assert "alpha" in llms["b"].requests[1].messages[-1]["content"]
    assert answer.calls == 5


async def test_a_later_layer_is_asked_for_answers_whatever_the_method() -> None:
    """With `best` the judge is asked for a number; the workers of the second layer are not."""
    mixture = {**CONFIG["mixtures"]["two_layers"], "aggregator": {"method": "best", "llm": "boss"}}
    llms = fakes(boss="2")

    await mollm.create_graph({**CONFIG, "mixtures": {"team": mixture}}, llms=llms).ainvoke(ask())

    assert "number" not in llms["a"].requests[1].messages[-1]["content"].replace("number=", "")
    assert "number" in llms["boss"].requests[0].messages[-1]["content"].replace("number=", "")


async def test_a_later_layer_that_fails_does_not_cost_the_earlier_one() -> None:
    """The answer is made of the last layer that met the quorum, and says so."""
    llms = fakes(a=["alpha", ProviderFailed("down")], b=["beta", ProviderFailed("down")])
    once = {name: {"model": "scripted/x", "retries": 0} for name in CONFIG["llms"]}

    found = await mollm.create_graph({**CONFIG, "llms": once}, llms=llms).ainvoke(
        ask(), context={"mixture": "two_layers"}
    )

    answer = answer_of(found)
    assert answer.text == "the whole answer"
    assert "alpha" in llms["boss"].requests[0].messages[-1]["content"]
    assert answer.degraded == ("layer 2 does not count: 0 of at least 1 workers answered",)


async def test_samples_differ_also_by_a_configured_seed() -> None:
    """Three samples of an LLM with a seed are three seeds, or they would agree with themselves."""
    seeded = {**CONFIG["llms"], "a": {"model": "scripted/x", "seed": 7}}
    mixture = {"description": "x", "workers": [{"llm": "a", "samples": 3}], "aggregator": {"llm": "boss"}}
    llms = fakes()

    await mollm.create_graph({**CONFIG, "llms": seeded, "mixtures": {"team": mixture}}, llms=llms).ainvoke(ask())

    assert [request.settings.seed for request in llms["a"].requests] == [7, 8, 9]


async def test_a_run_can_be_resumed_after_an_interrupt() -> None:
    """What is checkpointed are seconds used, not a clock that another process does not have."""
    from langgraph.checkpoint.memory import InMemorySaver

    llms = fakes()
    graph: Any = mollm.create_graph(CONFIG, llms=llms, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}

    await graph.ainvoke(ask(), thread, interrupt_before=["propose"])
    state = (await graph.aget_state(thread)).values["run"]
    result = await graph.ainvoke(None, thread)

    assert 0 <= state["seconds"] < 60
    assert answer_of(result).text == "the whole answer"


async def test_agreement_ends_the_layers_and_spares_the_aggregator() -> None:
    """Two that agree in the first layer are the answer, word for word."""
    config = {**CONFIG, "mixtures": {"team": {**CONFIG["mixtures"]["two_layers"], "agree": 2, "ask_first": 2}}}
    llms = fakes(a="I think the answer is 4.", b="The answer is 4.0")

    answer = answer_of(await mollm.create_graph(config, llms=llms).ainvoke(ask()))

    assert answer.text == "I think the answer is 4."
    assert answer.agreement == 1.0
    assert answer.calls == 2
    assert not llms["boss"].requests


async def test_a_failed_worker_costs_nothing_but_itself() -> None:
    """With the quorum met the answer is whole: not degraded, the failure on record."""
    answer = answer_of(await mollm.create_graph(CONFIG, llms=fakes(b=ProviderFailed("down"))).ainvoke(ask()))

    assert answer.text == "the whole answer"
    assert answer.degraded == ()
    assert [p.error.kind if p.error else None for p in answer.proposals] == [None, "provider", None]


async def test_when_every_worker_fails_each_cause_is_named() -> None:
    """The error says of every worker what happened to it, in our words."""
    broken = {name: ProviderFailed(f"{name} is down", status=503) for name in "abc"}

    with pytest.raises(QuorumError) as caught:
        await mollm.create_graph(CONFIG, llms=fakes(**broken)).ainvoke(ask())

    assert str(caught.value).count("is down") == 3
    assert [p.error.status for p in caught.value.proposals if p.error] == [503, 503, 503]


async def test_a_failed_aggregator_gives_way_to_the_best_proposal() -> None:
    """The answer is one of the proposals, and says that this was not planned."""
    answer = answer_of(await mollm.create_graph(CONFIG, llms=fakes(boss=ProviderFailed("down"))).ainvoke(ask()))

    assert answer.text == "from a"
    assert len(answer.degraded) == 2


async def test_usage_and_cost_are_summed_over_every_call() -> None:
    """Workers, aggregator and failures: the sum of the breakdown, estimated parts marked."""
    priced = {name: {"model": "scripted/x", "price": {"input": 1.0, "output": 2.0}} for name in CONFIG["llms"]}
    usage = Usage(1000, 100, 1100)
    llms = fakes(**{name: Reply("x y", usage=usage) for name in ("a", "b", "boss")}, c=Reply(error=TimeoutError()))

    answer = answer_of(await mollm.create_graph({**CONFIG, "llms": priced}, llms=llms).ainvoke(ask()))

    assert answer.calls == 4
    assert answer.usage.completion_tokens == 300
    assert answer.usage.prompt_tokens > 3000, "the one that timed out was paid for as well"
    assert answer.usage.estimated
    assert answer.cost_usd == pytest.approx(sum(call.cost_usd or 0 for call in answer.breakdown))


async def test_limits_refuse_before_anything_is_called() -> None:
    """A worst case above `limits` is an error with the arithmetic, and no call."""
    llms = fakes()
    graph = mollm.create_graph({**CONFIG, "limits": {"calls": 3}}, llms=llms)

    with pytest.raises(LimitError, match=r"4 calls at worst \(3 proposals \+ 1 aggregator\), and limits.calls is 3"):
        await graph.ainvoke(ask())

    assert not any(llm.requests for llm in llms.values())


@pytest.mark.parametrize("text", ["", None])
async def test_an_empty_question_is_refused(text: str | None) -> None:
    """Nothing asked, nothing called."""
    messages = [] if text is None else [("user", text)]

    with pytest.raises(RequestError, match="empty"):
        await mollm.create_graph(CONFIG, llms=fakes()).ainvoke({"messages": messages})


async def test_an_unknown_mixture_is_refused_with_those_there_are() -> None:
    """The message lists what could have been meant."""
    with pytest.raises(RequestError, match="no mixture and no LLM 'coding'; there are: team, solo"):
        await mollm.create_graph(CONFIG, llms=fakes()).ainvoke(ask(), context={"mixture": "coding"})


async def test_a_caller_cannot_get_around_the_limits() -> None:
    """`extra_body` does not set what a limit counts, or which model answers."""
    llms = fakes()

    with pytest.raises(RequestError, match="extra_body cannot set max_tokens, model, n"):
        extra = {"model": "other", "max_tokens": 99999, "n": 8}
        await mollm.create_graph(CONFIG, llms=llms).ainvoke(ask(), context={"extra_body": extra})

    assert not any(llm.requests for llm in llms.values())


async def test_tools_go_to_one_llm_and_its_calls_come_back_unchanged() -> None:
    """The workers propose without them, and a tool call comes back as it is."""
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"x": 1}'}}
    llms = fakes(boss=Reply(message={"role": "assistant", "content": None, "tool_calls": [call]}))
    tools = [{"type": "function", "function": {"name": "find", "parameters": {}}}]

    result = await mollm.create_graph(CONFIG, llms=llms).ainvoke(ask(), context={"tools": tools, "tool_choice": "auto"})

    answer = answer_of(result)
    assert answer.message["tool_calls"] == [call]
    assert [c.role for c in answer.breakdown] == ["worker", "worker", "worker", "tools"]
    assert llms["boss"].requests[0].settings.tools == tools
    assert result["messages"][-1].tool_calls[0]["args"] == {"x": 1}


async def test_streamed_tool_calls_reach_whoever_streams_the_graph() -> None:
    """In `messages` mode a tool call comes as chunks that add up to it."""
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"x": 1}'}}
    llms = fakes(boss=Reply(message={"role": "assistant", "content": None, "tool_calls": [call]}))
    tools = [{"type": "function", "function": {"name": "find", "parameters": {}}}]

    found = await messages_of(mollm.create_graph(CONFIG, llms=llms), context={"tools": tools})

    whole = reduce(add, [message for message, _ in found])
    assert [(c["name"], c["args"], c["id"]) for c in whole.tool_calls] == [("find", {"x": 1}, "c1")]


async def test_a_tracer_never_fails_a_request() -> None:
    """A message that LangChain cannot express is shown to callbacks as text."""
    from mollm.conversion import to_langchain

    odd = {"role": "assistant", "content": "x", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f"}}]}
    conversation = ({"role": "user", "content": "Hi"}, odd, {"role": "user", "content": "Go on."})
    seen = watcher()

    messages, plain = to_langchain(conversation)
    config: Any = {"callbacks": [seen]}
    options = Options(mixture="solo", plain=plain)
    found = await mollm.create_graph(CONFIG, llms=fakes()).ainvoke({"messages": messages}, config, context=options)

    assert answer_of(found).text == "from a"
    assert seen.started == ["a"]


async def test_the_result_of_a_tool_goes_to_the_same_llm() -> None:
    """As the call and the result that it is; the workers see text."""
    from langchain_core.messages import AIMessage

    llms = fakes()
    call = {"id": "c1", "name": "find", "args": {}}
    messages = [("user", "x"), AIMessage("", tool_calls=[call]), {"role": "tool", "content": "7", "tool_call_id": "c1"}]

    tools = [{"type": "function", "function": {"name": "find", "parameters": {}}}]
    await mollm.create_graph(CONFIG, llms=llms).ainvoke({"messages": messages}, context={"tools": tools})

    assert [len(llm.requests) for llm in llms.values()] == [1, 1, 1, 1]
    assert [m["role"] for m in llms["a"].requests[0].messages] == ["user"]
    assert [m["role"] for m in llms["boss"].requests[0].messages] == ["user", "assistant", "tool"]


async def messages_of(graph: Any, **options: Any) -> list[tuple[Any, dict[str, Any]]]:
    """Texts streamed in `messages` mode with their metadata."""
    found = []
    async for part in graph.astream(ask(), stream_mode="messages", **options):
        message, metadata = part[1] if options.get("subgraphs") else part
        found.append((message, metadata))
    return found


async def test_messages_mode_shows_the_tokens_of_the_answer_only() -> None:
    """Workers stay hidden, the answer comes in pieces, and it does not come twice."""
    found = await messages_of(mollm.create_graph(CONFIG, llms=fakes()))

    assert {type(message).__name__ for message, _ in found} == {"AIMessageChunk"}
    assert "".join(message.content for message, _ in found) == "the whole answer"
    assert len([message for message, _ in found if message.content]) == 3
    assert {metadata["langgraph_node"] for _, metadata in found} == {"aggregate"}


async def test_messages_mode_shows_a_verbatim_answer_once() -> None:
    """An answer that no LLM wrote last comes as one message."""
    graph = mollm.create_graph(CONFIG, llms=fakes(a="4", b="4", c="5"))

    found = [message.content for message, _ in await messages_of(graph, context={"mixture": "vote"})]

    assert found == ["4"]


async def test_custom_mode_tells_what_happens() -> None:
    """Routed, started, arrived and done; tokens too where the context asks for a stream."""
    graph = mollm.create_graph(CONFIG, llms=fakes())

    events = [event async for event in graph.astream(ask(), context={"stream": True}, stream_mode="custom")]

    kinds = [type(event) for event in events]
    assert kinds[0] is Routed
    assert kinds[-1] is Done
    assert kinds.count(Started) == kinds.count(Arrived) == 3
    assert "".join(event.text for event in events if isinstance(event, Token)) == "the whole answer"


async def test_a_stream_that_breaks_after_its_first_token_ends_with_an_error() -> None:
    """What was shown cannot be taken back, so nothing else takes its place."""
    graph = mollm.create_graph(
        CONFIG, llms=fakes(boss=Reply("one two three", error=ProviderFailed("gone"), breaks_after=2))
    )
    shown = []

    with pytest.raises(AggregationError, match="gone"):
        async for event in graph.astream(ask(), context={"stream": True}, stream_mode="custom"):
            shown += [event.text] if isinstance(event, Token) else []

    assert "".join(shown) == "one two"


async def test_leaving_a_stream_cancels_the_workers() -> None:
    """Nobody listens, so nothing goes on."""
    llms = fakes(**{name: Reply("x", delay=3600) for name in "abc"})
    stream: Any = mollm.create_graph(CONFIG, llms=llms).astream(ask(), stream_mode="custom")

    async for event in stream:
        if isinstance(event, Started) and event.worker == "c":
            break
    await stream.aclose()

    assert [llms[name].cancelled for name in "abc"] == [1, 1, 1]


def watcher() -> Any:
    """A callback handler that notes which calls begin and end."""
    from langchain_core.callbacks import AsyncCallbackHandler

    class Watcher(AsyncCallbackHandler):
        def __init__(self) -> None:
            self.started: list[str] = []
            self.ended: list[dict[str, Any]] = []
            self.failed: list[str] = []

        async def on_chat_model_start(self, serialized: dict[str, Any], messages: Any, **_: Any) -> None:
            assert messages[0]
            self.started.append(serialized["name"])

        async def on_llm_end(self, response: Any, **_: Any) -> None:
            self.ended.append(response.generations[0][0].message.usage_metadata)

        async def on_llm_error(self, error: BaseException, **_: Any) -> None:
            self.failed.append(type(error).__name__)

    return Watcher()


@pytest.mark.parametrize("mode", ["invoke", "messages"])
async def test_every_call_fires_the_callbacks_once(mode: str) -> None:
    """Tracers see all calls with their usage, streamed or not, and the failed ones as failures."""
    from langchain_core.callbacks import UsageMetadataCallbackHandler

    usage = Usage(5, 2, 7)
    llms = fakes(
        a=Reply("from a", usage=usage),
        b=ProviderFailed("down"),
        c=Reply("c", usage=usage),
        boss=Reply("x y", usage=usage),
    )
    seen, totals = watcher(), UsageMetadataCallbackHandler()
    graph = mollm.create_graph(CONFIG, llms=llms)
    config: Any = {"callbacks": [seen, totals]}

    if mode == "invoke":
        await graph.ainvoke(ask(), config)
    else:
        async for _ in graph.astream(ask(), config, stream_mode="messages"):
            pass

    assert sorted(seen.started) == ["a", "b", "boss", "c"]
    assert [u["total_tokens"] for u in seen.ended] == [7, 7, 7]
    assert seen.failed == ["ProviderFailed"]
    assert {name: u["total_tokens"] for name, u in totals.usage_metadata.items()} == {"a": 7, "c": 7, "boss": 7}


def parent(**options: Any) -> Any:
    """An agent that thinks, asks the experts, and goes on."""
    from langgraph.graph import END, START, MessagesState, StateGraph

    class ParentState(MessagesState, total=False):
        """A larger agent's state; some of its names are those a mixture uses inside."""

        run: str
        route: str
        proposals: list[str]
        notes: str

    async def think(_: Any) -> dict[str, Any]:
        return {"notes": "thought", "run": "mine", "route": "mine", "proposals": ["mine"]}

    def go_on(state: Any) -> dict[str, Any]:
        return {"notes": state["notes"] + ", went on"}

    builder: Any = StateGraph(ParentState)
    builder.add_node("think", think)
    builder.add_node("experts", mollm.create_graph(CONFIG, name="experts", llms=fakes()))
    builder.add_node("go_on", go_on)
    for left, right in ((START, "think"), ("think", "experts"), ("experts", "go_on"), ("go_on", END)):
        builder.add_edge(left, right)
    return builder.compile(**options)


async def test_it_is_one_node_of_a_larger_agent() -> None:
    """The answer joins the parent's conversation; nothing else of the parent's is touched."""
    state = await parent().ainvoke(ask())

    assert [m.content for m in state["messages"]] == ["What is a heap?", "the whole answer"]
    assert state["notes"] == "thought, went on"
    assert (state["run"], state["route"], state["proposals"]) == ("mine", "mine", ["mine"])


async def test_its_tokens_reach_a_parent_that_streams_subgraphs() -> None:
    """With `subgraphs=True` the parent shows the answer's tokens, and no worker's."""
    found = await messages_of(parent(), subgraphs=True)

    assert "".join(message.content for message, _ in found) == "the whole answer"


async def test_a_conversation_goes_on_under_a_checkpointer() -> None:
    """State is stored after every step and the next question sees the last answer."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    llms = fakes()
    saver = InMemorySaver(serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None))
    graph = mollm.create_graph(CONFIG, llms=llms, checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t"}}

    await graph.ainvoke(ask("first"), config)
    result = await graph.ainvoke(ask("second"), config)

    assert [m.content for m in result["messages"]] == ["first", "the whole answer", "second", "the whole answer"]
    assert [m["role"] for m in llms["a"].requests[1].messages] == ["user", "assistant", "user"]
    answer = answer_of(result)
    assert answer.calls == 4
    assert len(answer.proposals) == 3


async def test_a_question_that_failed_leaves_nothing_behind() -> None:
    """Under a checkpointer the next question starts afresh, whatever became of the last."""
    from langgraph.checkpoint.memory import InMemorySaver

    llms = fakes(a=[ProviderFailed("down"), "from a"], b=[ProviderFailed("down"), "from b"])
    config = {**CONFIG, "llms": {name: {"model": "scripted/x", "retries": 0} for name in CONFIG["llms"]}}
    graph = mollm.create_graph(config, llms=llms, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}

    with pytest.raises(QuorumError):
        await graph.ainvoke(ask("first"), thread, context={"mixture": "two_workers"})
    answer = answer_of(await graph.ainvoke(ask("second"), thread, context={"mixture": "two_workers"}))

    assert [p.text for p in answer.proposals] == ["from a", "from b"]


async def test_a_langchain_chat_model_can_be_brought_along() -> None:
    """Any `BaseChatModel` stands in for a configured LLM."""
    from langchain_core.language_models import FakeListChatModel

    llms = fakes() | {"boss": FakeListChatModel(responses=["from LangChain"])}

    assert answer_of(await mollm.create_graph(CONFIG, llms=llms).ainvoke(ask())).text == "from LangChain"


def test_a_langgraph_server_finds_a_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`langgraph.json` names a function without arguments that takes the configuration the command would take."""
    file = tmp_path / "mollm.yaml"
    text = "llms: {a: {model: scripted/hello there my friend}}\nmixtures: {solo: {description: x, workers: [a]}}\n"
    file.write_text(text)
    monkeypatch.setenv("MOLLM_CONFIG", str(file))
    named = json.loads((Path(__file__).parents[1] / "langgraph.json").read_text())["graphs"]["mollm"]
    module, _, function = named.removeprefix("./").partition(":")

    factory = getattr(import_module(module.removesuffix(".py").replace("/", ".")), function)
    graph: Any = asyncio.run(factory())

    assert graph.invoke(ask())["messages"][-1].content == "hello there my friend"
    assert asyncio.run(factory()) is graph, "a server calls it for every run"


def test_the_graph_draws_itself() -> None:
    """Studio and `show --graph` see the six nodes and the way between them."""
    drawn = mollm.create_graph(CONFIG, llms=fakes()).get_graph()

    assert set(drawn.nodes) == {"__start__", *("route", "propose", "compare", "aggregate", "act", "bypass"), "__end__"}
    edges = {(edge.source, edge.target) for edge in drawn.edges}
    assert {("route", "propose"), ("route", "bypass"), ("propose", "propose"), ("propose", "aggregate")} <= edges
    assert {
        ("route", "act"),
        ("propose", "act"),
        ("propose", "compare"),
        ("compare", "aggregate"),
        ("compare", "act"),
        ("act", "__end__"),
        ("aggregate", "__end__"),
        ("bypass", "__end__"),
    } <= edges


def test_many_threads_may_invoke_one_graph() -> None:
    """Eight threads at once get eight answers."""
    graph: Any = mollm.create_graph(CONFIG, llms=fakes())

    async def run() -> Any:
        return await asyncio.gather(*(asyncio.to_thread(graph.invoke, ask()) for _ in range(8)))

    assert [answer_of(result).text for result in asyncio.run(run())] == ["the whole answer"] * 8


async def test_a_resumed_run_has_no_more_calls_than_were_planned() -> None:
    """What is left is the plan less what was made, as the checkpointer stored both."""
    from langgraph.checkpoint.memory import InMemorySaver

    llms = fakes()
    llms["boss"] = ScriptedLLM([Reply(error=BadRequest("not yet")), "written"])
    thread: Any = {"configurable": {"thread_id": "1"}}
    graph: Any = mollm.create_graph(CONFIG, llms=llms, checkpointer=InMemorySaver())
    graph.interrupt_before_nodes = ["aggregate"]

    await graph.ainvoke(ask(), thread)
    before = (await graph.aget_state(thread)).values["run"]
    graph.interrupt_before_nodes = []
    found = await graph.ainvoke(None, thread)
    after = (await graph.aget_state(thread)).values["run"]

    roles = [call["role"] for call in before["breakdown"]]
    assert roles == ["worker"] * 3
    assert after["planned"] == before["planned"]
    assert [call["role"] for call in after["breakdown"]] == [*roles, "aggregator"]
    left = Allowance(Run.from_plain(after).planned, Run.from_plain(after).breakdown)
    with pytest.raises(LimitError):
        left.take("worker", "a", 1)
    with pytest.raises(LimitError):
        left.take("aggregator", "boss", 1)
    assert answer_of(found).degraded
