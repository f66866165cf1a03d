"""Whoever watches through LangChain or LangSmith is shown the graph; nobody else pays for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.observing.watching import is_watched
from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = {"llms": {"a": {"model": "x/y"}}, "mixtures": {"m": {"description": "d", "workers": ["a"]}}}
USED = Usage(3, 4, 7)


def mollm() -> MoLLM:
    """One worker with a known usage."""
    return MoLLM(CONFIG, llms={"a": ScriptedLLM(Reply("yes", usage=USED))})


def runs_as_graph(subject: MoLLM) -> bool:
    """A graph was compiled for it."""
    return subject.catalog in subject._graphs  # noqa: SLF001 - there is nothing else to see from outside


@pytest.fixture(autouse=True)
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine is in the way, and nothing is sent anywhere."""
    for prefix in ("LANGSMITH", "LANGCHAIN"):
        for name in ("TRACING", "TRACING_V2"):
            monkeypatch.delenv(f"{prefix}_{name}", raising=False)
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("LANGSMITH_API_KEY", "none")


def test_nobody_watches() -> None:
    """A plain call is a plain loop, though LangChain was imported."""
    import langchain_core.callbacks  # noqa: F401

    with mollm() as subject:
        assert subject.ask("Hi").text == "yes"

        assert not is_watched()
        assert not runs_as_graph(subject)


def test_the_graph_can_be_asked_for() -> None:
    """`engine="graph"` runs it whoever looks on."""
    with MoLLM(CONFIG, llms={"a": ScriptedLLM("yes")}, engine="graph") as subject:
        assert subject.ask("Hi").text == "yes"
        assert runs_as_graph(subject)


@pytest.mark.parametrize(
    "name", ["LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"]
)
def test_a_variable_turns_tracing_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each of its spellings; `false` and nothing are off."""
    for value, on in (("true", True), ("false", False), ("", False)):
        monkeypatch.setenv(name, value)
        assert is_watched() is on


def test_a_variable_counts_before_anything_was_imported() -> None:
    """A server that never imported LangChain is traced when somebody asks for it."""
    code = (
        "import sys; from mollm.observing.watching import is_watched; print(is_watched(), 'langsmith' in sys.modules)"
    )

    def said(**environ: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
        ).stdout

    assert said() == "False False\n"
    assert said(LANGSMITH_TRACING="true") == "True False\n"


def test_tracing_context() -> None:
    """LangSmith's own switch."""
    from langsmith.run_helpers import tracing_context

    with tracing_context(enabled=True):
        assert is_watched()
    with tracing_context(enabled=False):
        assert not is_watched()


def test_langsmith_configure() -> None:
    """The switch of the whole process."""
    import langsmith

    langsmith.configure(enabled=True)
    try:
        assert is_watched()
    finally:
        langsmith.configure(enabled=None)
    assert not is_watched()


def test_traceable() -> None:
    """A function of the caller that is traced, without LangChain."""
    import langsmith
    from langsmith.run_helpers import tracing_context

    seen = []

    @langsmith.traceable
    def work() -> None:
        seen.append(is_watched())

    with tracing_context(enabled="local"):
        work()

    assert seen == [True]
    assert not is_watched()


def test_tracing_v2_enabled() -> None:
    """LangChain's context manager for a tracer."""
    from langchain_core.tracers.context import tracing_v2_enabled

    with tracing_v2_enabled():
        assert is_watched()
    assert not is_watched()


def test_a_handler_in_a_registered_variable() -> None:
    """What `register_configure_hook` is for."""
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.tracers.context import _configure_hooks, register_configure_hook

    variable: ContextVar[Any] = ContextVar("variable", default=None)
    register_configure_hook(variable, inheritable=True)
    try:
        assert not is_watched()
        token = variable.set(BaseCallbackHandler())
        assert is_watched()
        variable.reset(token)
    finally:
        _configure_hooks.pop()


@pytest.fixture
def debugging() -> Iterator[None]:
    """LangChain prints what happens."""
    from langchain_core.globals import set_debug

    set_debug(True)
    yield
    set_debug(False)


@pytest.mark.usefixtures("debugging")
def test_set_debug() -> None:
    """Whoever prints everything wants to see us too."""
    assert is_watched()


