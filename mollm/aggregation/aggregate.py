"""Proposals to the answer: by an aggregator where one is needed, and in the format that the caller asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mollm.aggregation.base import Picked, best_proposal, given_up, leading
from mollm.aggregation.guarding import guarded
from mollm.aggregation.terms import mismatch, shortened, verbatim
from mollm.errors import AggregationError, LLMError
from mollm.events import Token
from mollm.messages import text_of
from mollm.types import Proposal, Written

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mollm.aggregation.base import Aggregator, Brief, Result
    from mollm.aggregation.guarding import Guard
    from mollm.aggregation.keeping import Keeping
    from mollm.aggregation.rewriting import Rewriter
    from mollm.calling.calls import Calls
    from mollm.events import Event, Observer


async def aggregate(
    aggregator: Aggregator,
    brief: Brief,
    calls: Calls,
    rewriter: Rewriter | None = None,
    guard: Guard | None = None,
    keeping: Keeping | None = None,
) -> Written:
    """Turn the proposals into the answer, with `aggregator` if one is needed.

    Args:
        aggregator: Makes the answer.
        brief: What it is made of.
        calls: Makes the calls.
        rewriter: Writes an answer anew that is not in the format; None: the answer stays as it is.
        guard: Holds what an LLM wrote to the facts on which most proposals agree; None: nobody does.
        keeping: Keeps the proposal that is probably right, where the aggregator contradicts it; None: nobody does.
            Where there is such a proposal, nothing is shown before the aggregator has ended.

    Raises:
        NotInFormat: The answer has to be in a format, and none was.
        AggregationError: The answer broke off after its first token was shown.
    """
    if settled := _settled(brief):
        return await written_of(settled, brief, calls, rewriter)
    return await held(lambda brief: _made(aggregator, brief, calls, guard), brief, calls, rewriter, keeping)


async def held(
    make: Callable[[Brief], Awaitable[Result]],
    brief: Brief,
    calls: Calls,
    rewriter: Rewriter | None,
    keeping: Keeping | None,
    *,
    who: str = "the aggregator",
) -> Written:
    """Make the answer, and hold it to what the proposals agree on; `who` makes it. As `aggregate`, and raises as it."""
    if keeping is None or not keeping.holds(brief):
        return await written_of(await make(brief), brief, calls, rewriter)
    unseen = replace(brief, streams=False, observer=_Unseen(brief.observer))
    result = keeping.kept(await make(unseen), unseen, who=who)
    written = await written_of(result, unseen, calls, rewriter)
    # Who writes an answer anew in another form may write another one.
    written = await written_of(keeping.kept(written, unseen, who=who), unseen, calls, rewriter)
    if brief.streams:
        await _show(written, brief)
    return written


class _Unseen:
    """Hears what happens, and shows nothing, whatever an aggregator of somebody's own does."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def tell(self, event: Event) -> None:
        self._observer.tell(event)

    async def show(self, token: Token) -> None:
        """What is written may be taken back."""


async def _made(aggregator: Aggregator, brief: Brief, calls: Calls, guard: Guard | None) -> Result:
    """What the aggregator makes of several proposals, or the best of these where it fails."""
    result: Any  # an aggregator of one's own may return anything
    try:
        result = await aggregator.aggregate(brief, calls)
    except LLMError as error:
        result = given_up(brief, f"the aggregator {error}")
    if not isinstance(result, Written | Picked | str):
        what = f"the aggregator {type(aggregator).__name__} returned {type(result).__name__}"
        raise AggregationError(f"{what}, not a text, a Picked or a Written")
    return await guarded(guard, result, brief, calls)


async def _show(written: Written, brief: Brief) -> None:
    """Show an answer that nobody has seen yet, in one piece."""
    text = text_of(written.message.get("content"))
    delta = {"role": "assistant", **written.message}
    if called := written.message.get("tool_calls"):
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(called)]
    await brief.observer.show(Token(text, delta))


async def written_of(result: Result, brief: Brief, calls: Calls, rewriter: Rewriter | None) -> Written:
    """Make an answer of what an aggregator returned, in the caller's format, and show it if nobody has yet.

    Raises:
        NotInFormat: As `aggregate`.
        AggregationError: As `aggregate`.
    """
    if isinstance(result, Written):
        return await _written(result, brief, calls, rewriter)
    if isinstance(result, str):
        result = Picked(Proposal("the aggregator", "", 0, result))
    return await _picked(result, brief, calls, rewriter)


async def _written(written: Written, brief: Brief, calls: Calls, rewriter: Rewriter | None) -> Written:
    problem = mismatch(written, brief, has_limit=True)
    if problem is None or rewriter is None:
        return written
    if brief.streams:
        raise AggregationError(f"the answer was shown, and is not in the response format: {problem}")
    proposal = Proposal("the aggregator", "", 0, text_of(written.message.get("content")))
    return await rewriter.rewrite(brief, proposal, (*written.degraded, problem), calls)


async def _picked(picked: Picked, brief: Brief, calls: Calls, rewriter: Rewriter | None) -> Written:
    proposal = picked.proposal
    written = verbatim(proposal, brief, picked.degraded)
    if proposal not in brief.proposals:  # an aggregator's own text
        written = replace(written, proposed_by=None)
    problem = mismatch(written, brief, has_limit=brief.bound and brief.caller.max_tokens is not None)
    if problem and rewriter:
        return await rewriter.rewrite(brief, proposal, (*picked.degraded, problem), calls)
    written = shortened(written, brief, proposal)
    if brief.streams:
        await _show(written, brief)
    return written


def _settled(brief: Brief) -> Picked | None:
    if brief.agreed:  # maybe on what a single one says, and is sure of
        return Picked(best_proposal(leading(brief.proposals) or brief.proposals, brief.format))
    if len(brief.proposals) > 1:
        return None
    is_short = brief.planned > 1
    return Picked(brief.proposals[0], (f"only 1 of {brief.planned} proposals arrived",) if is_short else ())
