"""The interface of aggregators, and the cases that need none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from mollm.aggregation.terms import mismatch, shortened, verbatim
from mollm.calling.calls import checked_plan
from mollm.errors import AggregationError, LLMError
from mollm.final.tally import Tally
from mollm.formats import format_of
from mollm.messages import text_of
from mollm.observing.observers import NOBODY
from mollm.options import Settings
from mollm.types import Proposal, Token, Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.aggregation.rewriting import Rewriter
    from mollm.calling.calls import Calls
    from mollm.formats import Format
    from mollm.types import Message, Observer, PlannedCall, Question


@dataclass(frozen=True, slots=True)
class Brief:
    """The input of an aggregator."""

    messages: Sequence[Message]
    """The conversation in OpenAI's format."""
    proposals: Sequence[Proposal]
    """The proposals of the last layer that arrived; empty only for the LLM for tools."""
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
    bound: bool = False
    """The workers were asked with the caller's `response_format`, `stop` and `max_tokens`."""

    @property
    def format(self) -> Format | None:
        """The JSON that the caller asks for."""
        return format_of(self.caller.response_format)

    @property
    def best(self) -> Proposal:
        """The best proposal."""
        return best_proposal(self.proposals, self.format)

    @property
    def first(self) -> Proposal:
        """The proposal listed first, of those in the caller's format if any is."""
        form = self.format
        return next((p for p in self.proposals if form and form.read(p.text)[1] is None), self.proposals[0])


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

    `picks: bool` says whether its answer is a proposal, word for word: the workers are then asked with the caller's
    `response_format`, `stop` and `max_tokens`. Without it, an aggregator that has no `plan` is taken to pick.
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


def picks(aggregator: Aggregator) -> bool:
    """Whether the answer that `aggregator` makes is a proposal, word for word."""
    return bool(getattr(aggregator, "picks", not hasattr(aggregator, "plan")))


async def aggregate(aggregator: Aggregator, brief: Brief, calls: Calls, rewriter: Rewriter | None = None) -> Written:
    """Turn the proposals into the answer, with `aggregator` if one is needed.

    Args:
        aggregator: Makes the answer.
        brief: What it is made of.
        calls: Makes the calls.
        rewriter: Writes an answer anew that is not in the format; None: the answer stays as it is.

    Raises:
        NotInFormat: The answer has to be in a format, and none was.
        AggregationError: The answer broke off after its first token was shown.
    """
    result: Any = _settled(brief)  # what an aggregator of one's own returns is checked below
    if result is None:
        try:
            result = await aggregator.aggregate(brief, calls)
        except LLMError as error:
            result = given_up(brief, f"the aggregator {error}")
    if not isinstance(result, Written | Picked | str):
        what = f"the aggregator {type(aggregator).__name__} returned {type(result).__name__}"
        raise AggregationError(f"{what}, not a text, a Picked or a Written")
    return await written_of(result, brief, calls, rewriter)


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
    problem = mismatch(written, brief, has_limit=brief.bound and brief.caller.max_tokens is not None)
    if problem and rewriter:
        return await rewriter.rewrite(brief, proposal, (*picked.degraded, problem), calls)
    written = shortened(written, brief, proposal)
    if brief.streams:
        text = text_of(written.message["content"])
        await brief.observer.show(Token(text, {"role": "assistant", "content": text}))
    return written


def _settled(brief: Brief) -> Picked | None:
    if brief.agreed:
        return Picked(brief.best)
    if len(brief.proposals) > 1:
        return None
    is_short = brief.planned > 1
    return Picked(brief.proposals[0], (f"only 1 of {brief.planned} proposals arrived",) if is_short else ())


def given_up(brief: Brief, *reasons: str) -> Picked:
    """Fall back to the best proposal, for `reasons`."""
    best = brief.best
    return Picked(best, (*reasons, f"the best proposal ({best.worker}) is the answer"))


def best_proposal(proposals: Sequence[Proposal], form: Format | None = None) -> Proposal:
    """Return one of the largest group; in it prefer one in the format, then one that is whole, then the first."""
    tally = Tally(p.final for p in proposals)

    def rank(entry: tuple[int, Proposal]) -> tuple[int, bool, bool, int]:
        index, proposal = entry
        is_other = form is not None and form.read(proposal.text)[1] is not None
        return -tally.support(index), is_other, proposal.truncated, index

    return min(enumerate(proposals), key=rank)[1]
