"""The router that asks an LLM, which reads the descriptions of the mixtures.

One call for each decision, also in a conversation. It takes an LLM that answers at once: one that thinks first
spends the few tokens it has here on its thoughts, so turn them off in the `extra_body` of the LLM.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from mollm.calling.base import Request
from mollm.errors import PromptError
from mollm.messages import BYTES_PER_TOKEN_AT_LEAST, tokens_at_most
from mollm.prompts import fence_question
from mollm.routing.choice import constraint, mentioned, read, shares
from mollm.types import Route, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.calling.calls import Calls, Outcome
    from mollm.config.llms import Dialect
    from mollm.prompts import Prompt

NONE = "none"
"""What the LLM replies where no mixture suits the question."""
AUTO_THRESHOLD = 0.5
"""From here on the choice is likelier than all others together."""
EDGE = 1000
"""Characters kept at each end of a long message: a request is stated at its beginning or at its end."""
SHORTENED = " [...] "
BYTES_PER_CHARACTER_AT_MOST = 4
TOKENS_AROUND = 8
"""Room beside the name, for quotes, markdown and the end of the reply."""
SHARE_OF_TIME = 0.25
"""Of the time a request has left; an LLM that hangs must leave enough for the answer."""


@dataclass(frozen=True, slots=True)
class LLMRouter:
    """Sends a question to the mixture that an LLM picks by the descriptions."""

    kind: ClassVar[str] = "llm"

    llm: str
    """Name of the LLM that is asked."""
    mixtures: Mapping[str, str]
    """Name to description, in the order in which the LLM reads them."""
    fallback: str
    """Answers when the LLM fails, finds nothing suitable, or is not sure enough."""
    prompt: Prompt
    threshold: float = AUTO_THRESHOLD
    """Probability from 0 to 1 that the choice must reach; a choice without probabilities has 1."""

    @property
    def max_tokens(self) -> int:
        """The most the LLM may write: no name has more tokens than characters."""
        return max(map(len, self.options)) + TOKENS_AROUND

    @property
    def options(self) -> tuple[str, ...]:
        """What the LLM may reply."""
        return (*self.mixtures, NONE)

    def prompt_tokens(self, asked: int) -> int:
        """Bound the tokens it reads, for a conversation of at most `asked` tokens."""
        own = tokens_at_most(self._text(SHORTENED, SHORTENED))
        longest = 2 * (2 * EDGE + len(SHORTENED)) * BYTES_PER_CHARACTER_AT_MOST
        return own + min(asked, longest // BYTES_PER_TOKEN_AT_LEAST)

    def request(self, query: str, *, before: str = "", dialect: Dialect | None = None) -> Request:
        """Build what the LLM is asked; `dialect` decides how the reply is held to the names.

        Raises:
            PromptError: The template fails on this question.
        """
        settings = Settings(self.max_tokens, 0.0, extra_body=constraint(self.options, dialect))
        return Request([{"role": "user", "content": self._text(query, before)}], settings)

    async def route(self, query: str, calls: Calls, *, before: str = "") -> Route:
        """Ask the LLM once; whatever becomes of that, there is a mixture that answers."""
        start = time.perf_counter()
        try:
            request = self.request(query, before=before, dialect=calls.llm(self.llm).dialect)
        except PromptError as error:
            route = self._fall_back(f"{self.llm} cannot be asked ({error})")
        else:
            route = self._decide(await calls.attempt("router", self.llm, request, deadline=_deadline(calls)))
        return replace(route, seconds=time.perf_counter() - start)

    def _decide(self, attempt: Outcome) -> Route:
        if attempt.completion is None:
            failure = attempt.call.error
            return self._fall_back(f"{self.llm} failed ({failure.message if failure else 'no reply'})")
        reply = attempt.completion.text.strip()
        choice = read(reply, self.options)
        if choice is None:
            several = mentioned(reply, tuple(self.mixtures))
            names = f"several mixtures ({', '.join(several)})" if len(several) > 1 else "no mixture by its name alone"
            return self._fall_back(f"the reply of {self.llm} names {names}")
        found = shares(self.options, choice, attempt.completion.logprobs)
        likely = found or {option: float(option == choice) for option in self.options}
        probabilities = {name: likely[name] for name in self.mixtures}
        weight = f" (probability {likely[choice]:.2f})" if found else ""
        if choice == NONE:
            return self._fall_back(f"{self.llm} finds no mixture that suits it{weight}", probabilities)
        if likely[choice] < self.threshold:
            return self._fall_back(
                f"{self.llm} picks {choice}, but its probability {likely[choice]:.2f} is below "
                f"the threshold {self.threshold:.2f}",
                probabilities,
            )
        return Route(choice, probabilities, self.kind, f"{self.llm} picks {choice}{weight}")

    def _fall_back(self, why: str, probabilities: dict[str, float] | None = None) -> Route:
        reason = f"{why}, so the fallback {self.fallback} answers"
        return Route(self.fallback, probabilities or {}, self.kind, reason, is_sure=False)

    def _text(self, query: str, before: str) -> str:
        lines = [f"{name}: {' '.join(description.split())}" for name, description in self.mixtures.items()]
        question = fence_question(_ends(query), before=_ends(before))
        return self.prompt.render(question=question, mixtures="\n".join(lines))


def _ends(text: str) -> str:
    return f"{text[:EDGE]}{SHORTENED}{text[-EDGE:]}" if len(text) > 2 * EDGE else text


def _deadline(calls: Calls) -> float | None:
    if calls.deadline is None:
        return None
    now = asyncio.get_running_loop().time()
    return now + SHARE_OF_TIME * max(0.0, calls.deadline - now)
