"""The scorer that asks an LLM, which reads the descriptions of the mixtures; one call, also in a conversation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from mollm.routing.asking import PickingCall, lines_of
from mollm.routing.base import Scores
from mollm.routing.choice import mentioned, read, shares

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.calling.base import Completion
    from mollm.calling.calls import Calls
    from mollm.prompts import Prompt
    from mollm.types import PlannedCall, Question

NONE = "none"
"""What the LLM replies where no mixture suits the question."""


@dataclass(frozen=True)
class LLMScorer:
    """Takes the mixture that an LLM picks by the descriptions."""

    kind: ClassVar[str] = "llm"

    llm: str
    """Name of the LLM that is asked."""
    mixtures: Mapping[str, str]
    """Name to description, in the order in which the LLM reads them."""
    prompt: Prompt

    @cached_property
    def call(self) -> PickingCall:
        """What it asks."""
        return PickingCall(self.llm, (*self.mixtures, NONE), self.prompt, {"mixtures": lines_of(self.mixtures)})

    def plan(self, question: Question) -> tuple[PlannedCall, ...]:
        """Count the one call."""
        return self.call.plan(question)

    async def score(self, question: Question, calls: Calls) -> Scores:
        """Ask the LLM once; a call that fails, or a reply that says nothing, leads to no pick."""
        reply = await self.call.reply(question, calls)
        return Scores({}, reply) if isinstance(reply, str) else self._scores(reply)

    def _scores(self, completion: Completion) -> Scores:
        reply, options = completion.text.strip(), self.call.names
        choice = read(reply, options)
        if choice is None:
            several = mentioned(reply, tuple(self.mixtures))
            names = f"several mixtures ({', '.join(several)})" if len(several) > 1 else "no mixture by its name alone"
            return Scores({}, f"the reply of {self.llm} names {names}")
        found = shares(options, choice, completion.logprobs)
        likely = found or dict.fromkeys(options, 0.0)
        probabilities = {name: likely[name] for name in self.mixtures if found or name != choice}
        if choice == NONE:
            weight = f" (probability {likely[choice]:.2f})" if found else ""
            return Scores(probabilities, f"{self.llm} finds no mixture that suits it{weight}")
        return Scores(probabilities, f"{self.llm} picks {choice}", choice)
