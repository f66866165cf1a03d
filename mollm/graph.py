"""The table of `flow.py` as a LangGraph graph, which can be embedded, checkpointed, traced and drawn."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeAlias

from langchain_core.messages import AnyMessage  # noqa: TC002 - LangGraph evaluates the annotations of a state
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import get_runtime
from langgraph.types import Command
from typing_extensions import TypedDict  # the one of `typing` has no JSON Schema before Python 3.12

from mollm import flow
from mollm.answering import answer_of
from mollm.catalog import Catalog
from mollm.compiled import MixtureGraph
from mollm.config.load import load_config
from mollm.conversion import comes_back, from_state, sent_name
from mollm.errors import RequestError
from mollm.events import STREAMED
from mollm.feedback.stores import store_of
from mollm.loops import LoopThread
from mollm.messages import question_of
from mollm.observing.langchain import answer_message, follower_of, observer_of, wants_tokens, without_followers
from mollm.observing.observers import Guarded, Observers
from mollm.options import Options
from mollm.plain import to_plain
from mollm.pool import Pool
from mollm.run import Context, Run, fresh
from mollm.surrounding import options_around
from mollm.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import BaseStore

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.embeddings.own import EmbedderLike
    from mollm.events import Event, Observer, Token
    from mollm.observing.langchain import CallbackObserver
    from mollm.routing.base import RouterLike
    from mollm.types import Answer, Message


Graph: TypeAlias = "CompiledStateGraph[Any, Any, Any, Any]"
"""LangGraph accepts more than its types say: tuples and dictionaries as messages, a dictionary as context."""


class Input(TypedDict):
    """The input of the graph: a conversation. Options are passed as `context`."""

    messages: Annotated[list[AnyMessage], add_messages]


class Output(Input):
    """The output: the conversation with the answer, and the `Answer` as plain data."""

    mollm: dict[str, Any]


class State(Output):
    """The state between nodes: plain data, so that any checkpointer can store it."""

    run: dict[str, Any]
    """The `Run`."""
    beside: dict[str, Any]
    """By id, the OpenAI messages that LangChain's cannot hold."""


def create_graph(
    config: str | Path | Mapping[str, Any] | Config | None = None,
    *,
    name: str | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    store: BaseStore | None = None,
    llms: Mapping[str, Any] | None = None,
    router: RouterLike | None = None,
    embedder: EmbedderLike | None = None,
    aggregators: Mapping[str, Aggregator] | None = None,
    observers: Sequence[Observer] = (),
) -> Graph:
    """Build the graph of a configuration.

    Its input is `messages`; its output is `messages` with the answer added, and `mollm`, the `Answer` as plain data.
    Options of a question are passed as `context`: an `Options`, or a dictionary of its fields. The graph supports
    `invoke`, `ainvoke`, `stream` and `astream`, and can be a node of another graph, whose context has the options in
    an entry `mollm`.

    Args:
        config: A YAML file, a dictionary of the same shape, or a `Config`; None: the default file, as for the command.
        name: Name of the compiled graph (None: `mollm`), and, if it is given, of the message that is the answer.
        checkpointer: Stores the state of each thread; None stores nothing.
        store: Passed on to LangGraph.
        llms: LLMs to use instead of configured ones, by name: LangChain chat models, or `LLM`s.
        router: A `Router`, a `Scorer` or a function to use instead of the configured router.
        embedder: An `Embedder`, or a function from texts to vectors, instead of the configured `embeddings`.
        aggregators: Your own aggregators, by the `method` that chooses them.
        observers: Receive the events of every question.

    Raises:
        ConfigError: The configuration has mistakes; all of them are listed.
    """
    loaded = load_config(config, methods=tuple(aggregators or ()), has_embedder=embedder is not None)
    catalog = Catalog(
        loaded, Pool(llms), router=router, embedder=embedder, aggregators=aggregators, feedback=store_of(loaded)
    )
    guarded = [Guarded(observer) for observer in observers]
    return compile_graph(catalog, name=name, checkpointer=checkpointer, store=store, observers=guarded, is_agent=True)


async def default_graph() -> Graph:
    """Return the graph of the default configuration; `langgraph.json` names this function.

    A LangGraph server calls a factory for every run, on its event loop. Therefore one graph is shared by all runs,
    and built in a thread.
    """
    return await asyncio.to_thread(_built_once)


@cache
def _built_once() -> Graph:
    return create_graph()


def compile_graph(
    catalog: Catalog,
    *,
    name: str | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    store: BaseStore | None = None,
    loop_thread: LoopThread | None = None,
    observers: Sequence[Observer] = (),
    turns: Turns | None = None,
    is_agent: bool = False,
) -> Graph:
    """Compile `flow.TRANSITIONS` for the mixtures of `catalog`; `is_agent`: other agents speak in the conversations."""
    kept = Turns() if turns is None else turns
    answering = _Answering(catalog, loop_thread or LoopThread(), tuple(observers), kept, name, is_agent)
    builder = StateGraph(State, context_schema=Options, input_schema=Input, output_schema=Output)
    for node, transition in flow.TRANSITIONS.items():
        # A node returns the next node; conditional edges would do the same at 0.2 ms a step.
        goes = tuple(END if to == flow.END else to for to in transition.to)
        builder.add_node(node, _Node(node, answering), destinations=goes)
    builder.add_edge(START, flow.START)
    compiled = builder.compile(name=name or "mollm", checkpointer=checkpointer, store=store)
    return MixtureGraph(origin_config=catalog.config, **vars(compiled))


