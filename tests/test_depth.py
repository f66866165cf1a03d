"""Questions inside questions: the second level is answered, the third is refused, whichever way it comes."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mollm
from mollm import depth
from mollm.calling.base import Chunk, Completion
from mollm.errors import ConfigError, RequestError, TooDeep
from mollm.events import Done
from mollm.types import Route, Written
from tests.fuzz import cases

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mollm.calling.base import Request
    from mollm.events import Event, Token

CONFIG: dict[str, Any] = {
    "llms": {"plain": {"model": "scripted/plain"}, "own": {"model": "scripted/unused"}},
    "router": {"fallback": "inner"},
    "mixtures": {
        "inner": {"description": "One that answers.", "workers": ["plain"]},
        "middle": {"description": "One that asks another.", "workers": ["own"]},
        "jury": {
            "description": "Two of which one asks.",
            "workers": ["plain", "own"],
            "aggregator": {"llm": "plain"},
        },
    },
}
DEEPER = "a question may be asked inside another one, and none inside that"


class Asking:
    """An LLM that asks: whatever `ask` does becomes its reply."""

    def __init__(self, ask: Callable[[], Awaitable[str]] | None = None) -> None:
        self.ask = ask
        self.levels: list[int] = []

    async def complete(self, request: Request) -> Completion:  # noqa: ARG002 - the interface has it
        self.levels.append(depth.level())
        assert self.ask
        return Completion({"role": "assistant", "content": await self.ask()})

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        reply = await self.complete(request)
        yield Chunk({"role": "assistant", "content": reply.text}, "stop")

    async def aclose(self) -> None:
        """Hold nothing."""


def nested(mixture: str) -> tuple[mollm.MoLLM, Asking]:
    """An LLM that asks `mixture` of the object that it answers for."""
    llm = Asking()
    outer = mollm.MoLLM(CONFIG, llms={"own": llm})

    async def ask() -> str:
        return (await outer.aask("Hm?", mixture=mixture)).text

    llm.ask = ask
    return outer, llm


class AskingAggregator:
    """Has the answer written by who asks."""

    kind: ClassVar[str] = "asking"

    def __init__(self, llm: Asking) -> None:
        self._llm = llm

    def plan(self, *_: object) -> tuple[()]:
        """No call of its own."""
        return ()

    async def aggregate(self, *_: object) -> Written:
        """Ask."""
        assert self._llm.ask
        return Written({"role": "assistant", "content": await self._llm.ask()}, "stop")


# The levels


async def test_a_question_inside_a_question_is_answered() -> None:
    """That is what a worker does which is an agent with a tool, and it does no harm."""
    outer, llm = nested("inner")
    async with outer:
        assert (await outer.aask("Why?", mixture="middle")).text == "plain"

    assert llm.levels == [1]
    assert depth.level() == 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_mixture_that_asks_itself_is_refused_at_the_third_level(*, stream: bool) -> None:
    """The error names the mixtures, from the outermost on; nothing is tried again, and no breaker counts it."""
    outer, llm = nested("middle")
    async with outer:
        with pytest.raises(TooDeep, match="middle > middle > middle") as refused:
            if stream:
                async for _ in outer.astream("Why?", mixture="middle"):
                    pass
            else:
                await outer.aask("Why?", mixture="middle")

        assert refused.value.chain == ("middle", "middle", "middle")
        assert DEEPER in str(refused.value)
        assert llm.levels == [1, 2]
        assert [address.breaker.failures for address in outer.catalog.llms["own"].addresses] == [0]


async def test_a_worker_that_asks_itself_does_not_cost_the_answer() -> None:
    """It is a worker that failed, and the others answer; the trace says why."""
    outer, _ = nested("middle")
    async with outer:
        answer = await outer.aask("Why?", mixture="jury")

    assert answer.text == "plain"
    assert [p.error.kind for p in answer.proposals if p.error] == ["too_deep"]
    assert "jury > middle > middle" in str(answer.proposals)


async def test_an_aggregator_of_ones_own_counts() -> None:
    """As everything that runs while a question is answered."""
    asking = Asking()
    panel = {"description": "x", "workers": ["plain", "plain"], "aggregator": {"method": "asking"}}
    config = {**CONFIG, "mixtures": {"inner": panel}}
    async with mollm.MoLLM(config, aggregators={"asking": AskingAggregator(asking)}) as outer:

        async def ask() -> str:
            return (await outer.aask("Hm?")).text

        asking.ask = ask
        with pytest.raises(TooDeep, match="inner > inner > auto"):
            await outer.aask("Why?")


async def test_two_objects_that_ask_each_other_count_together() -> None:
    """What counts is how deep a question is, not who answers."""
    first, second = Asking(), Asking()
    one = mollm.MoLLM(CONFIG, llms={"own": first})
    other = mollm.MoLLM(CONFIG, llms={"own": second})

    async def ask_other() -> str:
        return (await other.aask("Hm?", mixture="middle")).text

    async def ask_one() -> str:
        return (await one.aask("Hm?", mixture="jury")).text

    first.ask, second.ask = ask_other, ask_one
    async with one, other:
        with pytest.raises(TooDeep, match="middle > middle > jury"):
            await one.aask("Why?", mixture="middle")


async def test_a_router_that_asks_counts() -> None:
    """Also where only the route is wanted: a router that routes by itself would never end."""
    held: list[mollm.MoLLM] = []

    class Routing:
        kind: ClassVar[str] = "routing"

        async def route(self, question: Any, calls: Any) -> Route:  # noqa: ARG002 - the interface has them
            return await held[0].aroute("Where?")

    async with mollm.MoLLM(CONFIG, router=Routing()) as outer:
        held.append(outer)
        with pytest.raises(TooDeep, match="auto > auto > auto"):
            await outer.aask("Why?")
        with pytest.raises(TooDeep, match="auto > auto > auto"):
            await outer.aroute("Why?")


async def test_an_observer_that_asks_when_all_is_done_counts() -> None:
    """As one that has every answer judged by the same mixtures, which would be judged in turn."""
    asked: list[asyncio.Task[Any]] = []
    held: list[mollm.MoLLM] = []

    class Judge:
        def tell(self, event: Event) -> None:
            if isinstance(event, Done):
                asked.append(asyncio.create_task(held[0].aask("Was it good?", mixture="inner")))

        async def show(self, token: Token) -> None:
            """Nothing is streamed."""

    async with mollm.MoLLM(CONFIG, observers=[Judge()]) as outer:
        held.append(outer)
        await outer.aask("Why?", mixture="inner")
        while waiting := [task for task in asked if not task.done()]:
            await asyncio.wait(waiting)

    assert [type(task.exception()) for task in asked] == [type(None), TooDeep]


# The ways


def blocking(outer: mollm.MoLLM) -> Callable[[], Awaitable[str]]:
    """Ask in a thread, and from there on mollm's own loop."""

    async def ask() -> str:
        return (await asyncio.to_thread(outer.ask, "Hm?", mixture="middle")).text

    return ask


