"""A panel for one request, in Python and in the graph: asked as a mixture of the file is, within its limits."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

import mollm
from mollm import MoLLM, Options
from mollm.errors import ConfigError, LimitError, ProviderFailed, QuorumError, RequestError
from mollm.events import Done, Routed, Started, Token
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.panels import MOST_KEPT
from mollm.plain import answer_from_plain
from mollm.turns import turn_of

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.limits import WorstCase
    from mollm.types import Answer, Message

NAMES = ("a", "b", "c", "boss", "spare")
CONFIG: dict[str, Any] = {
    "llms": {name: {"model": "scripted/unused", "retries": 0} for name in NAMES},
    "mixtures": {"m": {"description": "The file's own.", "workers": ["a", "b"]}},
}
PANEL: dict[str, Any] = {
    "workers": ["a", "b", {"llm": "a", "temperature": 1}],
    "aggregator": {"method": "synthesize", "llm": "boss"},
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
ACTS = Reply(message={"role": "assistant", "content": None, "tool_calls": [CALL]}, finish_reason="tool_calls")
ASKED: list[Message] = [{"role": "user", "content": "Is it cold in Oslo?"}]
STEP: list[Message] = [
    *ASKED,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "minus seven"},
]


def fakes(**scripts: Any) -> dict[str, ScriptedLLM]:
    """LLMs that say their names, or what is given."""
    said = {name: f"from {name}" for name in NAMES} | {"boss": "the whole answer"} | scripts
    return {name: ScriptedLLM(script) for name, script in said.items()}


def called(llms: dict[str, ScriptedLLM]) -> dict[str, int]:
    """How often each was called since the last look."""
    found = {name: len(llm.requests) for name, llm in llms.items() if llm.requests}
    for llm in llms.values():
        llm.requests.clear()
    return found


def changed(**sections: Any) -> dict[str, Any]:
    """The configuration with other sections."""
    return {**CONFIG, **sections}


def is_whole(answer: Answer) -> None:
    """The answer of `PANEL`, with its provenance."""
    assert answer.text == "the whole answer"
    assert (answer.mixture, answer.route.router, answer.route.probabilities) == ("panel", "caller", {"panel": 1.0})
    assert [p.worker for p in answer.proposals] == ["a", "b", "a#2"]
    assert [call.role for call in answer.breakdown] == ["worker"] * 3 + ["aggregator"]


def test_every_way_to_ask_takes_a_panel() -> None:
    """Blocking and not, streamed, in batches, and for an observer."""
    llms = fakes()
    with MoLLM(CONFIG, llms=llms) as asked:
        is_whole(asked.ask("Hi", mixture=PANEL))
        assert [request.settings.temperature for request in llms["a"].requests] == [None, 1.0]
        for answer in asked.batch(["Hi", "Ho"], mixture=PANEL):
            is_whole(answer)
        events = list(asked.stream("Hi", mixture=PANEL))

    assert [event.worker for event in events if isinstance(event, Started)] == ["a", "b", "a#2"]
    assert "".join(event.text for event in events if isinstance(event, Token)) == "the whole answer"
    (routed,) = (event for event in events if isinstance(event, Routed))
    assert routed.route.mixture == "panel"
    (done,) = (event for event in events if isinstance(event, Done))
    is_whole(done.answer)

    async def awaited() -> list[Answer]:
        again = MoLLM(CONFIG, llms=fakes())
        return [await again.aask("Hi", mixture=PANEL), await again.arun("Hi", mixture=PANEL)]

    for answer in asyncio.run(awaited()):
        is_whole(answer)


@pytest.mark.parametrize("as_options", [True, False])
async def test_the_graph_takes_a_panel_in_its_context(*, as_options: bool) -> None:
    """As an `Options` or as a dictionary, alone and inside another graph's context, and its schema can be written."""
    graph: Any = mollm.create_graph(CONFIG, llms=fakes())
    context = Options(mixture=PANEL) if as_options else {"mixture": PANEL}
    for given in (context, {"mollm": context}):
        found = await graph.ainvoke({"messages": [("user", "Hi")]}, context=given)
        is_whole(answer_from_plain(found["mollm"]))

    kinds = graph.get_context_jsonschema()["$defs"]["Options"]["properties"]["mixture"]["anyOf"]
    assert [kind["type"] for kind in kinds] == ["string", "object", "null"]


