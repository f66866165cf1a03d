"""The aggregator that lets an LLM pick the best proposal."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from mollm.aggregation.base import Picked, given_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.aggregation.base import Brief
    from mollm.aggregation.writing import Writers
    from mollm.calling.calls import Calls, Outcome
    from mollm.options import Settings
    from mollm.types import PlannedCall, Proposal, Question


@dataclass(frozen=True, slots=True)
class Best:
    """Takes the first of the ranking, word for word; without one, the proposal whose number the LLM writes.

    If it writes none, or there is no LLM, the best by count is taken.
    """

    picks: ClassVar[bool] = True

    writers: Writers

    def plan(self, question: Question, proposal_tokens: int, caller: Settings) -> Sequence[PlannedCall]:  # noqa: ARG002
        """One call to the LLM and one to its fallback. They write a number, so the caller's settings do not apply."""
        return self.writers.plan(question, proposal_tokens, None)

    async def aggregate(self, brief: Brief, calls: Calls) -> Picked:
        """Take the first of the ranking, or let the LLM pick one."""
        if brief.ranking is not None:
            return Picked(brief.best)
        settings = replace(self.writers.settings, seed=brief.caller.seed)
        found, reasons = await self.writers.ask(brief, calls, settings, _named, streams=False)
        if isinstance(found, Picked):
            return replace(found, degraded=reasons)
        return given_up(brief, *reasons)


def _named(outcome: Outcome, order: Sequence[Proposal], llm: str) -> Picked | str:
    if outcome.completion is None:
        return f"the aggregator {outcome.error}"
    number = re.search(r"\d{1,9}", outcome.completion.text)
    if number and 1 <= int(number[0]) <= len(order):
        return Picked(order[int(number[0]) - 1])
    return f"the aggregator {llm} named no proposal"
