"""The graph among other agents: hand-overs, options in a context, threads, schemas and copies."""

from __future__ import annotations

import asyncio
import copy
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import TypedDict

import mollm
from mollm import Options
from mollm.errors import ProviderFailed, RequestError
from mollm.llms.scripted import Reply, ScriptedLLM
from tests.test_graph import CONFIG, answer_of, ask, fakes

if TYPE_CHECKING:
    from mollm.calling.base import Request


def handed_over(**more: Any) -> list[Any]:
    """What langgraph-supervisor and langgraph-swarm put before an agent's turn."""
    from langchain_core.messages import AIMessage, ToolMessage

    call = {"name": "transfer_to_experts", "args": {}, "id": "c1"}
    told = ToolMessage("Successfully transferred to experts", tool_call_id="c1", name="transfer_to_experts")
    return [("user", "The printer is dead."), AIMessage("", tool_calls=[call], **more), told]


@pytest.mark.parametrize("mixture", ["team", "two_layers", "vote", "solo"])
async def test_who_is_handed_the_conversation_answers_the_person(mixture: str) -> None:
    """Every LLM gets the question; nobody gets the hand-over, or the message of a tool."""
    llms = fakes()

    await mollm.create_graph(CONFIG, llms=llms).ainvoke({"messages": handed_over()}, context={"mixture": mixture})

    assert list(llms["a"].requests[0].messages) == [{"role": "user", "content": "The printer is dead."}]
    sent = [message for llm in llms.values() for request in llm.requests for message in request.messages]
    assert {message["role"] for message in sent} == {"user"}
    assert "ransfer" not in str(sent)


@pytest.mark.parametrize("engine", ["auto", "graph"])
def test_a_hand_over_that_comes_as_openai_messages_is_one_too(engine: Any) -> None:
    """As from an agent whose model is a mixture, through `MoLLM` or the server."""
    call = {"id": "c1", "type": "function", "function": {"name": "transfer_to_experts", "arguments": "{}"}}
    told = {"role": "tool", "tool_call_id": "c1", "content": "Successfully transferred to experts"}
    question = {"role": "user", "content": "Why?"}
    llms = fakes()

    with mollm.MoLLM(CONFIG, llms=llms, engine=engine) as asked:
        asked.ask([question, {"role": "assistant", "content": None, "tool_calls": [call]}, told])

    assert [list(llms[name].requests[0].messages) for name in "abc"] == [[question]] * 3


async def test_a_hand_over_is_no_tool_of_the_asking_program() -> None:
    """Where that offers some, the LLM for tools gets the conversation without it, and what is ours as it is."""
    from langchain_core.messages import AIMessage, ToolMessage

    tools = [{"type": "function", "function": {"name": "find", "parameters": {}}}]
    llms = fakes()
    graph: Any = mollm.create_graph(CONFIG, llms=llms)

    found = AIMessage("", tool_calls=[{"name": "find", "args": {}, "id": "c2"}])
    messages = [*handed_over(name="boss"), found, ToolMessage("7", tool_call_id="c2")]
    await graph.ainvoke({"messages": messages}, context={"tools": tools})

    (request,) = llms["boss"].requests
    assert [m["role"] for m in request.messages] == ["user", "assistant", "tool"]
    assert [m.get("tool_call_id") for m in request.messages] == [None, None, "c2"]
    assert request.settings.tools == tools


@pytest.mark.parametrize("has_result", [True, False], ids=["with result", "without"])
async def test_what_another_agents_tools_returned_is_text(*, has_result: bool) -> None:
    """Its calls and results stand below the question, whoever's turn it is."""
    from langchain_core.messages import AIMessage, ToolMessage

    call = {"name": "search", "args": {"for": "toner"}, "id": "c1"}
    messages = [("user", "Why?"), AIMessage("", tool_calls=[call], name="scout")]
    messages += [ToolMessage("shelf 4", tool_call_id="c1")] if has_result else [AIMessage("None.", name="scout")]
    llms = fakes()

    await mollm.create_graph(CONFIG, llms=llms).ainvoke({"messages": messages})

    (seen,) = llms["a"].requests[0].messages
    assert seen["role"] == "user"
    assert all(text in seen["content"] for text in ("Why?", "search", "toner", "shelf 4" if has_result else "None."))