@pytest.mark.parametrize("key", ["prompt", "score"])
async def test_the_context_of_a_graph_reaches_no_file_and_no_function(key: str, tmp_path: Path) -> None:
    """It may have come through a network, as from a client of a LangGraph server."""
    path = tmp_path / "secret.md"
    path.write_text("the secret of the house")
    panel = {"workers": [{"llm": "a", key: str(path)}, "b"]}
    llms = fakes()
    graph: Any = mollm.create_graph(CONFIG, llms=llms)

    for context in ({"mixture": panel}, {"mollm": {"mixture": panel}}, Options(mixture=panel)):
        with pytest.raises(RequestError, match=rf"mixture\.workers\[0\]\.{key}: cannot be set here"):
            await graph.ainvoke({"messages": [("user", "Hi")]}, context=context)

    assert not called(llms)


async def test_the_state_of_a_graph_reaches_no_file(tmp_path: Path) -> None:
    """Whoever can change it has not thereby the files of the process."""
    from langgraph.checkpoint.memory import InMemorySaver

    (tmp_path / "secret.md").write_text("the secret of the house")
    llms, thread = fakes(), {"configurable": {"thread_id": "t"}}
    graph: Any = mollm.create_graph(CONFIG, llms=llms, checkpointer=InMemorySaver())
    asked = {"messages": [("user", "Hi")]}
    await graph.ainvoke(asked, thread, context={"mixture": PANEL}, interrupt_before=["propose"])
    run = (await graph.aget_state(thread)).values["run"]
    run["panel"] = {"workers": [{"llm": "a", "prompt": str(tmp_path / "secret.md")}, "b"]}
    await graph.aupdate_state(thread, {"run": run})

    with pytest.raises(RequestError, match="cannot be set here"):
        await graph.ainvoke(None, thread)
    assert not called(llms)


@pytest.mark.parametrize("engine", ["auto", "graph"])
def test_the_program_itself_may_name_files_and_bring_prompts(engine: Any, tmp_path: Path) -> None:
    """It can read them anyway; also where a graph answers it."""
    (tmp_path / "persona.md").write_text("You are a plumber.")
    workers = [{"llm": "a", "prompt": str(tmp_path / "persona.md")}, {"llm": "b", "prompt": "You are a cook."}]
    llms = fakes()
    with MoLLM(CONFIG, llms=llms, engine=engine) as asked:
        asked.ask("Hi", mixture={"workers": workers})

    assert "You are a plumber." in str(llms["a"].requests[0].messages)
    assert "You are a cook." in str(llms["b"].requests[0].messages)


@pytest.mark.parametrize("context", [{"mixture": 3}, {"mollm": {"mixture": ["a"]}}])
async def test_what_is_neither_a_name_nor_a_panel_is_refused_by_its_key(context: dict[str, Any]) -> None:
    """Before anything else of the context is read."""
    graph: Any = mollm.create_graph(CONFIG, llms=fakes())

    with pytest.raises(RequestError, match=r"\.mixture: must be a text, or a panel for one request, not (int|list)"):
        await graph.ainvoke({"messages": [("user", "Hi")]}, context=context)


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        ({"workers": ["a", "x", "bos"]}, r"mixture\.workers\[1\]\.llm: no LLM 'x'.*\n.*\[2\].*did you mean 'boss'\?"),
        ({}, r"mixture\.workers: is required"),
        ("panel", r"'panel' stands for a panel for one request; give the panel itself"),
        (7, r"mixture: must be the name of a mixture, or a panel"),
        ({"workers": [{"llm": "a", "prompt": "no/such.md"}]}, r"mixture\.workers\[0\]\.prompt: no file 'no/such\.md'"),
        ({"workers": [{"llm": "a", "prompt": "Say {{ x }}."}]}, r"mixture\.workers\[0\]\.prompt: unknown placeholder"),
        ({"workers": ["a"], "aggregator": {"prompt": "Just write."}}, r"mixture\.aggregator\.prompt: the placeholder"),
    ],
)
def test_what_is_wrong_with_a_panel_is_an_error_of_the_request(panel: Any, said: str) -> None:
    """Each with its key, and nobody is asked."""
    llms = fakes()
    with MoLLM(CONFIG, llms=llms) as asked, pytest.raises(RequestError, match=said):
        asked.ask("Hi", mixture=panel)

    assert not called(llms)


