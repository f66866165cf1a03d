"""The chooser that asks an LLM, which reads what the LLMs are good at."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from mollm.calling.base import Request
from mollm.errors import PromptError
from mollm.messages import tokens_at_most
from mollm.mixing.base import in_listed_order
from mollm.options import Settings
from mollm.prompts import fence_question
from mollm.routing.choice import SHORTENED, constraint, deadline, ends, longest, read_several
from mollm.types import Choice, PlannedCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.calling.calls import Calls, Outcome
    from mollm.config.llms import Dialect
    from mollm.prompts import Prompt
    from mollm.types import Question

TOKENS_AROUND = 8
"""Room beside the names, for quotes, markdown and the end of the reply."""


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

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """The LLMs that it may name."""
        return tuple(self.descriptions)

    @cached_property
    def max_tokens(self) -> int:
        """The most the LLM may write: no name has more tokens than characters."""
        names = sorted(map(len, self.candidates))[-self.most :]
        return sum(names) + 2 * len(names) + TOKENS_AROUND

    def plan(self, question: Question) -> tuple[PlannedCall, ...]:
        """Count the one call."""
        own = tokens_at_most(self._text(SHORTENED, SHORTENED))
        return (PlannedCall("router", self.llm, self.max_tokens, own + min(question.tokens, longest(2))),)

    def request(self, question: Question, *, dialect: Dialect | None = None) -> Request:
        """Build what the LLM is asked; `dialect` decides how the reply is held to the names.

        Raises:
            PromptError: The template fails on this question.
        """
        held = constraint(self.candidates, dialect, self.most)
        content = self._text(question.last, question.before)
        return Request([{"role": "user", "content": content}], Settings(self.max_tokens, 0.0, extra_body=held))

    async def choose(self, question: Question, calls: Calls) -> Choice:
        """Ask the LLM once; a call that fails, or a reply that is no list of names, leads to the listed order."""
        start = time.perf_counter()
        try:
            request = self.request(question, dialect=calls.llm(self.llm).dialect)
        except PromptError as error:
            return in_listed_order(self, f"{self.llm} cannot be asked ({error})")
        choice = self._choice(await calls.attempt("router", self.llm, request, deadline=deadline(calls)))
        return Choice(choice.workers, self.kind, choice.reason, time.perf_counter() - start)

    def _choice(self, outcome: Outcome) -> Choice:
        if outcome.completion is None:
            failure = outcome.call.error
            return in_listed_order(self, f"{self.llm} failed ({failure.message if failure else 'no reply'})")
        names = read_several(outcome.completion.text.strip(), self.candidates)
        if not names:
            return in_listed_order(self, f"the reply of {self.llm} is no list of these LLMs")
        names = names[: self.most]
        return Choice(names, self.kind, f"{self.llm} picks {', '.join(names)}")

    def _text(self, query: str, before: str) -> str:
        lines = [f"{name}: {' '.join(description.split())}" for name, description in self.descriptions.items()]
        question = fence_question(ends(query), before=ends(before))
        return self.prompt.render(question=question, llms="\n".join(lines), most=str(self.most))