@pytest.mark.parametrize("run", ["lc_run--01", "run--01"])
async def test_a_hand_over_under_any_name_is_the_agents_whose_model_called_it(run: str) -> None:
    """LangChain gives an id to what its models say; no LLM of ours gets that call as if it were its own."""
    from langchain_core.messages import AIMessage, ToolMessage

    called = AIMessage("", tool_calls=[{"name": "get_experts", "args": {}, "id": "c1"}], id=run)
    team = {**CONFIG["mixtures"]["team"], "on_tools": "alone"}
    llms = fakes()

    graph: Any = mollm.create_graph({**CONFIG, "mixtures": {"team": team}}, llms=llms)
    await graph.ainvoke({"messages": [("user", "Why?"), called, ToolMessage("ok", tool_call_id="c1")]})

    assert [len(llm.requests) for llm in llms.values()] == [1, 1, 1, 1]
    sent = [message for llm in llms.values() for request in llm.requests for message in request.messages]
    assert {message["role"] for message in sent} == {"user"}


@pytest.mark.parametrize("mixture", ["team", "two_layers", "solo"])
@pytest.mark.parametrize("name", [None, "experts"])
async def test_one_mixture_answers_after_another(mixture: str, name: str | None) -> None:
    """Every LLM of the second gets a conversation that ends with the user, with the first answer in it."""
    from langgraph.graph import START, MessagesState, StateGraph

    llms = fakes()
    builder: Any = StateGraph(MessagesState)
    builder.add_node("first", mollm.create_graph(CONFIG, name=name, llms=fakes(boss="the draft", a="the draft")))
    builder.add_node("second", mollm.create_graph(CONFIG, name=name, llms=llms))
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")

    await builder.compile().ainvoke(ask(), context={"mollm": {"mixture": mixture}})

    for request in [request for llm in llms.values() for request in llm.requests]:
        assert [m["role"] for m in request.messages] == ["user"]
        assert all(text in request.messages[0]["content"] for text in ("What is a heap?", "the draft"))


def test_a_single_llm_goes_on_with_an_answer_that_the_program_began() -> None:
    """Outside of a graph, the assistant's message at the end is a beginning; several workers see it as text."""
    begun = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "1, 2,"}]
    llms = fakes()

    with mollm.MoLLM(CONFIG, llms=llms) as asked:
        asked.ask(begun, mixture="solo")
        asked.ask(begun, mixture="team")

    assert list(llms["a"].requests[0].messages) == begun
    assert [m["role"] for m in llms["a"].requests[1].messages] == ["user"]
    assert "1, 2," in llms["boss"].requests[0].messages[-1]["content"]


@pytest.mark.parametrize(
    ("name", "said", "sent"),
    [(None, None, None), ("experts", "experts", "experts"), ("Die Fachleute", "Die Fachleute", "Die_Fachleute")],
)
async def test_an_answer_has_the_name_that_the_graph_was_given(
    name: str | None, said: str | None, sent: str | None
) -> None:
    """Supervisors tell agents apart by it. To LLMs, a name has the characters that all providers take."""
    llms = fakes()
    graph: Any = mollm.create_graph(CONFIG, name=name, llms=fakes())

    state = await graph.ainvoke(ask())
    await mollm.create_graph(CONFIG, llms=llms).ainvoke({"messages": state["messages"]})

    assert state["messages"][-1].name == said
    assert graph.name == name or (name, graph.name) == (None, "mollm")
    prompt = llms["a"].requests[0].messages[-1]["content"]
    assert (f'by="{sent}"' in prompt) == (sent is not None)