def test_a_panel_is_not_routed() -> None:
    """`route` and `explain` say which mixture answers, and here that is no question."""
    with MoLLM(CONFIG, llms=fakes()) as asked:
        for ask in (asked.route, asked.explain):
            with pytest.raises(RequestError, match="asked and not routed"):
                ask("Hi", mixture=PANEL)


def test_panel_is_a_name_that_no_file_may_use() -> None:
    """It would be another thing for each who asks."""
    for section, value in (("llms", {"model": "scripted/x"}), ("mixtures", CONFIG["mixtures"]["m"])):
        with pytest.raises(ConfigError, match=rf"{section}\.panel: .*'panel' is reserved for panels of one request"):
            MoLLM(changed(**{section: {**CONFIG[section], "panel": value}}))


def test_one_worker_answers_alone() -> None:
    """There is nothing to aggregate, and `n` may be had."""
    llms = fakes()
    with MoLLM(CONFIG, llms=llms) as asked:
        answer = asked.ask("Hi", mixture={"workers": ["spare"]}, n=2)
        assert [call.role for call in answer.breakdown] == ["bypass", "bypass"]
        with pytest.raises(RequestError, match="need a single LLM, and 'panel' is a mixture of several"):
            asked.ask("Hi", mixture=PANEL, n=2)

    assert (answer.text, answer.mixture) == ("from spare", "panel")
    assert called(llms) == {"spare": 2}


def test_the_rules_of_asking_hold_for_a_panel() -> None:
    """Two that agree are enough, a quorum that is not met is an error, and a second layer reads the first."""
    agreeing = fakes(a="The answer is 4.", b="The answer is 4.")
    rules = {"ask_first": 2, "agree": 2}
    answer = asyncio.run(MoLLM(CONFIG, llms=agreeing).aask("Hi", mixture={"workers": ["a", "b", "c"], **rules}))
    assert (answer.text, called(agreeing)) == ("The answer is 4.", {"a": 1, "b": 1})

    failing = fakes(b=Reply(error=ProviderFailed("down")))
    with pytest.raises(QuorumError):
        asyncio.run(MoLLM(CONFIG, llms=failing).aask("Hi", mixture={"workers": ["a", "b"], "quorum": 2}))

    twice = fakes()
    answer = asyncio.run(MoLLM(CONFIG, llms=twice).aask("Hi", mixture={**PANEL, "layers": 2}))
    assert called(twice) == {"a": 4, "b": 2, "boss": 1}


@pytest.mark.parametrize(
    "panel",
    [
        {"workers": ["a"] * 1000},
        {"workers": [{"llm": "a", "samples": 64}] * 16},
        {"workers": ["a"] * 3, "layers": 3, "aggregator": {"llm": "boss", "fallback_llm": "c"}},
    ],
)
def test_a_panel_is_held_to_the_limits_before_anybody_is_asked(panel: dict[str, Any]) -> None:
    """Also one of more workers than could be built."""
    llms = fakes()
    with (
        MoLLM(changed(limits={"calls": 10}), llms=llms) as asked,
        pytest.raises(LimitError, match=r"limits\.calls is 10"),
    ):
        asked.ask("Hi", mixture=panel)

    assert not called(llms)


