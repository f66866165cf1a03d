"""How a question is answered: the nodes, their table, and the loop that walks it. Read this file first.

    route -+-> propose -+-> [ compare ] -+-> aggregate -> answer
           |    ^   |                    |
           |    +---+                    +-> act -------> answer
           |  next layer                     ^
           +---------------------------------+
           |
           +-> bypass ----------------------------------> answer

`route` picks the mixture, and refuses a question that could exceed a limit: before the router's own LLMs are called
where no mixture fits, and in any case before a worker is. `propose` asks the workers of one layer. `compare`
has the proposals ranked by reviewers, compared by an LLM, or scored by a function, where the mixture says so.
`aggregate` makes the answer from the proposals. `act` takes its place where the caller has tools: the LLM for tools
reads the proposals, and calls a tool or writes the answer. When the result of that tool comes, in a request of its own,
the proposals of the turn are used again. `bypass` calls a single LLM where there is nothing to aggregate: a mixture of
one worker, or tools that a mixture leaves to one LLM alone.

A node takes the run so far and its context, and returns the run and the name of the next node. `TRANSITIONS` is the
whole state machine. `walk` runs it in a loop; `graph.py` compiles the same table into a LangGraph graph, which can
be embedded, checkpointed, traced and drawn.

The workers of a layer run as asyncio tasks inside the one `propose` node. Parallel LangGraph nodes would not do: a
superstep waits for all of them and one that raises cancels the others, so quorum, deadline and isolation are
impossible.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from mollm import choosing, limits
from mollm.aggregation.aggregate import aggregate, held
from mollm.aggregation.base import Brief, Result
from mollm.aggregation.guarding import guarded
from mollm.aggregation.showing import shown_tokens
from mollm.aggregation.writing import write
from mollm.answering import answer_of
from mollm.calling.base import Request
from mollm.checking import check_question
from mollm.comparing.compare import compare as compared
from mollm.comparing.judge import with_scores
from mollm.config.arms import CURRENT, ROUTER, drawn, with_arm
from mollm.config.names import PANEL, ROUTED
from mollm.errors import LimitError, QuorumError, RequestError, RoutingError
from mollm.events import Done, Routed, Writing
from mollm.fitting import fitted
from mollm.joining import answers
from mollm.layers import cut_for, readers_of, shown_to_next_layer
from mollm.loops import all_of, cancellations
from mollm.messages import is_midway
from mollm.prompts import with_persona
from mollm.routing.base import plan_of
from mollm.run import Context, Run, fresh
from mollm.turns import KEPT, mark_of, turn_of
from mollm.types import Alternative, Route, Written
from mollm.workers import ask, proposal_of

if TYPE_CHECKING:
    from mollm.calling.calls import Outcome
    from mollm.mixture import Mixture
    from mollm.types import Answer, PlannedCall, Role

Node: TypeAlias = Callable[[Run, Context], Awaitable[tuple[Run, str]]]

START, END = "route", "answer"


async def route(run: Run, context: Context) -> tuple[Run, str]:
    """Pick the mixture, and refuse a question that could exceed a limit before a worker is called."""
    check_question(context)
    run, found = await pick(run, context)
    catalog, question, options = context.catalog, context.question, context.options
    found, mixture = await answers(found, run, context)
    run, mixture = await choosing.made(reusing(run, context, mixture), context, mixture)
    mode = mixture.mode(question, options)
    is_alone = mode == "alone" or (mode is None and mixture.is_bypass)
    if options.needs_one_llm and not is_alone:
        raise RequestError(f"n and logprobs need a single LLM, and {mixture.name!r} is a mixture of several")
    why = mixture.arithmetic(question, options, is_kept=run.reused)
    arithmetic = " + ".join(filter(None, [limits.routers(run.planned), why]))
    run = context.plan(run, mixture.plan(question, options, kept_tokens(run)))
    await catalog.hold(run.planned)
    who = f"mixture {mixture.name!r}"
    context.reserve(limits.check(catalog.config.limits, run.planned, catalog.llms, who, arithmetic))
    context.observer.tell(Routed(found, mode, run.reused, run.choice))
    return replace(run, route=found, on_tools=mode), "bypass" if is_alone else "act" if run.reused else "propose"


def reusing(run: Run, context: Context, mixture: Mixture) -> Run:
    """Take up the proposals of an earlier request, if this one brings the result of a tool in the same turn."""
    messages, options = context.question.messages, context.options
    is_kept = is_midway(messages) and mixture.mode(context.question, options) == "after"
    turn = turn_of(messages, mixture, options.owner) if is_kept else ""
    kept = context.kept(turn) if turn else None
    if kept is None:
        return run
    found = {name: getattr(kept, name) for name in KEPT}
    return replace(run, turn=turn, reused=True, **found)


def kept_tokens(run: Run) -> int | None:
    """The most tokens of what is used again of an earlier request; None if nothing is."""
    return shown_tokens(run.arrived, run.analysis) if run.reused else None


async def pick(run: Run, context: Context, *, goes_on: bool = True) -> tuple[Run, Route]:
    """Use the mixture that the caller named, or let the router pick one; `goes_on`: it is to be asked."""
    catalog, question, named = context.catalog, context.question, context.options.mixture
    if not isinstance(named, str | None) or named == PANEL:
        panel, found = catalog.panels.brought(named, is_asked=goes_on, veil=context.veil)
        return replace(run, panel=panel), found
    if named and named not in ROUTED:
        return run, in_arm(Route(named, {named: 1.0}, "caller", "named in the request"), run, context)
    arms = catalog.config.router.arms
    arm = drawn(arms, ROUTER, context.unit(run)) if arms else None
    router = await catalog.built_router(arm or CURRENT)
    plan = plan_of(router, question)
    await catalog.hold(plan)
    context.reserve(limits.check(catalog.config.limits, plan, catalog.llms, "the router", limits.routers(plan)))
    if plan and goes_on:
        check_any(run, context, plan)
    run = context.plan(run, plan)
    seconds = catalog.config.limits.seconds
    try:
        async with asyncio.timeout_at(context.deadline):
            found = await context.through(router).route(question, context.calls)
    except TimeoutError:
        raise RoutingError(f"the router ({router.kind}) did not decide within {seconds:g} s (limits.seconds)") from None
    if not isinstance(found, Route):
        raise RoutingError(f"the router ({router.kind}) returned {type(found).__name__}, not a Route")
    if found.mixture not in catalog.mixtures:
        picked = f"the router ({found.router}) picked {found.mixture!r}"
        raise RoutingError(f"{picked}, which is no mixture; there are: {', '.join(catalog.mixtures)}")
    if found.second is not None and (found.second not in catalog.mixtures or found.second == found.mixture):
        picked = f"the router ({found.router}) joined {found.second!r} to {found.mixture!r}"
        raise RoutingError(f"{picked}, which is no other mixture; there are: {', '.join(catalog.mixtures)}")
    if arm is not None:
        found = replace(found, arm=with_arm(None, ROUTER, arm))
    return run, in_arm(found, run, context)


def in_arm(found: Route, run: Run, context: Context) -> Route:
    """Let another mixture answer in place of the one that was picked, where that shares its questions with it."""
    mixture = context.catalog.config.mixtures.get(found.mixture)
    if mixture is None or not mixture.arms:
        return found
    arm = drawn(mixture.arms, found.mixture, context.unit(run))
    told = with_arm(found.arm, found.mixture, arm)
    if arm == CURRENT:
        return replace(found, arm=told)
    second = None if found.second == arm else found.second
    return replace(found, mixture=arm, second=second, reason=f"{found.reason}; {arm} answers in its place", arm=told)


def check_any(run: Run, context: Context, routing: tuple[PlannedCall, ...]) -> None:
    """Refuse a question that no mixture may answer once the router was asked.

    Raises:
        LimitError: None may by `limits`.
        MollmError: There is not as much left in the budget as the least of them takes.
    """
    catalog, question, options = context.catalog, context.question, context.options
    refused: LimitError | None = None
    allowed: list[limits.WorstCase] = []
    for mixture in catalog.mixtures.values():
        found = reusing(run, context, mixture)
        why = f"{limits.routers(routing)} + {mixture.arithmetic(question, options, is_kept=found.reused)}"
        plan = (*routing, *mixture.plan(question, options, kept_tokens(found)))
        who = f"mixture {mixture.name!r}"
        try:
            if mixture.chooser and not found.reused:
                planned = (*routing, *mixture.chooser.plan(question))
                allowed += choosing.within(catalog, mixture, planned, question, options, context.allows)
            else:
                allowed.append(limits.check(catalog.config.limits, plan, catalog.llms, who, why))
        except LimitError as error:
            refused = refused or error
        if allowed and options.budget is None:
            return
    if not allowed:
        raise refused or LimitError("there is no mixture")
    context.reserve(limits.least(allowed))


async def propose(run: Run, context: Context) -> tuple[Run, str]:
    """Ask the workers of one layer."""
    mixture, number = await context.mixture(run), run.layer + 1
    workers = mixture.asked(number, context.options, run.on_tools)
    messages, short = context.transcript, {}
    if run.layer:
        run, messages = await shown_to_next_layer(run, context, mixture, workers)
    else:
        short = await fitted(context.question.messages, readers_of(workers, context))
    calibration = mixture.calibrated(workers)
    if calibration is None and mixture.rules.sure is not None:
        why = "no probability is known of answers in a format, so nobody was sure enough"
        run = replace(run, degraded=(*run.degraded, why))
    layer = await ask(
        workers,
        messages,
        mixture.rules,
        context.calls,
        layer=number,
        seed=context.options.seed,
        observer=context.observer,
        instead=short,
        alike=mixture.alike,
        calibration=calibration,
    )
    run = cut_for(run, [p.worker for p in layer.proposals if p.worker in short])
    run = replace(run, degraded=(*run.degraded, *layer.degraded))
    proposals = (*run.proposals, *layer.proposals)
    after = replace(run, layer=number, ended=layer.ended, proposals=proposals, confidence=layer.confidence)
    count, quorum = len(after.arrived), mixture.rules.quorum
    if count < quorum and number == 1:
        if run.on_tools and quorum == 1 and layer.is_too_long_for_all:
            # It is the tools that brought so much, and whoever has them can go on; asking again would not help.
            return replace(after, degraded=("the conversation is too long for every worker",)), "act"
        raise QuorumError(mixture.name, quorum, layer.proposals)
    if count < quorum:
        why = f"layer {number} does not count: {count} of at least {quorum} workers answered"
        after = replace(after, layer=run.layer, ended=run.ended, degraded=(*run.degraded, why))
        return proposed(after, context, mixture)
    is_last = layer.agreed or number == mixture.rules.layers
    return proposed(after, context, mixture) if is_last else (after, "propose")


def proposed(run: Run, context: Context, mixture: Mixture) -> tuple[Run, str]:
    """Go on from the last layer, and keep its proposals for the rest of the turn."""
    # The next request of the turn looks before anything is chosen, and is to find them whatever would be then.
    listed = mixture.made_of or mixture
    if run.on_tools == "after" and (turn := turn_of(context.question.messages, listed, context.options.owner)):
        run = replace(run, turn=turn)
        context.keep(run)
    if mixture.compares and len(run.arrived) > 1 and not run.agreed:
        return run, "compare"
    return run, "act" if run.on_tools else "aggregate"


async def compare(run: Run, context: Context) -> tuple[Run, str]:
    """Have the proposals ranked by reviewers, compared by an LLM, or scored, as far as the mixture says so."""
    mixture = await context.mixture(run)
    brief = Brief(context.transcript, run.arrived, caller=context.options.writing, observer=context.observer)
    if mixture.judge and not run.on_tools:  # whoever has tools reads all proposals, and takes none as it is
        scored, unscored = await mixture.judge.score(context.question, run.arrived, context.deadline)
        run = replace(run, proposals=with_scores(run.proposals, scored), degraded=(*run.degraded, *unscored))
    ranking, analysis, why = await compared(mixture.review, mixture.analyst, brief, context.calls)
    run = replace(run, ranking=ranking, analysis=analysis, degraded=(*run.degraded, *why))
    if run.turn:
        context.keep(run)
    return run, "act" if run.on_tools else "aggregate"


async def aggregate_proposals(run: Run, context: Context) -> tuple[Run, str]:
    """Turn the proposals of the last layer into the answer."""
    mixture = await context.mixture(run)
    brief = Brief(
        context.transcript,
        run.arrived,
        caller=context.options.writing,
        agreed=run.agreed,
        planned=mixture.rules.enough,
        observer=context.observer,
        streams=context.streams,
        bound=mixture.is_bound(run.layer),
        ranking=run.ranking,
        analysis=run.analysis,
        confidence=run.confidence,
    )
    aggregator, rewriter = mixture.aggregator, mixture.rewriter
    written = await aggregate(aggregator, brief, context.calls, rewriter, mixture.guard, mixture.keeping)
    return replace(run, written=replace(written, degraded=(*run.degraded, *written.degraded))), END


async def act(run: Run, context: Context) -> tuple[Run, str]:
    """Let the LLM that has the caller's tools read the proposals, and call a tool or write the answer."""
    mixture = await context.mixture(run)
    brief = Brief(
        context.question.messages,
        run.arrived,
        caller=context.options.for_tools,
        mark=mark_of(run.turn) if run.turn else None,
        observer=context.observer,
        streams=context.streams,
        ranking=run.ranking,
        analysis=run.analysis,
        confidence=run.confidence,
    )
    # Proposals that are used again know nothing of what tools have brought since.
    guard, keeping = (None, None) if run.reused else (mixture.guard, mixture.keeping)

    async def make(brief: Brief) -> Result:
        return await guarded(guard, await mixture.acting.aggregate(brief, context.calls), brief, context.calls)

    written = await held(make, brief, context.calls, mixture.rewriter, keeping, who="the LLM for tools")
    return replace(run, written=replace(written, degraded=(*run.degraded, *written.degraded))), END


