"""The way of a question, as a LangGraph state machine. Read this file first.

    START -> route -+-> propose -> aggregate -> END
                    |    ^   |
                    |    +---+  next layer
                    +-> bypass -> END

`route` picks the mixture and refuses what could exceed a limit. `propose` asks the workers of one layer; the
fan-out is asyncio inside this one node, because a superstep of LangGraph waits for all its nodes and one that
raises cancels the others, so neither a quorum nor a deadline could be had from parallel nodes. `aggregate`
makes the answer. `bypass` calls a single LLM where there is nothing to aggregate: a mixture of one worker, or
a request with tools. What the nodes do is in `routing/`, `workers.py` and `aggregation.py`.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypedDict

from langchain_core.messages import AnyMessage  # noqa: TC002 - LangGraph evaluates the annotations of a state
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import get_runtime
from langgraph.types import Command

from mollm.aggregation.base import Task, Written, aggregate, write
from mollm.calling.base import Request
from mollm.catalog import Catalog
from mollm.config.load import load_config
from mollm.errors import QuorumError, RoutingError
from mollm.routing.conversation import route_conversation
from mollm.run import Turn
from mollm.tasks import all_of
from mollm.types import Alternative, Options, Route, Routed, to_plain
from mollm.workers import ask, proposal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import BaseStore

    from mollm.calling.calls import Outcome
    from mollm.config.schema import Config
    from mollm.routing.base import Router


Graph: TypeAlias = "CompiledStateGraph[Any, Any, Any, Any]"
"""LangGraph takes more than it types: tuples and dictionaries as messages, a dictionary as context."""


class Input(TypedDict):
    """What a graph takes: a conversation. Options come as `context`."""

    messages: Annotated[list[AnyMessage], add_messages]


class Output(Input):
    """What it gives: the conversation with the answer, and the `Answer` as plain data."""

    mollm: dict[str, Any]


class State(Output):
    """What the nodes hand on; plain data throughout, so that any checkpointer can store it."""

    run: dict[str, Any]


def create_graph(
    config: str | Path | Mapping[str, Any] | Config | None = None,
    *,
    name: str = "mollm",
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    store: BaseStore | None = None,
    llms: Mapping[str, Any] | None = None,
    router: Router | None = None,
) -> Graph:
    """Build the graph of a configuration.

    It takes `messages` and gives `messages` with the answer added, and `mollm`, the `Answer` as plain data.
    What one request may set comes as `context`: an `Options`, or a dictionary of its fields. It works under
    `invoke`, `ainvoke`, `stream` and `astream`, and as a node of another graph.

    Args:
        config: A YAML file, a dictionary of the same shape, a `Config`; None as for the command.
        name: Of the compiled graph.
        checkpointer: Kept through; None keeps nothing.
        store: Passed through.
        llms: LLMs to use instead of configured ones, by name: LangChain chat models, or `LLM`s.
        router: Picks the mixture instead of the configured router.

    Raises:
        ConfigError: Everything that is wrong with the configuration.
    """
    catalog = Catalog(load_config(config), llms, router)
    return compile_graph(catalog, name=name, checkpointer=checkpointer, store=store)


async def default_graph() -> Graph:
    """Give the graph of the configuration the command would take; `langgraph.json` names it.

    A LangGraph server calls a factory for every run, on its event loop: hence one graph for all of them, built
    in a thread.
    """
    return await asyncio.to_thread(_built_once)


@cache
def _built_once() -> Graph:
    return create_graph()


def compile_graph(
    catalog: Catalog,
    *,
    name: str = "mollm",
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    store: BaseStore | None = None,
) -> Graph:
    """Wire the four nodes around `catalog`."""
    builder = StateGraph(State, context_schema=Options, input_schema=Input, output_schema=Output)
    # A node returns where to go on; conditional edges would say the same at 0.2 ms a step.
    builder.add_node("route", _Node(route, catalog, begins=True), destinations=("propose", "bypass"))
    builder.add_node("propose", _Node(propose, catalog), destinations=("propose", "aggregate"))
    builder.add_node("aggregate", _Node(aggregate_proposals, catalog), destinations=(END,))
    builder.add_node("bypass", _Node(bypass, catalog), destinations=(END,))
    builder.add_edge(START, "route")
    return builder.compile(name=name, checkpointer=checkpointer, store=store)


async def route(turn: Turn) -> str:
    """Pick the mixture, and refuse what could exceed a limit before it is called."""
    turn.check_request()
    catalog, routers, named = turn.catalog, turn.catalog.llm_routers, turn.options.mixture
    if named and named not in ("auto", "router"):
        found, routers = Route(named, {named: 1.0}, "caller", "named in the request"), ()
    else:
        turn.check_routing(routers)
        router = await catalog.built_router()
        found = await route_conversation(router, turn.messages, turn.calls)
        if found.mixture not in catalog.mixtures:
            picked = f"the router ({found.router}) picked {found.mixture!r}"
            raise RoutingError(f"{picked}, which is no mixture; there are: {', '.join(catalog.mixtures)}")
    mixture = await catalog.built_mixture(found.mixture)
    turn.check_limits(mixture, routers)
    turn.listener.tell(Routed(found))
    turn.run["route"] = to_plain(found)
    return "bypass" if turn.has_one_llm(mixture) else "propose"


async def propose(turn: Turn) -> str:
    """Ask the workers of one layer."""
    mixture, messages = turn.mixture, turn.messages
    if turn.run["layer"] > 0:
        messages = await turn.with_proposals()
    turn.run["layer"] += 1
    number = turn.run["layer"]
    layer = await ask(
        mixture.workers,
        messages,
        mixture.rules,
        turn.calls,
        layer=number,
        seed=turn.options.seed,
        listener=turn.listener,
    )
    turn.run["proposals"] = [*turn.run["proposals"], *map(to_plain, layer.proposals)]
    turn.run["agreed"] = layer.agreed
    count, quorum = len(turn.arrived), mixture.config.quorum
    if count < quorum and number == 1:
        raise QuorumError(mixture.name, quorum, layer.proposals)
    if count < quorum:
        why = f"layer {number} does not count: {count} of at least {quorum} workers answered"
        turn.run["degraded"] = [*turn.run["degraded"], why]
        turn.run["layer"] -= 1
        return "aggregate"
    return "aggregate" if layer.agreed or number == mixture.config.layers else "propose"


async def aggregate_proposals(turn: Turn) -> str:
    """Turn the proposals of the last layer into the answer."""
    task = Task(
        turn.messages,
        turn.arrived,
        caller=turn.options.writing,
        agreed=turn.run["agreed"],
        planned=turn.mixture.rules.enough,
        listener=turn.listener if turn.streams else None,
    )
    turn.finish(await aggregate(turn.mixture.aggregator, task, turn.calls))
    return END


async def bypass(turn: Turn) -> str:
    """Call the one LLM there is to call, once for each answer; its failure is the request's."""
    options, worker = turn.options, turn.mixture.workers[0]
    role: Literal["tools", "bypass"] = "tools" if turn.has_tools else "bypass"

    async def answer(index: int) -> Outcome:
        if role == "tools":
            llm, request = turn.mixture.config.tools_llm, Request(turn.messages, options.for_tools)
        else:
            llm, request = worker.llm, worker.request(turn.messages, over=options.writing)
        listener = turn.listener if turn.streams else None
        attempt = await write(role, llm, request.sample(index), turn.calls, listener, index=index)
        if attempt.completion is None:
            raise attempt.error or RuntimeError("a call ended with nothing")
        return attempt

    attempts = await all_of([answer(index) for index in range(options.n or 1)])
    if role == "bypass":
        turn.run |= {"layer": 1, "proposals": [to_plain(proposal_of(worker, 1, attempt)) for attempt in attempts]}
    choices = [
        Alternative(found.message, found.finish_reason or "stop", found.logprobs)
        for attempt in attempts
        if (found := attempt.completion)
    ]
    first = choices[0]
    turn.finish(Written(first.message, first.finish_reason, (), first.logprobs, tuple(choices[1:])))
    return END


class _Node(Runnable[State, Command[str]]):
    """One asynchronous function as a node that also works where there is no event loop."""

    def __init__(
        self, work: Callable[[Turn], Coroutine[Any, Any, str]], catalog: Catalog, *, begins: bool = False
    ) -> None:
        self._work, self._catalog, self._begins = work, catalog, begins

    def invoke(self, input: State, config: RunnableConfig | None = None, **_: Any) -> Command[str]:  # noqa: A002
        return self._catalog.loop_thread.run(self.ainvoke(input, config))

    async def ainvoke(self, input: State, config: RunnableConfig | None = None, **_: Any) -> Command[str]:  # noqa: A002
        graph = get_runtime(Options)
        options = graph.context if isinstance(graph.context, Options) else Options()
        # A checkpointer may bring back the run of a question that failed.
        run = {} if self._begins else input.get("run", {})
        turn = Turn(self._catalog, input["messages"], run, options, config or {}, graph.stream_writer)
        goto = await self._work(turn)
        return Command(update=turn.update, goto=goto)