def test_an_llm_without_a_price_is_refused_where_cost_is_bounded() -> None:
    """Nothing could be counted; one with a price is counted."""
    priced = {"model": "scripted/x", "price": {"input": 1, "output": 1}, "max_tokens": 100}
    llms = {"a": priced, "b": priced, "spare": {"model": "scripted/x"}}
    config = {"llms": llms, "mixtures": {"m": {"description": "d", "workers": ["a"]}}, "limits": {"cost_usd": 0.01}}
    with MoLLM(config) as asked:
        assert asked.ask("Hi", mixture={"workers": ["a", "b"]}).cost_usd
        with pytest.raises(LimitError, match=r"spare has no price, so limits\.cost_usd cannot be kept"):
            asked.ask("Hi", mixture={"workers": ["a", "spare"]})
        with pytest.raises(LimitError, match=r"USD at worst .* and limits\.cost_usd is 0\.01"):
            asked.ask("Hi", mixture={"workers": [{"llm": "b", "max_tokens": 9000}, "a"]})


class Purse:
    """A budget that is empty."""

    asked: int = 0

    def allows(self, worst: WorstCase) -> bool:
        """Nothing is allowed."""
        return worst.calls == 0

    def reserve(self, worst: WorstCase) -> None:
        """Refuse, and keep what was asked for."""
        self.asked = worst.calls
        raise LimitError("the purse is empty")


def test_a_panel_takes_its_worst_case_from_the_budget() -> None:
    """Before an LLM is called."""
    llms, purse = fakes(), Purse()
    with pytest.raises(LimitError, match="the purse is empty"):
        asyncio.run(MoLLM(CONFIG, llms=llms).arun("Hi", mixture=PANEL, budget=purse))

    assert purse.asked == 4
    assert not called(llms)


def test_llms_that_no_mixture_uses_are_built_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building one may load a library, and the event loop goes on meanwhile."""
    asked = MoLLM(CONFIG, llms=fakes())
    builders: list[tuple[str, bool]] = []
    build = asked.catalog.llms.add

    def add(name: str) -> Any:
        builders.append((name, threading.current_thread() is threading.main_thread()))
        return build(name)

    monkeypatch.setattr(asked.catalog.llms, "add", add)

    assert asyncio.run(asked.aask("Hi", mixture={"workers": ["a", "spare"], "aggregator": {"llm": "boss"}})).text
    assert set(builders) >= {("spare", False), ("boss", False)}
    assert not [name for name, is_main in builders if is_main]


def test_an_llm_that_cannot_be_built_is_the_configurations_mistake() -> None:
    """As where it is asked by its name."""
    spare = {"model": "openai/x", "api_base": "http://127.0.0.1:9/v1", "api_key": "${MOLLM_NO_SUCH_VARIABLE}"}
    config = changed(llms={**CONFIG["llms"], "spare": spare})
    llms = {name: llm for name, llm in fakes().items() if name != "spare"}
    with MoLLM(config, llms=llms) as asked, pytest.raises(ConfigError, match="MOLLM_NO_SUCH_VARIABLE"):
        asked.ask("Hi", mixture={"workers": ["a", "spare"]})


async def test_a_panel_is_built_once_and_the_latest_are_kept() -> None:
    """For all nodes of a question, and for who brings the same again."""
    panels = MoLLM(CONFIG, llms=fakes()).catalog.panels

    first = await panels.mixture(PANEL)
    assert await panels.mixture({**PANEL, "workers": list(PANEL["workers"])}) is first
    others = [await panels.mixture({**PANEL, "deadline": seconds}) for seconds in range(1, MOST_KEPT + 1)]
    assert await panels.mixture({**PANEL, "deadline": MOST_KEPT}) is others[-1]
    assert await panels.mixture(PANEL) is not first
    assert (await panels.mixture(PANEL)).panel == first.panel


@pytest.mark.parametrize("options", [{}, {"context": {"mixture": {"workers": ["c"]}}}])
async def test_a_panel_goes_on_in_another_process(options: dict[str, Any]) -> None:
    """The state is plain data and holds the panel, so nobody has to bring it again, and nobody can change it."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    saver = InMemorySaver(serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None))
    thread: Any = {"configurable": {"thread_id": "t"}}
    first, second = fakes(), fakes()
    graph: Any = mollm.create_graph(CONFIG, llms=first, checkpointer=saver)
    asked = {"messages": [("user", "Hi")]}

    await graph.ainvoke(asked, thread, context={"mixture": PANEL}, interrupt_before=["aggregate"])
    state = (await graph.aget_state(thread)).values["run"]
    again: Any = mollm.create_graph(CONFIG, llms=second, checkpointer=saver)
    found = await again.ainvoke(None, thread, **options)

    assert state["panel"] == PANEL
    assert called(first) == {"a": 2, "b": 1}
    assert called(second) == {"boss": 1}
    is_whole(answer_from_plain(found["mollm"]))