async def test_an_answer_comes_back_as_it_was_written() -> None:
    """In the next question of a thread, with fields that LangChain has no place for, and without our own name."""
    from langgraph.checkpoint.memory import InMemorySaver

    message = {"role": "assistant", "content": "x", "extra": {"a": [1]}}
    llms = fakes(a=Reply(message=message))
    graph = mollm.create_graph(CONFIG, name="experts", llms=llms, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}

    await graph.ainvoke(ask("first"), thread, context={"mixture": "solo"})
    await graph.ainvoke(ask("second"), thread, context={"mixture": "solo"})

    assert llms["a"].requests[1].messages[1] == message


# Options in a context


class Settings(TypedDict):
    """What a parent wants to know."""

    user_id: str
    mollm: Any


def context_of(kind: str, entry: Any) -> tuple[Any, Any]:
    """A schema of a parent's own, and a context of it."""
    from dataclasses import make_dataclass

    from pydantic import create_model

    given = {"user_id": "kim", "mollm": entry}
    if kind == "no schema":
        return None, given
    if kind == "typed dict":
        return Settings, given
    if kind == "dataclass":
        schema: Any = make_dataclass("Settings", [("user_id", str), ("mollm", Any)])
        return schema, schema(**given)
    if kind == "dataclass by keys":
        return make_dataclass("Settings", [("user_id", str), ("mollm", Any)]), given
    model: Any = create_model("Settings", user_id=(str, ...), mollm=(Any, None))
    return model, model(**given)


SCHEMAS = ["no schema", "typed dict", "dataclass", "dataclass by keys", "pydantic"]


def around(schema: Any, **llms: Any) -> Any:
    """A parent with a context of its own."""
    from langgraph.graph import START, MessagesState, StateGraph

    builder: Any = StateGraph(MessagesState, context_schema=schema)
    builder.add_node("experts", mollm.create_graph(CONFIG, llms=llms or fakes()))
    builder.add_edge(START, "experts")
    return builder.compile()


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize(
    "entry", [{"mixture": "solo", "seed": 3}, Options(mixture="solo", seed=3)], ids=["keys", "Options"]
)
async def test_the_context_of_a_parent_has_options_under_our_name(kind: str, entry: Any) -> None:
    """Whatever its schema is; the rest of the context is the parent's."""
    llms = fakes()
    schema, context = context_of(kind, entry)

    await around(schema, **llms).ainvoke(ask(), context=context)

    assert [len(llm.requests) for llm in llms.values()] == [1, 0, 0, 0]
    assert llms["a"].requests[0].settings.seed == 3


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"mixtur": "solo"}, "unknown option 'mixtur'; did you mean 'mixture'"),
        ({"temperature": "hot"}, r"context\.mollm\.temperature"),
        ("solo", "str is neither an Options nor a dictionary"),
    ],
)
def test_wrong_options_of_a_parent_are_refused(kind: str, entry: Any, problem: str) -> None:
    """And not ignored."""
    schema, context = context_of(kind, entry)

    with pytest.raises(RequestError, match=problem):
        around(schema).invoke(ask(), context=context)


@pytest.mark.parametrize("context", [None, {}, {"user_id": "kim", "temperature": 3}, {"mollm": None}, Options()])
def test_the_context_of_a_parent_may_have_nothing_for_us(context: Any) -> None:
    """What it holds is its own business."""
    assert around(None).invoke(ask(), context=context)["messages"][-1].content == "the whole answer"


@pytest.mark.parametrize("key", ["mixture", "mixtur", "Mixture", "molm", "MoLLM"])
def test_a_parents_options_in_the_wrong_place_are_refused(key: str) -> None:
    """On top of a dictionary these can only be meant for us, however they are spelled."""
    with pytest.raises(RequestError, match=rf"{key!r}: .* under 'mollm': context=\{{'mollm'"):
        around(None).invoke(ask(), context={"user_id": "kim", key: "solo"})


