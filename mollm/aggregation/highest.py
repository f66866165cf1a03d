"""The aggregator that takes the proposal with the highest score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mollm.aggregation.base import Picked, best_proposal, given_up

if TYPE_CHECKING:
    from mollm.aggregation.base import Brief
    from mollm.calling.calls import Calls


@dataclass(frozen=True, slots=True)
class Highest:
    """Takes the proposal with the highest score, word for word; of several, the best by count."""

    picks: ClassVar[bool] = True

    async def aggregate(self, brief: Brief, calls: Calls) -> Picked:  # noqa: ARG002 - it calls no LLM
        """Compare the scores."""
        scored = [(proposal.score, proposal) for proposal in brief.proposals if proposal.score is not None]
        if not scored:
            return given_up(brief, "no proposal has a score")
        highest = max(score for score, _ in scored)
        return Picked(best_proposal([proposal for score, proposal in scored if score == highest], brief.format))
