"""The aggregator that lets an LLM write the answer from the proposals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm.aggregation.base import given_up
from mollm.aggregation.writing import written_by
from mollm.types import Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.aggregation.base import Brief, Picked
    from mollm.aggregation.writing import Writers
    from mollm.calling.calls import Calls
    from mollm.options import Settings
    from mollm.types import PlannedCall, Question


@dataclass(frozen=True, slots=True)
class Synthesize:
    """If the LLM fails, returns nothing or is cut off, the fallback LLM writes, then the best proposal is taken."""

    writers: Writers

    def plan(self, question: Question, proposal_tokens: int, caller: Settings) -> Sequence[PlannedCall]:
        """One call to the LLM and one to its fallback."""
        return self.writers.plan(question, proposal_tokens, caller.max_tokens)

    async def aggregate(self, brief: Brief, calls: Calls) -> Written | Picked:
        """Let the LLM write."""
        settings = brief.caller.over(self.writers.settings)
        found, reasons = await self.writers.ask(brief, calls, settings, written_by(brief), streams=brief.streams)
        if isinstance(found, Written):
            return replace(found, degraded=(*reasons, *found.degraded))
        return given_up(brief, *reasons)
