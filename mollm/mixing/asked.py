"""The chooser that asks an LLM, which reads what the LLMs are good at."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from mollm.mixing.base import in_listed_order
from mollm.routing.asking import PickingCall, lines_of
from mollm.routing.choice import read_several
from mollm.types import Choice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.calling.base import Completion
    from mollm.calling.calls import Calls
    from mollm.prompts import Prompt
    from mollm.types import PlannedCall, Question


@dataclass(frozen=True)
class AskedChooser:
    """Takes the workers that an LLM names, in its order."""

    kind: ClassVar[str] = "router_llm"

    llm: str
    """Name of the LLM that is asked."""
    descriptions: Mapping[str, str]
    """LLM to what it is good at, in listed order."""
    most: int
    prompt: Prompt

    @property
    def candidates(self) -> tuple[str, ...]:
        """The LLMs that it may name."""
        return self.call.names

    @cached_property
    def call(self) -> PickingCall:
        """What it asks."""
        values = {"llms": lines_of(self.descriptions), "most": str(self.most)}
        return PickingCall(self.llm, tuple(self.descriptions), self.prompt, values, self.most)

    def plan(self, question: Question) -> tuple[PlannedCall, ...]:
        """Count the one call."""
        return self.call.plan(question)

    async def choose(self, question: Question, calls: Calls) -> Choice:
        """Ask the LLM once; a call that fails, or a reply that is no list of names, leads to the listed order."""
        start = time.perf_counter()
        reply = await self.call.reply(question, calls)
        choice = in_listed_order(self, reply) if isinstance(reply, str) else self._choice(reply)
        return replace(choice, seconds=time.perf_counter() - start)

    def _choice(self, completion: Completion) -> Choice:
        names = read_several(completion.text.strip(), self.candidates)[: self.most]
        if not names:
            return in_listed_order(self, f"the reply of {self.llm} is no list of these LLMs")
        return Choice(names, self.kind, f"{self.llm} picks {', '.join(names)}")
