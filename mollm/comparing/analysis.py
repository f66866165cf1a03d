"""An LLM compares the proposals before the answer is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mollm.aggregation.base import Brief
    from mollm.calling.calls import Calls
    from mollm.types import Analysis, PlannedCall, Question


@dataclass(frozen=True, slots=True)
class Analyst:
    """Compares proposals."""

    llm: str
    adds: int = 0
    """The most tokens that what it found adds to the prompt of who writes."""

    def plan(self, question: Question, proposal_tokens: int) -> tuple[PlannedCall, ...]:
        """One call, that reads proposals of at most so many tokens together."""
        raise NotImplementedError

    async def analyze(self, brief: Brief, calls: Calls) -> tuple[Analysis | None, tuple[str, ...]]:
        """Compare the proposals; None and why, where no analysis can be had."""
        raise NotImplementedError