@dataclass(frozen=True, slots=True)
class _Answering:
    """What the nodes of a graph have in common. It is shared by its copies."""

    catalog: Catalog
    loop_thread: LoopThread
    observers: tuple[Observer, ...]
    turns: Turns
    name: str | None
    is_agent: bool

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def messages(self, state: State, beside: dict[str, Any], *, offers: bool) -> list[Message]:
        """The conversation in OpenAI's form; our own answers have no name there.

        Where no tools are offered (`offers`), a call that another agent's model made is that agent's, with a name or
        without.
        """
        found = from_state(state["messages"] if offers else map(_of_its_agent, state["messages"]), beside)
        own = sent_name(self.name)
        if own is None:
            return found
        return [
            {key: value for key, value in message.items() if key != "name"} if message.get("name") == own else message
            for message in found
        ]

    def callbacks(self, config: RunnableConfig, run: str) -> tuple[CallbackObserver | None, CallbackObserver | None]:
        """The callbacks of a run, and apart from them, where an answer is concealed from tracers, who follows it."""
        if self.catalog.privacy is None:
            return observer_of(config, run), None
        return observer_of(without_followers(config), run), follower_of(config, run)

    def context(
        self,
        options: Options,
        messages: Sequence[Message],
        config: RunnableConfig,
        run: Run,
        callbacks: Observer | None,
        asking: Sequence[Observer | None],
        earlier: Run | None,
    ) -> Context:
        """The context of a node."""
        privacy = self.catalog.privacy
        question = question_of(
            messages,
            tools=options.tools,
            response_format=options.response_format,
            extra_body=options.extra_body,
            is_agent=self.is_agent,
        )
        return Context(
            self.catalog,
            question,
            options,
            observer=Observers(filter(None, (*self.observers, callbacks))),
            asking=[*filter(None, asking)],
            streams=options.stream or wants_tokens(config),
            spent=run.seconds,
            turns=self.turns,
            earlier=earlier,
            is_agent=self.is_agent,
            veil=privacy.veil_of(run.id, begins=run.route is None) if privacy else None,
        )

    def update(self, answer: Answer, run: Run, beside: dict[str, Any]) -> dict[str, Any]:
        """What the answer changes in the state: the caller's conversation goes on with it, and the rest is ours."""
        message = answer_message(answer, name=self.name)
        kept = answer
        if self.catalog.privacy is not None:
            self.catalog.privacy.forget(run.id)
            kept = answer_of(run)
        update: dict[str, Any] = {"messages": [message], "mollm": to_plain(kept)}
        if not comes_back(message, answer.message):
            update["beside"] = {**beside, answer.id: answer.message}
        return update


class _Node(Runnable[State, Command[str]]):
    """One node of the table; it also works without an event loop."""

    def __init__(self, name: str, answering: _Answering) -> None:
        self._name, self._answering = name, answering

    def invoke(self, input: State, config: RunnableConfig | None = None, **_: Any) -> Command[str]:  # noqa: A002
        return self._answering.loop_thread.run(self.ainvoke(input, config))

    async def ainvoke(self, input: State, config: RunnableConfig | None = None, **_: Any) -> Command[str]:  # noqa: A002
        graph, answering = get_runtime(Options), self._answering
        options = options_around(graph.context)
        # A checkpointer may bring back the run of a question that failed.
        begins = self._name == flow.START
        if not begins and "run" not in input:
            raise RequestError(f"a question begins at the node {flow.START!r}, not at {self._name!r}")
        run = fresh(options) if begins else Run.from_plain(input["run"])
        beside = {**input.get("beside", {}), **options.plain} if begins else input.get("beside", {})
        messages = answering.messages(input, beside, offers=bool(options.tools))
        callbacks, follower = answering.callbacks(config or {}, run.id)
        # A thread brings back the run of the question before, with the proposals of its turn.
        earlier = Run.from_plain(input["run"]) if begins and input.get("run") else None
        followers = (_Writer(graph.stream_writer), options.observer, follower)
        context = answering.context(options, messages, config or {}, run, callbacks, followers, earlier)
        try:
            run, to = await flow.step(self._name, run, context)
            update: dict[str, Any] = {"run": run.to_plain()}
            if begins:
                known = {message.id for message in input["messages"]}
                update["beside"] = {key: message for key, message in beside.items() if key in known}
            if to == flow.END:
                update |= answering.update(flow.finish(run, context), run, beside)
        except BaseException:
            for told in filter(None, (callbacks, follower)):
                with suppress(Exception):  # what ends the question is the error that is raised
                    await told.settle()
            raise
        for told in filter(None, (callbacks, follower)):
            await told.settle()
        return Command(update=update, goto=END if to == flow.END else to)


def _of_its_agent(message: Any) -> Any:
    """The message, under a name if it calls tools and LangChain's id says that it came from a model and not from us."""
    if not getattr(message, "tool_calls", None) or message.name or not str(message.id).startswith(("lc_run-", "run-")):
        return message
    return message.model_copy(update={"name": "agent"})


class _Writer:
    """Writes to LangGraph's custom stream the events that `MoLLM.stream` yields."""

    def __init__(self, writer: Callable[[Any], None]) -> None:
        self._writer = writer

    def tell(self, event: Event) -> None:
        if isinstance(event, STREAMED):
            self._writer(event)

    async def show(self, token: Token) -> None:
        self._writer(token)
