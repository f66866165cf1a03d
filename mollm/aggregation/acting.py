"""The LLM that has the caller's tools: it reads the proposals, and calls a tool or writes the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm.aggregation.base import given_up
from mollm.messages import is_midway
from mollm.types import Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.aggregation.base import Brief, Picked
    from mollm.aggregation.writing import Writers
    from mollm.calling.calls import Calls, Outcome
    from mollm.options import Settings
    from mollm.types import PlannedCall, Proposal, Question


@dataclass(frozen=True, slots=True)
class Acting:
    """If the LLM fails or is cut off, the fallback LLM acts with the same tools.

    After both, what was cut off is the answer, and says so. If both failed, the best proposal is the answer, if there
    is one, but only as long as no tool was called in this turn: the proposals know nothing of results, so from then on
    the question fails.
    """

    writers: Writers

    def plan(self, question: Question, proposal_tokens: int, caller: Settings) -> Sequence[PlannedCall]:
        """One call to the LLM and one to its fallback."""
        return self.writers.plan(question, proposal_tokens, caller.max_tokens)

    async def aggregate(self, brief: Brief, calls: Calls) -> Written | Picked:
        """Let the LLM act."""
        errors: list[Exception] = []
        cut: list[Written] = []

        def take(outcome: Outcome, _: Sequence[Proposal], llm: str) -> Written | str:
            completion = outcome.completion
            if completion is None:
                errors.append(outcome.error or RuntimeError("a call ended with nothing"))
                return f"the LLM for tools {outcome.error}"
            finish_reason = completion.finish_reason or "stop"
            written = Written(completion.message, finish_reason, (), completion.logprobs)
            if finish_reason != "length" or brief.caller.max_tokens is not None:
                return written
            reason = f"the LLM for tools {llm} was cut off by its token limit"
            if brief.streams:
                return replace(written, degraded=(reason,))
            cut.append(written)
            return reason

        settings = brief.caller.over(self.writers.settings)
        found, reasons = await self.writers.ask(brief, calls, settings, take, streams=brief.streams)
        if isinstance(found, Written):
            return replace(found, degraded=(*reasons, *found.degraded))
        if cut:
            return replace(cut[0], degraded=reasons)
        if is_midway(brief.messages) or not brief.proposals:
            raise errors[-1]
        return given_up(brief, *reasons)