def test_a_callback_in_a_context_hears_every_call() -> None:
    """The usage that `get_usage_metadata_callback` collects is that of the question."""
    from langchain_core.callbacks import get_usage_metadata_callback

    with mollm() as subject, get_usage_metadata_callback() as total:
        subject.ask("Hi")

        assert runs_as_graph(subject)
    assert [found["total_tokens"] for found in total.usage_metadata.values()] == [7]


def graph_around(node: Any) -> Any:
    """A graph of somebody else whose only node calls us."""
    from langgraph.graph import END, START, MessagesState, StateGraph

    builder = StateGraph(MessagesState)
    builder.add_node("ours", node)
    builder.add_edge(START, "ours")
    builder.add_edge("ours", END)
    return builder.compile()


def test_a_surrounding_graph_from_a_thread() -> None:
    """A node without `async` runs in a thread, and asks us from there."""
    with mollm() as subject:
        seen = []

        def node(state: Any) -> dict[str, Any]:
            seen.append(is_watched())
            return {"messages": [("ai", subject.ask(state["messages"][-1].text).text)]}

        found = asyncio.run(graph_around(node).ainvoke({"messages": [("user", "Hi")]}))

        assert runs_as_graph(subject)
    assert found["messages"][-1].content == "yes"
    assert seen == [True]


async def test_a_surrounding_graph() -> None:
    """An asynchronous node asks us on its own event loop; what we call is seen from outside."""
    from langchain_core.callbacks import BaseCallbackHandler

    started = []

    class Watcher(BaseCallbackHandler):
        def on_chat_model_start(self, serialized: dict[str, Any], *_: Any, **__: Any) -> None:
            started.append(serialized["name"])

    async with mollm() as subject:

        async def node(state: Any) -> dict[str, Any]:
            return {"messages": [("ai", (await subject.aask(state["messages"][-1].text)).text)]}

        await graph_around(node).ainvoke({"messages": [("user", "Hi")]}, {"callbacks": [Watcher()]})

    assert started == ["a"]


async def test_a_surrounding_runnable() -> None:
    """As with a graph."""
    from langchain_core.runnables import RunnableLambda

    async with mollm() as subject:

        async def answer(text: str) -> str:
            return (await subject.aask(text)).text

        assert await RunnableLambda(answer).ainvoke("Hi") == "yes"
        assert runs_as_graph(subject)


FRESH = {
    "set_debug": "from langchain_core.globals import set_debug; set_debug(True); print(is_watched())",
    "usage": "from langchain_core.callbacks import get_usage_metadata_callback\n"
    "with get_usage_metadata_callback(): print(is_watched())",
    "collect": "from langchain_core.tracers.context import collect_runs\nwith collect_runs(): print(is_watched())",
    "configure": "import langsmith; langsmith.configure(enabled=True); print(is_watched())",
}


@pytest.mark.parametrize("code", FRESH.values(), ids=list(FRESH))
def test_whoever_watches_is_seen_however_little_was_imported(code: str) -> None:
    """In a process that did nothing else; and without it, nobody is."""
    program = f"from mollm.observing.watching import is_watched\nprint(is_watched())\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "False\nTrue\n"


async def test_a_node_that_is_resumed_has_the_answer_again() -> None:
    """A parent graph with a checkpointer runs its node anew, and we bring back what was answered."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.types import Command, interrupt

    async with mollm() as subject:

        async def node(state: Any) -> dict[str, Any]:
            answer = await subject.aask(state["messages"][0].text)
            return {"messages": [("ai", f"{answer.text} {interrupt('?')}")]}

        builder: Any = StateGraph(MessagesState)
        builder.add_node("ours", node)
        builder.add_edge(START, "ours")
        graph = builder.compile(checkpointer=InMemorySaver())
        thread = {"configurable": {"thread_id": "1"}}
        await graph.ainvoke({"messages": [("user", "Hi")]}, thread)
        found = await graph.ainvoke(Command(resume="indeed"), thread)

    assert found["messages"][-1].content == "yes indeed"


async def test_the_bound_of_a_parent_is_not_ours() -> None:
    """Three steps are enough for a parent of one node, whatever happens inside it."""
    async with mollm() as subject:

        async def node(state: Any) -> dict[str, Any]:
            return {"messages": [("ai", (await subject.aask(state["messages"][0].text)).text)]}

        found = await graph_around(node).ainvoke({"messages": [("user", "Hi")]}, {"recursion_limit": 2})

    assert found["messages"][-1].content == "yes"