async def bypass(run: Run, context: Context) -> tuple[Run, str]:
    """Call a single LLM, once per answer; if it fails, the question fails."""
    mixture, options, messages = await context.mixture(run), context.options, context.question.messages
    worker = mixture.workers[0]
    role: Literal["tools", "bypass"] = "tools" if run.on_tools else "bypass"
    if run.on_tools and not mixture.acts_as_worker:
        llm, request = mixture.tools_llm, Request(with_persona(messages, system=None, persona=None), options.for_tools)
    else:
        settings = options.for_tools if run.on_tools else options.writing
        llm, request = worker.llm, worker.request(messages, over=settings)

    context.observer.tell(Writing(role, llm))

    async def one(index: int) -> Outcome:
        sample = request.sample(index)
        outcome = await write(role, llm, sample, context.calls, context.observer, streams=context.streams, index=index)
        if outcome.completion is None:
            raise outcome.error or RuntimeError("a call ended with nothing")
        return outcome

    outcomes = await all_of([one(index) for index in range(options.n or 1)])
    if role == "bypass":
        run = replace(run, layer=1, proposals=tuple(proposal_of(worker, 1, outcome) for outcome in outcomes))
    completions = [found for outcome in outcomes if (found := outcome.completion)]
    first, *others = [Alternative(c.message, c.finish_reason or "stop", c.logprobs) for c in completions]
    return replace(run, written=Written(first.message, first.finish_reason, (), first.logprobs, tuple(others))), END


