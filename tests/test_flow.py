"""One table, two ways to run it: whatever a question does, the loop and the graph tell, answer and call the same."""

from __future__ import annotations

import asyncio
import itertools
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm import flow
from mollm.catalog import Catalog
from mollm.config.load import load_config
from mollm.errors import BadRequest, ProviderFailed, RateLimited
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.messages import question_of
from mollm.options import Options
from mollm.plain import to_plain
from mollm.pool import Pool
from mollm.run import Context, Run, fresh
from tests.clock import run_virtual
from tests.fuzz import cases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mollm.calling.base import Request
    from mollm.events import Event, Token
    from mollm.types import Message

NAMES = ("a", "b", "c", "boss")
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"x":1}'}}


class Heard:
    """An observer that keeps everything in its plain form."""

    def __init__(self) -> None:
        self._events: list[tuple[float, str]] = []

    def tell(self, event: Event) -> None:
        self._note(f"{type(event).__name__} {to_plain(event)}")

    async def show(self, token: Token) -> None:
        self._note(str(to_plain(token)))

    def _note(self, text: str) -> None:
        self._events.append((asyncio.get_running_loop().time(), text))

    @property
    def order(self) -> list[str]:
        """What the question itself tells, which is one after the other."""
        tasks = ("Started", "Arrived", "Failed", "CallStarted", "CallEnded")
        return [text for _, text in self._events if not text.startswith(tasks)]

    @property
    def events(self) -> list[tuple[float, str]]:
        """In their order; what several tasks tell at the same moment has none."""
        return sorted(self._events)


@dataclass(frozen=True)
class Case:
    """A question, and everything that decides how it goes."""

    replies: dict[str, Reply]
    mixture: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    messages: Sequence[Message] = ({"role": "user", "content": "How many?"},)
    seconds: float = 300.0
    cancelled_after: float | None = None


@dataclass(frozen=True)
class Seen:
    """What can be seen of it from outside."""

    events: list[Any]
    order: list[str]
    asked: dict[str, list[Any]]
    cancelled: dict[str, int]
    error: str | None
    run: dict[str, Any] | None


def play(case: Case, engine: str) -> Seen:
    """Answer the question of a case by one of the two drivers, on a virtual clock."""
    # No two calls end at the same moment: which of two equal timers fires first is nobody's promise.
    moments = itertools.count(1)

    def script(name: str) -> Callable[[Request], Reply]:
        reply = case.replies.get(name, Reply(f"from {name}"))
        return lambda _: replace(reply, delay=reply.delay + next(moments) / 1024) if reply.delay else reply

    llms = {name: ScriptedLLM(script(name)) for name in NAMES}
    config = {
        "llms": {name: {"model": "x/y", "retries": 0} for name in NAMES},
        "mixtures": {"m": {"description": "d", **case.mixture}},
        "limits": {"seconds": case.seconds},
    }
    catalog = Catalog(load_config(config), Pool(llms))
    heard = Heard()
    run: dict[str, Any] | None = None

    async def loop() -> None:
        nonlocal run
        options = Options(id="mollm-1", observer=heard, **case.options)
        question = question_of(case.messages, tools=options.tools, response_format=options.response_format)
        context = Context(catalog, question, options, observer=heard, streams=options.stream)
        last = await flow.walk(fresh(options), context)
        flow.finish(last, context)
        run = last.to_plain()

    async def graph() -> None:
        from langgraph.checkpoint.memory import InMemorySaver

        from mollm.conversion import to_langchain
        from mollm.graph import compile_graph

        nonlocal run
        built = compile_graph(catalog, checkpointer=InMemorySaver())
        messages, plain = to_langchain(case.messages)
        options = Options(id="mollm-1", observer=heard, plain=plain, **case.options)
        thread: Any = {"configurable": {"thread_id": "1"}}
        try:
            await built.ainvoke({"messages": messages}, thread, context=options)
        finally:
            state = await built.aget_state(thread)
            if "mollm" in state.values:
                run = state.values["run"]
                assert [m.type for m in state.values["messages"]][-1] == "ai"
                assert len(state.values["messages"]) == len(case.messages) + 1

    async def main() -> str | None:
        work = asyncio.ensure_future(loop() if engine == "loop" else graph())
        if case.cancelled_after is not None:
            await asyncio.wait([work], timeout=case.cancelled_after)
            work.cancel()
        await asyncio.wait([work])
        if work.cancelled():
            return "cancelled"
        error = work.exception()
        return f"{type(error).__name__}: {error}" if error else None

    error = run_virtual(main())
    asked = {name: [plain_request(request) for request in llm.requests] for name, llm in llms.items()}
    return Seen(heard.events, heard.order, asked, {name: llm.cancelled for name, llm in llms.items()}, error, run)


