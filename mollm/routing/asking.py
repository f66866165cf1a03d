"""The one call in which an LLM picks among names: what it reads, what that may take, and how it is held to the names.

It takes an LLM that answers at once: one that thinks first spends the few tokens it has here on its thoughts, so turn
them off in the `extra_body` of the LLM.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mollm.calling.base import Request
from mollm.errors import PromptError
from mollm.messages import tokens_at_most
from mollm.options import Settings
from mollm.prompts import fence_question
from mollm.routing.base import deadline
from mollm.routing.choice import SHORTENED, constraint, ends, longest
from mollm.types import PlannedCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.calling.base import Completion
    from mollm.calling.calls import Calls
    from mollm.config.llms import Dialect
    from mollm.prompts import Prompt
    from mollm.types import Question

SEPARATOR = ", "
TOKENS_AROUND = 8
"""Room beside the names, for quotes, markdown and the end of the reply."""


@dataclass(frozen=True)
class PickingCall:
    """Asks an LLM for one of several names, or for some of them."""

    llm: str
    """Name of the LLM that is asked."""
    names: tuple[str, ...]
    """What it may reply."""
    prompt: Prompt
    values: Mapping[str, str]
    """What the prompt is filled in with beside the question."""
    most: int = 1
    """Names in a reply."""

    @cached_property
    def max_tokens(self) -> int:
        """The most the LLM may write: no name has more tokens than characters."""
        lengths = sorted(map(len, self.names))[-self.most :]
        return sum(lengths) + len(SEPARATOR) * (len(lengths) - 1) + TOKENS_AROUND

    @cached_property
    def _own_tokens(self) -> int:
        return tokens_at_most(self._text(SHORTENED, SHORTENED))

    def plan(self, question: Question) -> tuple[PlannedCall, ...]:
        """Count the call, with the most that it reads and writes."""
        reads = self._own_tokens + min(question.tokens, longest(2))
        return (PlannedCall("router", self.llm, self.max_tokens, reads),)

    def request(self, question: Question, *, dialect: Dialect | None = None) -> Request:
        """Build what the LLM is asked; `dialect` decides how the reply is held to the names.

        Raises:
            PromptError: The template fails on this question.
        """
        settings = Settings(self.max_tokens, 0.0, extra_body=constraint(self.names, dialect, self.most))
        return Request([{"role": "user", "content": self._text(question.last, question.before)}], settings)

    async def reply(self, question: Question, calls: Calls) -> Completion | str:
        """Ask the LLM once; where no reply can be had, return why, in words that begin with its name."""
        try:
            request = self.request(question, dialect=calls.llm(self.llm).dialect)
        except PromptError as error:
            return f"{self.llm} cannot be asked ({error})"
        outcome = await calls.attempt("router", self.llm, request, deadline=deadline(calls))
        if outcome.completion is None:
            failure = outcome.call.error
            return f"{self.llm} failed ({failure.message if failure else 'no reply'})"
        return outcome.completion

    def _text(self, query: str, before: str) -> str:
        return self.prompt.render(question=fence_question(ends(query), before=ends(before)), **self.values)


def lines_of(descriptions: Mapping[str, str]) -> str:
    """Write a line `name: description` for each name."""
    return "\n".join(f"{name}: {' '.join(description.split())}" for name, description in descriptions.items())
