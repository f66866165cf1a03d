"""An answer that is not in the response format is written anew by an LLM, or the question fails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm.aggregation.writing import written_by
from mollm.errors import NotInFormat
from mollm.formats import format_of
from mollm.transcript import without_tools
from mollm.types import PlannedCall, Written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.aggregation.base import Brief
    from mollm.aggregation.writing import Writers
    from mollm.calling.calls import Calls
    from mollm.options import Settings
    from mollm.types import Proposal, Question, Role


@dataclass(frozen=True, slots=True)
class Rewriter:
    """Uses what is left of the aggregator's calls, and one call more to an LLM that is known to answer."""

    writers: Writers
    """With a prompt that asks for the same answer in another form."""
    workers: tuple[str, ...]
    """The LLMs of the workers."""

    def plan(self, question: Question, proposal_tokens: int, caller: Settings) -> tuple[PlannedCall, ...]:
        """One call, to whichever LLM can make it; none if no format has to be kept."""
        form = format_of(caller.response_format)
        if form is None or not form.is_held:
            return ()
        writers = self.writers
        names = dict.fromkeys(filter(None, (*self.workers, writers.llm, writers.fallback_llm)))
        first, *others = names
        own = max((writers.max_tokens or {}).get(name, 0) for name in names)
        limit = caller.max_tokens or writers.settings.max_tokens or own
        prompt = question.tokens + writers.prompt.tokens_with(question=question.tokens) + proposal_tokens
        return (PlannedCall("fallback", first, limit, prompt, images=question.images, others=tuple(others)),)

    async def rewrite(self, brief: Brief, found: Proposal, degraded: Sequence[str], calls: Calls) -> Written:
        """Let one LLM after the other write `found` in the format.

        Args:
            brief: What the aggregator was given.
            found: What was to be the answer.
            degraded: Why it was to be the answer; and last, what keeps it from being in the format.
            calls: Makes the calls.

        Raises:
            NotInFormat: None did.
            AggregationError: The answer broke off after its first token was shown.
        """
        settings = replace(brief.caller.over(self.writers.settings), tools=None, tool_choice=None)
        *reasons, problem = degraded
        reasons.append(f"what {found.worker} wrote is not in the response format: {problem}")
        shown = replace(
            brief, messages=without_tools(brief.messages), proposals=[found], mark=None, ranking=None, analysis=None
        )
        for role, llm in self._candidates(brief, found, calls):
            if not calls.may_ask(role, llm, settings):
                continue
            written, why = await self.writers.ask(
                shown, calls, settings, written_by(brief), streams=brief.streams, who=[(role, llm)]
            )
            if isinstance(written, Written):
                return replace(written, degraded=(*reasons, *why, f"{llm} wrote it anew", *written.degraded))
            reasons += why
        raise NotInFormat(f"no answer is in the response format: {'; '.join(reasons)}")

    def _candidates(self, brief: Brief, found: Proposal, calls: Calls) -> Iterator[tuple[Role, str]]:
        """Whom to ask, in order; each that failed already is left out."""
        writers = self.writers
        asked = {(call.role, call.llm) for call in calls.spent}
        planned: tuple[tuple[Role, str | None], ...] = (("aggregator", writers.llm), ("fallback", writers.fallback_llm))
        for role, llm in planned:
            if llm and (role, llm) not in asked:
                yield role, llm
        form = format_of(brief.caller.response_format)
        able = [p.llm for p in brief.proposals if form and form.read(p.text)[1] is None]
        own = [writers.llm, found.llm] if brief.bound else [found.llm, writers.llm]
        names = dict.fromkeys(filter(None, (*able, *own, *(p.llm for p in brief.proposals), writers.fallback_llm)))
        # One that has just written something else is asked once more only if there is no other.
        spoken = set() if brief.bound else {call.llm for call in calls.spent}
        failed = {call.llm for call in calls.spent if call.error}
        for name in sorted(names, key=lambda name: name in spoken):
            if name not in failed:
                yield "fallback", name