def plain_request(request: Request) -> Any:
    """A request as plain data; the random delimiters of a fence are made equal."""
    text = re.sub(r"(answer|comparison)-[0-9a-f]{8}", r"\1-x", repr(list(request.messages)))
    return text, request.settings.payload(), request.is_answer


FAILURES = st.sampled_from([BadRequest("no"), RateLimited("slow", retry_after_seconds=3), ProviderFailed("down")])
ANALYSIS = (
    '{"consensus": [{"point": "One says 4.", "answers": [1]}], "contradictions": [], "partial_coverage": [],'
    ' "unique_points": [], "blind_spots": [{"point": "Why?", "answers": []}]}'
)
TEXTS = st.sampled_from(["4", "The answer is 4.", "5", "It depends.", "", "x " * 40, ANALYSIS])
REVIEWS = st.sampled_from(['{"ranking": [[1], [2]]}', '{"ranking": [[3], [1, 2]]}', '{"ranking": [[1]]}'])
REPLIES = st.builds(
    Reply,
    TEXTS | REVIEWS,
    delay=st.sampled_from([0.0, 1.0, 2.0, 50.0]),
    error=st.none() | FAILURES,
    breaks_after=st.none() | st.just(1),
    finish_reason=st.sampled_from(["stop", "length"]),
) | st.just(Reply(message={"role": "assistant", "content": None, "tool_calls": [CALL]}, finish_reason="tool_calls"))
PARTS = st.lists(
    st.sampled_from(
        [
            {"type": "text", "text": "one"},
            {"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_id": "f"}},
        ]
    ),
    min_size=1,
    max_size=3,
)
MESSAGES = st.one_of(
    st.builds(lambda content: {"role": "user", "content": content}, st.text(min_size=1) | PARTS),
    st.builds(lambda text: {"role": "system", "content": text}, st.text(min_size=1)),
    st.builds(lambda text: {"role": "assistant", "content": text, "refusal": None}, st.none() | st.text()),
    st.builds(
        lambda text: {"role": "assistant", "content": "x", "reasoning_content": text, "extra": {"a": [1]}}, st.text()
    ),
    st.just({"role": "assistant", "content": None, "tool_calls": [CALL]}),
    st.just(
        {"role": "assistant", "content": "", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{"}}]}
    ),
    st.just({"role": "tool", "tool_call_id": "c1", "content": "7", "name": "find"}),
    st.just({"role": "user", "name": "ann", "content": "Hi", "weight": 1}),
)
STEP = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "7", "name": "find"},
]
CONVERSATIONS = st.builds(
    lambda before, last, after: [*before, {"role": "user", "content": last}, *after],
    st.lists(MESSAGES, max_size=3),
    st.text(min_size=1).filter(str.strip),
    st.just([]) | st.just([]) | st.just(STEP),
)