def test_options_in_a_configuration_are_not_ignored() -> None:
    """They stand under `mollm`, as in a context, and anything else that is meant for us is refused."""
    graph: Any = mollm.create_graph(CONFIG, llms=fakes())

    found = graph.invoke(ask(), {"configurable": {"user": "kim", "mollm": {"mixture": "solo"}}})
    bound = graph.with_config(configurable={"mollm": {"mixture": "solo"}}).invoke(ask())

    assert answer_of(found).mixture == answer_of(bound).mixture == "solo"
    assert answer_of(graph.invoke(ask(), {"configurable": {"mollm": None, "temperature": 3}})).mixture == "team"
    for key in ("mixture", "mixtur"):
        with pytest.raises(RequestError, match="passed as the context"):
            graph.invoke(ask(), {"configurable": {key: "solo"}})
    with pytest.raises(RequestError, match=r"configurable\.mollm: unknown option 'mixtur'"):
        graph.invoke(ask(), {"configurable": {"mollm": {"mixtur": "solo"}}})


def test_a_question_begins_at_the_beginning() -> None:
    """A command that jumps into the middle is refused with the node that comes first."""
    from langgraph.types import Command

    with pytest.raises(RequestError, match="begins at the node 'route', not at 'aggregate'"):
        mollm.create_graph(CONFIG, llms=fakes()).invoke(Command(goto="aggregate", update=ask()))


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ({"mixtur": "solo"}, "context: unknown option 'mixtur'; did you mean 'mixture'"),
        ({"user_id": "kim", "zone": 1}, "unknown option 'user_id'.*\n.*unknown option 'zone'"),
        ({"max_tokens": "many"}, r"context\.max_tokens"),
        ({"tools": [len]}, r"context\.tools\.0: must be a valid dictionary; LangChain's `convert_to_openai_tool`"),
        ({"mollm": {"mixtur": "solo"}}, r"context\.mollm: unknown option 'mixtur'"),
        ({"mollm": {}, "mixture": "solo"}, "'mixture' and 'mollm'"),
        (7, "int is neither"),
    ],
)
async def test_wrong_options_are_refused(context: Any, problem: str) -> None:
    """Run by itself, the graph knows every key; all that are wrong are named."""
    graph: Any = mollm.create_graph(CONFIG, llms=fakes())

    with pytest.raises(RequestError, match=problem):
        await graph.ainvoke(ask(), context=context)
    with pytest.raises(RequestError, match=problem):
        graph.invoke(ask(), context=context)


def test_what_langgraph_keeps_in_a_configuration_is_no_option() -> None:
    """Its server copies `configurable` into the context."""
    context: Any = {"mixture": "solo", "thread_id": "t", "langgraph_auth_user": None, "__request_start_time_ms__": 1}

    assert answer_of(mollm.create_graph(CONFIG, llms=fakes()).invoke(ask(), context=context)).mixture == "solo"


# Threads


def kept(**llms: Any) -> tuple[Any, dict[str, ScriptedLLM]]:
    """A graph with a checkpointer, and its LLMs."""
    from langgraph.checkpoint.memory import InMemorySaver

    scripted = fakes(**llms)
    return mollm.create_graph(CONFIG, llms=scripted, checkpointer=InMemorySaver()), scripted


THREAD: Any = {"configurable": {"thread_id": "t"}}


async def test_questions_at_once_on_one_thread_are_all_kept() -> None:
    """One after the other, each with the answers before it; streams and copies of the graph as well."""
    graph, _ = kept(a=Reply("from a", delay=0.01))

    async def stream(text: str) -> None:
        async for _ in graph.with_config(tags=["x"]).astream(ask(text), THREAD, stream_mode="messages"):
            pass

    await asyncio.gather(
        graph.ainvoke(ask("1"), THREAD), stream("2"), asyncio.to_thread(graph.invoke, ask("3"), THREAD), stream("4")
    )

    messages = (await graph.aget_state(THREAD)).values["messages"]
    assert sorted(message.content for message in messages[::2]) == ["1", "2", "3", "4"]
    assert [message.content for message in messages[1::2]] == ["the whole answer"] * 4


