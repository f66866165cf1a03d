"""The scorer that asks an LLM, which reads the descriptions of the mixtures.

One call for each decision, also in a conversation. It takes an LLM that answers at once: one that thinks first
spends the few tokens it has here on its thoughts, so turn them off in the `extra_body` of the LLM.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from mollm.calling.base import Request
from mollm.errors import PromptError
from mollm.messages import tokens_at_most
from mollm.options import Settings
from mollm.prompts import fence_question
from mollm.routing.base import Scores
from mollm.routing.choice import SHORTENED, constraint, deadline, ends, longest, mentioned, read, shares
from mollm.types import PlannedCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.calling.calls import Calls, Outcome
    from mollm.config.llms import Dialect
    from mollm.prompts import Prompt
    from mollm.types import Question

NONE = "none"
"""What the LLM replies where no mixture suits the question."""
TOKENS_AROUND = 8
"""Room beside the name, for quotes, markdown and the end of the reply."""


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
    def options(self) -> tuple[str, ...]:
        """What the LLM may reply."""
        return (*self.mixtures, NONE)

    @cached_property
    def max_tokens(self) -> int:
        """The most the LLM may write: no name has more tokens than characters."""
        return max(map(len, self.options)) + TOKENS_AROUND

    def plan(self, question: Question) -> tuple[PlannedCall, ...]:
        """Count the one call."""
        return (PlannedCall("router", self.llm, self.max_tokens, self.prompt_tokens(question.tokens)),)

    def prompt_tokens(self, asked: int) -> int:
        """Bound the tokens it reads, for a conversation of at most `asked` tokens."""
        return self._own_tokens + min(asked, longest(2))

    @cached_property
    def _own_tokens(self) -> int:
        return tokens_at_most(self._text(SHORTENED, SHORTENED))

    def request(self, question: Question, *, dialect: Dialect | None = None) -> Request:
        """Build what the LLM is asked; `dialect` decides how the reply is held to the names.

        Raises:
            PromptError: The template fails on this question.
        """
        settings = Settings(self.max_tokens, 0.0, extra_body=constraint(self.options, dialect))
        content = self._text(question.last, question.before)
        return Request([{"role": "user", "content": content}], settings)

    async def score(self, question: Question, calls: Calls) -> Scores:
        """Ask the LLM once; a call that fails, or a reply that says nothing, leads to no pick."""
        try:
            request = self.request(question, dialect=calls.llm(self.llm).dialect)
        except PromptError as error:
            return Scores({}, f"{self.llm} cannot be asked ({error})")
        return self._scores(await calls.attempt("router", self.llm, request, deadline=deadline(calls)))

    def _scores(self, attempt: Outcome) -> Scores:
        if attempt.completion is None:
            failure = attempt.call.error
            return Scores({}, f"{self.llm} failed ({failure.message if failure else 'no reply'})")
        reply = attempt.completion.text.strip()
        choice = read(reply, self.options)
        if choice is None:
            several = mentioned(reply, tuple(self.mixtures))
            names = f"several mixtures ({', '.join(several)})" if len(several) > 1 else "no mixture by its name alone"
            return Scores({}, f"the reply of {self.llm} names {names}")
        found = shares(self.options, choice, attempt.completion.logprobs)
        likely = found or dict.fromkeys(self.options, 0.0)
        probabilities = {name: likely[name] for name in self.mixtures if found or name != choice}
        if choice == NONE:
            weight = f" (probability {likely[choice]:.2f})" if found else ""
            return Scores(probabilities, f"{self.llm} finds no mixture that suits it{weight}")
        return Scores(probabilities, f"{self.llm} picks {choice}", choice)

    def _text(self, query: str, before: str) -> str:
        lines = [f"{name}: {' '.join(description.split())}" for name, description in self.mixtures.items()]
        question = fence_question(ends(query), before=ends(before))
        return self.prompt.render(question=question, mixtures="\n".join(lines))