async def test_a_panel_whose_llm_is_gone_cannot_go_on() -> None:
    """The process that resumes it has another file; it says what is missing."""
    from langgraph.checkpoint.memory import InMemorySaver

    saver, thread = InMemorySaver(), {"configurable": {"thread_id": "t"}}
    graph: Any = mollm.create_graph(CONFIG, llms=fakes(), checkpointer=saver)
    asked = {"messages": [("user", "Hi")]}
    await graph.ainvoke(asked, thread, context={"mixture": PANEL}, interrupt_before=["aggregate"])
    less = changed(llms={name: CONFIG["llms"][name] for name in "ab"})
    again: Any = mollm.create_graph(less, llms={n: llm for n, llm in fakes().items() if n in "ab"}, checkpointer=saver)

    with pytest.raises(RequestError, match=r"mixture\.aggregator\.llm: no LLM 'boss'"):
        await again.ainvoke(None, thread)


async def test_two_panels_have_turns_of_their_own_and_the_same_one_has_its_own_again() -> None:
    """Whatever differs, be it only who aggregates or what is ranked."""
    panels = MoLLM(CONFIG, llms=fakes()).catalog.panels
    others = [
        {**PANEL, "aggregator": {"llm": "c"}},
        {**PANEL, "aggregator": {**PANEL["aggregator"], "temperature": 0}},
        {**PANEL, "workers": ["a", "b", "a"]},
        {**PANEL, "shuffle": False},
    ]

    turns = [turn_of(ASKED, await panels.mixture(panel), "") for panel in (PANEL, *others)]

    assert len({*turns}) == len(turns)
    assert turn_of(ASKED, await panels.mixture(dict(PANEL)), "") == turns[0]


async def test_with_tools_the_proposals_of_a_panel_are_used_again_in_its_turn() -> None:
    """By the same panel, and by no other."""
    llms = fakes(boss=[ACTS, "It is."] * 2, c="It is not.")
    asked = MoLLM(CONFIG, llms=llms)

    first = await asked.aask(ASKED, mixture=PANEL, tools=[TOOL])
    assert (first.finish_reason, first.on_tools, called(llms)) == ("tool_calls", "after", {"a": 2, "b": 1, "boss": 1})
    other = await asked.aask(STEP, mixture={**PANEL, "aggregator": {"llm": "c"}}, tools=[TOOL])
    assert (other.reused, called(llms)) == (False, {"a": 2, "b": 1, "c": 1})
    second = await asked.aask(STEP, mixture=PANEL, tools=[TOOL])

    assert (second.text, second.reused, called(llms)) == ("It is.", True, {"boss": 1})


def test_what_a_panel_holds_is_not_in_the_options_as_they_are_printed() -> None:
    """A worker's `extra_body` may hold a key."""
    options = Options(mixture={"workers": [{"llm": "a", "extra_body": {"key": "sesame"}}]})

    assert "sesame" not in repr(options)
