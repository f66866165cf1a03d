"""The interface of aggregators, and the cases that need none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from mollm.calling.calls import checked_plan
from mollm.errors import AggregationError, LLMError
from mollm.final.tally import Tally
from mollm.messages import text_of
from mollm.observing.observers import NOBODY
from mollm.options import Settings
from mollm.types import Token, Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.calling.calls import Calls
    from mollm.types import Message, Observer, PlannedCall, Proposal, Question


@dataclass(frozen=True, slots=True)
class Brief:
    """The input of an aggregator."""

    messages: Sequence[Message]
    """The conversation in OpenAI's format."""
    proposals: Sequence[Proposal]
    """The proposals of the last layer that arrived; never empty."""
    caller: Settings = Settings()
    """The caller's settings for the LLM that writes the answer."""
    agreed: bool = False
    """The layer ended because enough proposals have the same final answer."""
    planned: int = 1
    """Number of proposals that the layer would have gone on with."""
    observer: Observer = NOBODY
    """Receives events, and the tokens of the answer."""
    streams: bool = False
    """The caller wants the answer token by token, through `observer.show`."""
    mark: str | None = None
    """Delimits the proposals and decides their order in every request of a turn; None: new ones in each."""


@dataclass(frozen=True, slots=True)
class Picked:
    """A proposal that is the answer, word for word."""

    proposal: Proposal
    degraded: tuple[str, ...] = ()
    """Why this is not the answer that was planned; empty if it is."""


Result: TypeAlias = "Written | Picked | str"
"""A message that an LLM wrote (already shown token by token if the caller streams), a proposal, or a text."""


@runtime_checkable
class Aggregator(Protocol):
    """Turns proposals into the answer.

    One that calls LLMs also has `plan(question, proposal_tokens, caller) -> Sequence[PlannedCall]`. It returns every
    call that may be made for `question`: `proposal_tokens` is the most tokens that the proposals have together,
    `caller` the caller's settings. A call that is not in the plan ends the question with `LimitError`.
    """

    async def aggregate(self, brief: Brief, calls: Calls) -> Result:
        """Make the answer.

        Raises:
            LLMError: It failed; the best proposal is then the answer, and `degraded` says so.
            AggregationError: The answer broke off after its first token was shown.
        """
        ...


def plan_of(
    aggregator: Aggregator, question: Question, proposal_tokens: int, caller: Settings
) -> tuple[PlannedCall, ...]:
    """Every call that `aggregator` may make; none if it has no `plan`."""
    plan = getattr(aggregator, "plan", None)
    return checked_plan(plan(question, proposal_tokens, caller), aggregator) if plan else ()


async def aggregate(aggregator: Aggregator, brief: Brief, calls: Calls) -> Written:
    """Turn the proposals into the answer, with `aggregator` if one is needed.

    Raises:
        AggregationError: The answer broke off after its first token was shown.
    """
    result: Any = _settled(brief)  # what an aggregator of one's own returns is checked below
    if result is None:
        try:
            result = await aggregator.aggregate(brief, calls)
        except LLMError as error:
            result = given_up(brief, f"the aggregator {error}")
    return await written_of(result, brief, aggregator)


async def written_of(result: Any, brief: Brief, aggregator: Aggregator) -> Written:
    """Make an answer of what `aggregator` returned, and show it if nobody has yet. Raises `AggregationError`."""
    if isinstance(result, Written):
        return result
    if isinstance(result, Picked):
        message = {"role": "assistant", "content": result.proposal.text}
        written = Written(message, "length" if result.proposal.truncated else "stop", result.degraded)
    elif isinstance(result, str):
        written = Written({"role": "assistant", "content": result})
    else:
        what = f"the aggregator {type(aggregator).__name__} returned {type(result).__name__}"
        raise AggregationError(f"{what}, not a text, a Picked or a Written")
    if brief.streams:
        text = text_of(written.message["content"])
        await brief.observer.show(Token(text, {"role": "assistant", "content": text}))
    return written


def _settled(brief: Brief) -> Picked | None:
    if brief.agreed:
        return Picked(best_proposal(brief.proposals))
    if len(brief.proposals) > 1:
        return None
    is_short = brief.planned > 1
    return Picked(brief.proposals[0], (f"only 1 of {brief.planned} proposals arrived",) if is_short else ())


def given_up(brief: Brief, *reasons: str) -> Picked:
    """Fall back to the best proposal, for `reasons`."""
    best = best_proposal(brief.proposals)
    return Picked(best, (*reasons, f"the best proposal ({best.worker}) is the answer"))


def best_proposal(proposals: Sequence[Proposal]) -> Proposal:
    """Return one of the largest group; within it, prefer one that was not truncated, then the one listed first."""
    tally = Tally(p.final for p in proposals)
    return min(enumerate(proposals), key=lambda entry: (-tally.support(entry[0]), entry[1].truncated, entry[0]))[1]
