"""A mixture as a complete, frozen value that knows its plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.aggregation.base import plan_of
from mollm.prompts import FENCE_TOKENS
from mollm.types import PlannedCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.aggregation.base import Aggregator
    from mollm.options import Options
    from mollm.prompts import Prompt
    from mollm.types import Question
    from mollm.workers import Rules, Worker


@dataclass(frozen=True, slots=True)
class Mixture:
    """A named set of workers and an aggregator. It need not be part of a configuration."""

    name: str
    description: str
    workers: tuple[Worker, ...]
    """One per planned call of a layer, best first."""
    rules: Rules
    method: str
    """The aggregator's method, as the YAML names it."""
    aggregator: Aggregator
    llm: str | None
    """The LLM that aggregates, if one can be called."""
    layer_prompt: Prompt
    """The prompt that shows the workers of a later layer the proposals of the one before."""
    tools_llm: str
    """The only LLM that answers a question with tools."""
    max_tokens: Mapping[str, int]
    """By LLM, the most tokens that it writes unless something else is set."""
    shuffle: bool = True

    @property
    def is_bypass(self) -> bool:
        """Exactly one planned proposal in one layer: nothing to aggregate."""
        return len(self.workers) == 1 and self.rules.layers == 1

    def plan(self, question: Question, options: Options) -> tuple[PlannedCall, ...]:
        """List every call that it may make, assuming that the workers never agree and every writing LLM fails."""
        limit, n = options.writing.max_tokens, options.n or 1
        tokens, images = question.tokens, question.images
        if question.has_tools:
            alone = limit or self.max_tokens[self.tools_llm]
            return (PlannedCall("tools", self.tools_llm, alone, tokens, n, images),)
        if self.is_bypass:
            (worker,) = self.workers
            prompt = tokens + worker.prompt_tokens
            return (PlannedCall("bypass", worker.llm, limit or self._limit(worker), prompt, n, images),)
        first = [
            PlannedCall("worker", w.llm, self._limit(w), tokens + w.prompt_tokens, images=images) for w in self.workers
        ]
        read = sum(call.max_tokens + FENCE_TOKENS for call in first)
        shown = read + self.layer_prompt.tokens + self.layer_prompt.questions * tokens
        times = self.rules.layers - 1
        later = [
            PlannedCall(c.role, c.llm, c.max_tokens, c.prompt_tokens + shown, times, images) for c in first if times
        ]
        return (*first, *later, *plan_of(self.aggregator, question, read, options.writing))

    def arithmetic(self, question: Question, options: Options) -> str:
        """Say in words where the calls of the worst case come from."""
        n = options.n or 1
        if question.has_tools:
            return f"{n} call{'s' if n > 1 else ''} with tools"
        if self.is_bypass:
            return "1 worker" if n == 1 else f"1 worker x {n} answers"
        layers = f" x {self.rules.layers} layers" if self.rules.layers > 1 else ""
        planned = len(self.workers)
        parts = [f"{planned} proposal{'s' if planned > 1 else ''}{layers}"]
        writing = plan_of(self.aggregator, question, 0, options.writing)
        parts += [f"{call.times} {call.role}{'s' if call.times > 1 else ''}" for call in writing]
        return " + ".join(parts)

    def _limit(self, worker: Worker) -> int:
        return worker.settings.max_tokens or self.max_tokens[worker.llm]