@st.composite
def mixtures(draw: st.DrawFn) -> dict[str, Any]:
    """A mixture of one to three workers with rules that can be met."""
    workers = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
    planned = len(workers)
    enough = draw(st.integers(1, planned))
    found: dict[str, Any] = {
        "workers": workers,
        "enough": enough,
        "quorum": draw(st.integers(1, enough)),
        "ask_first": draw(st.integers(1, planned)),
        "deadline": draw(st.sampled_from([1.5, 10.0])),
        "layers": draw(st.integers(1, 2)),
        "aggregator": {"method": draw(st.sampled_from(["synthesize", "vote", "best"])), "llm": "boss"},
    }
    if enough > 1 and draw(st.booleans()):
        found |= {"agree": 2, "quorum": min(found["quorum"], 2)}
    if enough < planned and found["ask_first"] > enough and draw(st.booleans()):
        found["grace"] = draw(st.sampled_from([0.25, 4.0]))
    if draw(st.booleans()):
        found["aggregator"]["fallback_llm"] = "c"
    awaited = planned if "grace" in found else enough
    if awaited > 1 and found["aggregator"]["method"] != "vote" and draw(st.booleans()):
        found["aggregator"]["analysis"] = True
    if draw(st.booleans()):
        found["on_tools"] = draw(st.sampled_from(["after", "every", "alone"]))
    needs_llm = found["aggregator"]["method"] == "best" and "analysis" in found["aggregator"]
    if awaited > 1 and found["aggregator"]["method"] != "vote" and not needs_llm:
        by_workers: list[dict[str, Any]] = [{"review": {}}] if awaited > 2 else []
        found |= draw(st.sampled_from([{}, *by_workers, {"review": {"by": ["boss"]}}]))
    return found


CASES = st.builds(
    Case,
    st.fixed_dictionaries(dict.fromkeys(NAMES, REPLIES)),
    mixtures(),
    st.fixed_dictionaries(
        {"seed": st.integers(0, 3), "stream": st.booleans()},
        optional={
            "n": st.integers(1, 3),
            "tools": st.just([TOOL]),
            "max_tokens": st.integers(1, 9),
            "response_format": st.just({"type": "json_object"}),
        },
    ),
    CONVERSATIONS,
    seconds=st.sampled_from([300.0, 2.5]),
    cancelled_after=st.none() | st.sampled_from([0.5, 1.5]),
)


@settings(max_examples=cases(150))
@given(CASES)
def test_the_loop_and_the_graph_do_the_same(case: Case) -> None:
    """Events, requests, cancellations, errors; and what the loop ends with is what a checkpointer stored last."""
    assert play(case, "loop") == play(case, "graph")


def test_the_table_is_closed() -> None:
    """Every node is reached from the first, and goes on to a node of the table or to the answer."""
    reached, seen = {flow.START}, set[str]()
    while ahead := reached - seen - {flow.END}:
        seen |= ahead
        reached |= {to for name in ahead for to in flow.TRANSITIONS[name].to}

    assert seen == set(flow.TRANSITIONS)
    assert flow.END in reached


@given(CASES)
@settings(max_examples=cases(30))
def test_a_run_survives_being_stored(case: Case) -> None:
    """Its plain form comes back as the same value."""
    plain = play(case, "loop").run

    assert plain is None or Run.from_plain(plain).to_plain() == plain


def test_a_node_that_cancels_itself_is_a_failure() -> None:
    """Nobody cancelled the question, so nobody is told that somebody did."""
    case = Case({"a": Reply(error=asyncio.CancelledError("x"))}, {"workers": ["a"]})  # type: ignore[arg-type]

    assert play(case, "loop").error == "RuntimeError: the bypass node was cancelled from inside"


@pytest.mark.parametrize("engine", ["loop", "graph"])
def test_the_time_of_a_question_is_bounded(engine: str) -> None:
    """`limits.seconds` ends what still runs, in every node."""
    case = Case({"a": Reply(delay=50), "boss": Reply(delay=50)}, {"workers": ["a", "b"]}, seconds=2.5)

    seen = play(case, engine)

    assert seen.run is not None
    assert seen.run["seconds"] == pytest.approx(2.5)
    assert seen.cancelled["a"] == 1
