"""The chooser that knows from recorded scores how good each LLM is at a question."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from mollm.mixing.picking import pick
from mollm.types import Choice, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.calling.calls import Calls, Facts
    from mollm.mixing.predictor import Predictor
    from mollm.types import PlannedCall, Question

MAX_TOKENS = 1024
"""Of the reply by which the price of an LLM without a limit is reckoned."""


@dataclass(frozen=True, slots=True)
class PredictedChooser:
    """Picks the workers that together promise the best answer for their price."""

    kind: ClassVar[str] = "predicted"

    predictor: Predictor
    candidates: tuple[str, ...]
    """LLMs that the predictor knows."""
    most: int
    quality_weight: float
    """0 to 1; what is left of 1 is the weight of the price."""

    def plan(self, question: Question) -> tuple[PlannedCall, ...]:  # noqa: ARG002 - whatever is asked
        """It calls nobody."""
        return ()

    async def choose(self, question: Question, calls: Calls) -> Choice:
        """Choose by the last message; a follow-up that says little by itself gets the message before it as well."""
        start = time.perf_counter()
        text = f"{question.before}\n{question.last}" if question.before else question.last
        prices = relative([calls.llm(name) for name in self.candidates], question.tokens)
        return replace(self.chosen(text, prices), seconds=time.perf_counter() - start)

    def chosen(self, text: str, prices: Sequence[float]) -> Choice:
        """Choose for a text; `prices` of the candidates are relative to the dearest, 0 to 1."""
        predictor = self.predictor
        rows = [predictor.llms.index(name) for name in self.candidates]
        quality = predictor.quality(text)[rows]
        covariance = predictor.covariance[rows][:, rows] / predictor.spread**2
        picked = pick(list(quality / predictor.spread), covariance, prices, self.most, self.quality_weight)
        said = ", ".join(
            f"{self.candidates[index]} ({quality[index]:.2f}{f', price {prices[index]:.2f}' if any(prices) else ''})"
            for index in picked
        )
        reason = f"predicted quality: {said}; quality weighs {self.quality_weight:g}"
        return Choice(tuple(self.candidates[index] for index in picked), self.kind, reason)


def relative(llms: Sequence[Facts], prompt_tokens: int) -> list[float]:
    """The prices of a call to each, with the longest reply that it may write, as parts of the dearest.

    An LLM without a price counts as free.
    """
    costs = [
        llm.price.cost(Usage(prompt_tokens, llm.defaults.max_tokens or MAX_TOKENS)) if llm.price else 0.0
        for llm in llms
    ]
    dearest = max(costs, default=0.0)
    return [cost / dearest if dearest else 0.0 for cost in costs]