@dataclass(frozen=True, slots=True)
class Transition:
    """A node, and the nodes that may follow it."""

    node: Node
    to: tuple[str, ...]
    roles: tuple[Role, ...]
    """On whose behalf the node may call LLMs."""


TRANSITIONS = {
    "route": Transition(route, ("propose", "act", "bypass"), ("router",)),
    "propose": Transition(propose, ("propose", "compare", "aggregate", "act"), ("worker",)),
    "compare": Transition(compare, ("aggregate", "act"), ("reviewer", "analyst")),
    "aggregate": Transition(aggregate_proposals, (END,), ("aggregator", "fallback")),
    "act": Transition(act, (END,), ("tools", "fallback", "aggregator")),
    "bypass": Transition(bypass, (END,), ("bypass", "tools")),
}


async def step(name: str, run: Run, context: Context) -> tuple[Run, str]:
    """Run one node and record its calls."""
    transition = TRANSITIONS[name]
    context.begin(run, transition.roles)
    try:
        with context.within(run):
            run, to = await transition.node(run, context)
    finally:
        context.calls.close()
    if to not in transition.to:
        raise RuntimeError(f"the node {name} went on to {to}, which is not in the table")
    return context.end(run), to


async def walk(run: Run, context: Context) -> Run:
    """Run one node after the other until the answer is written."""
    name, cancelled = START, cancellations()
    try:
        while name != END:
            run, name = await step(name, run, context)
    except asyncio.CancelledError:
        if cancellations() > cancelled:
            raise
        # The question was not cancelled from outside: a router or an LLM cancelled itself, an ordinary failure.
        raise RuntimeError(f"the {name} node was cancelled from inside") from None
    return run


def finish(run: Run, context: Context) -> Answer:
    """Build the answer, keep it where answers are kept, tell the observer, and return it as whoever asked gets it."""
    answer = answer_of(run)
    if context.catalog.feedback is not None:
        context.catalog.feedback.keep(answer, context.question.last, context.options.key)
    with context.within(run):  # who is told may ask, as well
        context.observer.tell(Done(answer))
    return context.revealed(answer)


async def route_only(context: Context) -> Route:
    """Pick the mixture; no worker is asked, and `MoLLM.route` needs no more."""
    check_question(context)
    run = fresh(context.options)
    context.begin(run, TRANSITIONS[START].roles)
    try:
        with context.within(run):
            run, found = await pick(run, context, goes_on=False)
    finally:
        context.calls.close()
    context.end(run)
    return found