def in_a_thread_with_the_context(outer: mollm.MoLLM) -> Callable[[], Awaitable[str]]:
    """Ask in a thread of one's own that was given the context."""

    async def ask() -> str:
        found: list[Any] = []

        def run() -> None:
            try:
                found.append(outer.ask("Hm?", mixture="middle").text)
            except Exception as error:  # noqa: BLE001 - raised below
                found.append(error)

        thread = threading.Thread(target=contextvars.copy_context().run, args=(run,))
        thread.start()
        await asyncio.to_thread(thread.join)
        if isinstance(found[0], Exception):
            raise found[0]
        return str(found[0])

    return ask


def by_the_graph(outer: mollm.MoLLM) -> Callable[[], Awaitable[str]]:
    """Ask the graph."""

    async def ask() -> str:
        state = await outer.graph.ainvoke({"messages": [("user", "Hm?")]}, context={"mixture": "middle"})
        return str(state["messages"][-1].content)

    return ask


def by_the_graph_in_a_thread(outer: mollm.MoLLM) -> Callable[[], Awaitable[str]]:
    """Ask the graph without an event loop."""

    async def ask() -> str:
        asked: Any = {"messages": [("user", "Hm?")]}
        state = await asyncio.to_thread(outer.graph.invoke, asked, context={"mixture": "middle"})
        return str(state["messages"][-1].content)

    return ask


@pytest.mark.parametrize("way", [blocking, in_a_thread_with_the_context, by_the_graph, by_the_graph_in_a_thread])
@pytest.mark.parametrize("engine", ["auto", "graph"])
def test_the_level_goes_along(way: Callable[..., Any], engine: Any) -> None:
    """Through threads, through the loop of blocking calls, and through LangGraph."""
    llm = Asking()
    with mollm.MoLLM(CONFIG, llms={"own": llm}, engine=engine) as outer:
        llm.ask = way(outer)
        with pytest.raises(TooDeep, match="middle > middle > middle"):
            outer.ask("Why?", mixture="middle")

    assert llm.levels == [1, 2]


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "blocking"])
def test_an_agent_that_is_an_llm_is_told_by_its_tool(*, is_async: bool) -> None:
    """A LangChain model that calls the tool of its own mixture gets a tool error, and can still answer."""
    from langchain_core.runnables import RunnableLambda

    said: list[str] = []

    def call(tool: Any) -> dict[str, Any]:
        return {"name": tool.name, "args": {"question": "Hm?"}, "id": "1", "type": "tool_call"}

    def run(_: Any, **__: Any) -> Any:
        found = outer.as_tool("middle")
        message = found.invoke(call(found))
        said.append(message.content)
        return message_of("done")

    async def arun(_: Any, **__: Any) -> Any:
        found = outer.as_tool("middle")
        message = await found.ainvoke(call(found))
        said.append(message.content)
        return message_of("done")

    def message_of(text: str) -> Any:
        from langchain_core.messages import AIMessage

        return AIMessage(text)

    model = RunnableLambda(arun) if is_async else RunnableLambda(run)
    with mollm.MoLLM(CONFIG, llms={"own": model}) as outer:
        assert outer.ask("Why?", mixture="middle").text == "done"

    assert len(said) == 2
    assert "middle did not answer: " in said[0]
    assert "middle > middle > middle" in said[0]
    assert said[1] == "done"


