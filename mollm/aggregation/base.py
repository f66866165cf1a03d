"""The interface of aggregators, what they are given, and the best proposal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from mollm.calling.calls import checked_plan
from mollm.final.tally import Tally
from mollm.formats import format_of
from mollm.observing.observers import NOBODY
from mollm.options import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.calling.calls import Calls
    from mollm.events import Observer
    from mollm.formats import Format
    from mollm.types import Analysis, Message, PlannedCall, Proposal, Question, Ranking, Written


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
    ranking: Ranking | None = None
    """How reviewers rank the proposals; None if nobody did."""
    analysis: Analysis | None = None
    """How the proposals compare; None if nobody compared them."""
    confidence: float | None = None
    """Calibrated probability, 0 to 1, that the final answer which leads among the proposals is right."""

    @property
    def format(self) -> Format | None:
        """The JSON that the caller asks for."""
        return format_of(self.caller.response_format)

    @property
    def best(self) -> Proposal:
        """The best proposal: the first of the ranking, if there is one, else by count."""
        return self.ranked[0] if self.ranking else best_proposal(self.proposals, self.format)

    @property
    def ranked(self) -> list[Proposal]:
        """The proposals in the order of the ranking; as listed without one."""
        if self.ranking is None:
            return list(self.proposals)
        places = {rank.worker: place for place, rank in enumerate(self.ranking.ranks)}
        return sorted(self.proposals, key=lambda proposal: places.get(proposal.worker, len(places)))


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


def given_up(brief: Brief, *reasons: str) -> Picked:
    """Fall back to the best proposal, for `reasons`."""
    best = brief.best
    return Picked(best, (*reasons, f"the best proposal ({best.worker}) is the answer"))


def best_proposal(proposals: Sequence[Proposal], form: Format | None = None) -> Proposal:
    """Return one of the largest group; in it prefer one in the format, then one that is whole, then the first."""
    return by_count(proposals, form)[0]


def leading(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Return the proposals of the largest group that says the same, in listed order; none where nobody says anything.

    One whose answer can be told leads before all whose answer cannot.
    """
    return [proposals[index] for index in Tally(p.said for p in proposals).leading]


def voted(proposals: Sequence[Proposal], form: Format | None = None) -> Proposal:
    """Return what a vote takes: the best proposal if any two agree, else the first listed that answers.

    Of those that are in the format, if any is, else of those that have a final answer.
    """
    if len(leading(proposals)) > 1:
        return best_proposal(proposals, form)
    if form and (found := next((p for p in proposals if form.read(p.text)[1] is None), None)):
        return found
    return next((p for p in proposals if p.said is not None), proposals[0])


def by_count(proposals: Sequence[Proposal], form: Format | None = None) -> list[Proposal]:
    """Return the proposals, the best first as far as counting can tell."""
    tally = Tally(p.said for p in proposals)

    def rank(entry: tuple[int, Proposal]) -> tuple[int, bool, bool, int]:
        index, proposal = entry
        is_other = form is not None and form.read(proposal.text)[1] is not None
        return -tally.support(index), is_other, proposal.truncated, index

    return [proposal for _, proposal in sorted(enumerate(proposals), key=rank)]
