"""The aggregator that takes the proposal that most agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mollm.aggregation.base import Picked, leading, voted
from mollm.aggregation.synthesize import Synthesize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.aggregation.base import Brief
    from mollm.aggregation.writing import Writers
    from mollm.calling.calls import Calls
    from mollm.options import Settings
    from mollm.types import PlannedCall, Question, Written


@dataclass(frozen=True, slots=True)
class Vote:
    """Takes a proposal of the largest group, word for word; if no two agree, an LLM writes the answer if one is set."""

    picks: ClassVar[bool] = True

    writers: Writers

    def plan(self, question: Question, proposal_tokens: int, caller: Settings) -> Sequence[PlannedCall]:
        """The calls to write the answer if no two agree."""
        return self.writers.plan(question, proposal_tokens, caller.max_tokens)

    async def aggregate(self, brief: Brief, calls: Calls) -> Written | Picked:
        """Count, and write only if counting does not decide."""
        if len(leading(brief.proposals)) > 1:
            return Picked(brief.best)
        if self.writers.llm is None:
            return Picked(voted(brief.proposals, brief.format))
        return await Synthesize(self.writers).aggregate(brief, calls)