@pytest.mark.parametrize("count", [2, 5, 20])
def test_graphs_with_one_checkpointer_take_turns_on_its_threads(count: int) -> None:
    """Whoever built them, and from whatever thread or event loop they are asked."""
    from langgraph.checkpoint.memory import InMemorySaver

    saver = InMemorySaver()
    graphs: list[Any] = [mollm.create_graph(CONFIG, llms=fakes(), checkpointer=saver) for _ in range(3)]

    def one(number: int) -> None:
        graph = graphs[number % 3]
        if number % 2:
            graph.invoke(ask(str(number)), THREAD)
        else:
            asyncio.run(graph.ainvoke(ask(str(number)), THREAD))

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(one, range(count)))

    messages = graphs[0].get_state(THREAD).values["messages"]
    assert sorted(int(message.content) for message in messages[::2]) == list(range(count))
    assert [message.content for message in messages[1::2]] == ["the whole answer"] * count


async def test_another_thread_does_not_wait() -> None:
    """A question that takes its time holds up its own conversation alone."""
    has_begun, replies = asyncio.Event(), iter([Reply("slow", delay=5), Reply("quick")])

    def reply(_: Request) -> Reply:
        has_begun.set()
        return next(replies)

    graph, _ = kept(a=reply)
    slow = asyncio.create_task(graph.ainvoke(ask(), THREAD, context={"mixture": "solo"}))
    await has_begun.wait()

    async with asyncio.timeout(3):
        await graph.ainvoke(ask(), {"configurable": {"thread_id": "u"}}, context={"mixture": "solo"})

    assert not slow.done()
    slow.cancel()
    await asyncio.wait([slow])


async def test_a_stream_that_is_left_early_lets_the_next_question_in() -> None:
    """As does one that fails."""
    graph, llms = kept()
    stream = graph.astream(ask("1"), THREAD, stream_mode="updates")
    await anext(stream)
    await stream.aclose()
    llms["a"]._script = [ProviderFailed("down")] * 9  # noqa: SLF001
    with pytest.raises(ProviderFailed):
        await graph.ainvoke(ask("2"), THREAD, context={"mixture": "solo"})

    async with asyncio.timeout(5):
        assert (await graph.ainvoke(ask("3"), THREAD, context={"mixture": "vote"}))["mollm"]["text"]


async def test_a_stream_that_is_left_by_a_break_lets_the_next_question_in() -> None:
    """Of the same task, on an event loop and without one."""
    graph, _ = kept()

    async for _ in graph.astream(ask("1"), THREAD, stream_mode="updates"):
        break
    assert answer_of(await graph.ainvoke(ask("2"), THREAD)).text == "the whole answer"

    def blocking() -> Any:
        for _ in graph.stream(ask("3"), THREAD, stream_mode="updates"):
            break
        return graph.invoke(ask("4"), THREAD)

    assert answer_of(await asyncio.to_thread(blocking)).text == "the whole answer"


@pytest.mark.parametrize("config", [None, {}, {"configurable": {}}, {"configurable": {"user": "kim"}}])
async def test_a_missing_thread_is_named(config: Any) -> None:
    """With what to pass, and only where something is stored."""
    graph, _ = kept()

    with pytest.raises(RequestError, match=r'config=\{"configurable": \{"thread_id"'):
        await graph.ainvoke(ask(), config)
    with pytest.raises(RequestError, match="thread_id"):
        graph.invoke(ask(), config)
    with pytest.raises(RequestError, match="thread_id"):
        graph.get_state(config or {})
    with pytest.raises(RequestError, match="thread_id"):
        list(graph.get_state_history(config or {}))
    with pytest.raises(RequestError, match="thread_id"):
        await graph.aupdate_state(config or {}, {"messages": []})
    assert mollm.create_graph(CONFIG, llms=fakes()).invoke(ask(), config)["mollm"]