async def test_a_graph_inside_a_graph_is_no_question_inside_a_question() -> None:
    """A mixture as a node of an agent is of the first level, however deep the agents are."""
    from langgraph.graph import START, MessagesState, StateGraph

    llm = Asking()

    async def say() -> str:
        return "said"

    llm.ask = say
    inner: Any = mollm.create_graph(CONFIG, llms={"own": llm})
    for _ in range(3):
        builder = StateGraph(MessagesState)
        builder.add_node("next", inner)
        builder.add_edge(START, "next")
        inner = builder.compile()
    # Options of a graph inside another stand in its context; without, the router picks.
    state = await inner.ainvoke({"messages": [("user", "Why?")]})

    assert state["messages"][-1].content == "plain"

    outer = mollm.create_graph({**CONFIG, "router": {"fallback": "middle"}}, llms={"own": llm})
    await outer.ainvoke({"messages": [("user", "Why?")]})
    assert llm.levels == [1]


async def test_questions_side_by_side_and_one_after_the_other_are_not_inside_each_other() -> None:
    """Neither a batch nor a thousand questions in a loop go any deeper."""
    outer, llm = nested("inner")
    async with outer:
        await outer.abatch(["Why?"] * 5, mixture="middle")
        for _ in range(3):
            await outer.aask("Why?", mixture="middle")

    assert llm.levels == [1] * 8


def test_a_context_that_is_left_elsewhere_is_left_alone() -> None:
    """Python refuses to set back in one context what was set in another."""
    within = depth.answering("m")
    contextvars.copy_context().run(within.__enter__)

    within.__exit__(None, None, None)

    assert depth.level() == 0


# Between processes


@settings(max_examples=cases(200))
@given(st.text(max_size=5) | st.integers(-10, 1000).map(str))
def test_a_header_is_a_small_number_or_refused(value: str) -> None:
    """Nothing else is believed, and nothing of it is repeated."""
    is_small = value.isascii() and value.isdecimal() and len(value) <= 2
    if not value or (is_small and int(value) < depth.MOST):
        assert depth.questions_of(value) == int(value or 0)
        return
    with pytest.raises(RequestError) as refused:
        depth.questions_of(value)
    assert isinstance(refused.value, TooDeep) == is_small
    assert str(refused.value) == depth.NOT_A_NUMBER or is_small


def test_what_a_header_says_and_what_is_known_here_are_not_added_up() -> None:
    """An application that is asked without a socket gets the level both ways."""
    with depth.answering("m"):
        with depth.beneath(1):
            assert depth.level() == 1
            with depth.answering("n"):
                assert depth.level() == 2
        assert depth.level() == 1
    with depth.beneath(1):
        assert depth.level() == 1
    assert depth.level() == 0


# What can be seen before anything is asked


def as_model(graph: Any) -> Any:
    """A chat model in LangChain's eyes: a conversation in, a message out."""
    from langchain_core.runnables import RunnableLambda

    return RunnableLambda(lambda messages, **_: {"messages": messages}) | graph | (lambda state: state["messages"][-1])


def test_a_graph_as_an_llm_is_refused_with_what_to_write() -> None:
    """It takes and returns a state, so that every call would fail."""
    with pytest.raises(ConfigError, match="llms='own': a graph of mixtures takes and returns a state, and is no LLM"):
        mollm.MoLLM(CONFIG, llms={"own": mollm.create_graph(CONFIG)})


@pytest.mark.parametrize("wrapped", ["alone", "with fallbacks", "bound"])
def test_an_llm_that_holds_the_graph_of_the_same_configuration_is_refused(wrapped: str) -> None:
    """As deep in LangChain's wrappers as they show what is inside."""
    model = as_model(mollm.create_graph(CONFIG))
    if wrapped == "with fallbacks":
        model = model.with_fallbacks([model])
    elif wrapped == "bound":
        model = model.with_retry().with_config({"tags": ["x"]})

    with pytest.raises(ConfigError, match="llms='own': holds the graph of this configuration"):
        mollm.create_graph(CONFIG, llms={"own": model})


async def test_the_graph_of_another_configuration_may_be_an_llm() -> None:
    """It is a question inside a question, and answered."""
    other = {"llms": {"a": {"model": "scripted/elsewhere"}}, "mixtures": {"m": {"description": "x", "workers": ["a"]}}}

    async with mollm.MoLLM(CONFIG, llms={"own": as_model(mollm.create_graph(other))}) as outer:
        assert (await outer.aask("Why?", mixture="middle")).text == "elsewhere"
