"""Reviewers rank the proposals of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mollm.aggregation.base import Brief
    from mollm.calling.calls import Calls
    from mollm.types import PlannedCall, Question, Ranking


@dataclass(frozen=True, slots=True)
class Review:
    """Ranks proposals."""

    reviewers: tuple[str, ...]

    def plan(self, question: Question, proposal_tokens: int) -> tuple[PlannedCall, ...]:
        """The reviews that may be asked for, each of proposals of at most so many tokens together."""
        raise NotImplementedError

    async def rank(self, brief: Brief, calls: Calls) -> tuple[Ranking | None, tuple[str, ...]]:
        """Rank the proposals; None and why, where no review counts."""
        raise NotImplementedError