async def test_inside_a_parent_the_threads_are_the_parents() -> None:
    """It may ask several at once, and need not have a checkpointer."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph

    builder: Any = StateGraph(MessagesState)
    for name in ("one", "two"):
        builder.add_node(name, mollm.create_graph(CONFIG, name=name, llms=fakes()))
        builder.add_edge(START, name)

    plain = await builder.compile().ainvoke(ask())
    stored = await builder.compile(checkpointer=InMemorySaver()).ainvoke(ask(), THREAD)

    assert [m.name for m in plain["messages"]] == [m.name for m in stored["messages"]] == [None, "one", "two"]


@pytest.mark.parametrize("node", ["propose", "aggregate"])
@pytest.mark.parametrize("as_node", [None, "route"])
async def test_a_changed_question_goes_on_where_it_was_interrupted(node: str, as_node: str | None) -> None:
    """`update_state` and `invoke(None)` end with an answer."""
    graph, llms = kept()

    await graph.ainvoke(ask(), THREAD, interrupt_before=[node])
    await graph.aupdate_state(THREAD, {"messages": [("user", "In C, please.")]}, as_node)
    assert (await graph.aget_state(THREAD)).next == (node,)
    result = await graph.ainvoke(None, THREAD)

    assert answer_of(result).text == "the whole answer"
    assert result["messages"][-1].content == "the whole answer"
    assert llms["boss"].requests[0].messages[-1]["content"].count("In C, please.") >= 1


def test_a_question_can_be_changed_before_it_is_routed_and_answered_by_hand() -> None:
    """Without an event loop as well; who writes the answer in place of a node ends the question."""
    graph, llms = kept()

    graph.invoke(ask(), THREAD, interrupt_before=["route"])
    graph.update_state(THREAD, {"messages": [("user", "In C.")]})
    graph.invoke(None, THREAD, interrupt_before=["aggregate"])
    graph.update_state(THREAD, {"messages": [("ai", "by hand")]}, as_node="aggregate")

    state = graph.get_state(THREAD)
    assert (state.next, state.values["messages"][-1].content) == ((), "by hand")
    assert not llms["boss"].requests
    assert list(llms["a"].requests[0].messages) == [{"role": "user", "content": "What is a heap?\n\nIn C."}]


# Schemas and copies


def test_the_schemas_say_what_goes_in_and_out() -> None:
    """On every version of Python; a server and its Studio show them."""
    graph: Any = mollm.create_graph(CONFIG, llms=fakes())

    assert set(graph.get_input_jsonschema()["properties"]) == {"messages"}
    assert set(graph.get_output_jsonschema()["properties"]) == {"messages", "mollm"}
    context = graph.get_context_jsonschema()
    options = context["$defs"][context["$ref"].rpartition("/")[2]]
    assert {"mixture", "temperature", "tools"} < set(options["properties"])
    assert options["additionalProperties"] is False
    assert "properties" not in context, "a LangGraph server drops what is not among them, and we could not refuse it"


@pytest.mark.filterwarnings("ignore:This API is in beta")
async def test_it_is_a_tool() -> None:
    """With a schema that an LLM can follow, and taking what such an LLM writes."""
    llms = fakes()
    tool = mollm.create_graph(CONFIG, llms=llms).as_tool(name="experts", description="Ask them.")
    schema: Any = tool.args_schema
    item = schema.model_json_schema()["properties"]["messages"]["items"]

    result = await tool.ainvoke({"messages": [{"role": "user", "content": "Why?"}]})

    assert set(item["properties"]) == {"role", "content"}
    assert result["messages"][-1].content == "the whole answer"
    assert list(llms["a"].requests[0].messages) == [{"role": "user", "content": "Why?"}]


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda graph: graph.copy(), lambda graph: graph.with_config(tags=["x"])]
)
def test_a_copy_answers_with_the_same_llms(again: Any) -> None:
    """Frameworks copy the graphs of their agents."""
    llms = fakes()

    found = again(mollm.create_graph(CONFIG, name="experts", llms=llms)).invoke(ask())

    assert (answer_of(found).text, found["messages"][-1].name) == ("the whole answer", "experts")
    assert len(llms["a"].requests) == 1
