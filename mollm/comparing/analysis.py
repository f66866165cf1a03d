"""An LLM compares the proposals before the answer is written: what they share, and where they differ."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mollm.aggregation.showing import ANALYSIS_TOKENS, in_order
from mollm.comparing.replies import number_of, numbers_to, object_of
from mollm.errors import PromptError
from mollm.loops import cancellations
from mollm.types import ANALYZED, Analysis, PlannedCall, Point

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.aggregation.base import Brief
    from mollm.calling.calls import Calls
    from mollm.comparing.inquiry import Inquiry
    from mollm.types import Question

MOST_POINTS = 40
"""Of each kind."""
LONGEST_POINT = 4000
"""Characters."""
NONE = "the proposals were not analyzed"
"""How the reason begins that there is no analysis."""


@dataclass(frozen=True, slots=True)
class Analyst:
    """Compares proposals by one call to an LLM. What cannot be had is left out, and never costs the answer."""

    llm: str
    inquiry: Inquiry

    @property
    def adds(self) -> int:
        """The most tokens that what it found adds to the prompt of who writes."""
        return self.inquiry.limit(self.llm) + ANALYSIS_TOKENS

    def plan(self, question: Question, proposal_tokens: int) -> tuple[PlannedCall, ...]:
        """One call, which reads proposals of at most so many tokens together."""
        return (self.inquiry.plan(self.llm, question, proposal_tokens),)

    async def analyze(self, brief: Brief, calls: Calls) -> tuple[Analysis | None, tuple[str, ...]]:
        """Compare the proposals.

        Returns:
            The analysis, or None; and why there is none, or what of the proposals it does not know.

        Raises:
            LimitError: The call was not planned.
        """
        try:
            async with asyncio.timeout_at(self.inquiry.until(calls)):
                return await self._analyze(brief, calls)
        except asyncio.CancelledError:
            if cancellations():
                raise
            return None, (f"{NONE}: the call to {self.llm} cancelled itself",)
        except TimeoutError:
            return None, (f"{NONE}: {self.llm} did not reply in the time there was",)
        except PromptError as error:
            return None, (f"{NONE}: {error}",)

    async def _analyze(self, brief: Brief, calls: Calls) -> tuple[Analysis | None, tuple[str, ...]]:
        order = in_order(brief.proposals, shuffle=self.inquiry.shuffle, seed=brief.caller.seed)
        request, short = await self.inquiry.request(self.llm, order, schema_of(len(order)), brief, calls)
        if request is None:
            return None, tuple(f"{NONE}: {why}" for why in short)
        outcome = await calls.attempt("analyst", self.llm, request)
        if outcome.completion is None:
            return None, (f"{NONE}: {outcome.error}",)
        if outcome.completion.finish_reason == "length":
            return None, (f"{NONE}: {self.llm} was cut off by its token limit",)
        try:
            numbers = {p.worker: number for number, p in enumerate(order, 1)}
            workers = {numbers[p.worker]: p.worker for p in brief.proposals}
            found = analysis_of(outcome.completion.text, self.llm, workers)
        except ValueError as error:
            return None, (f"{NONE}: what {self.llm} wrote cannot be read: {error}",)
        return found, tuple(f"for the analysis, {why}" for why in short)


def schema_of(count: int) -> dict[str, Any]:
    """The JSON schema of an analysis of so many proposals."""
    point = {
        "type": "object",
        "properties": {"point": {"type": "string"}, "answers": {"type": "array", "items": numbers_to(count)}},
        "required": ["point", "answers"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {kind: {"type": "array", "items": point} for kind in ANALYZED},
        "required": list(ANALYZED),
        "additionalProperties": False,
    }


def analysis_of(text: str, llm: str, workers: Mapping[int, str]) -> Analysis:
    """Read five lists of `{"point": text, "answers": [numbers]}`.

    Args:
        text: What was written.
        llm: Who wrote it.
        workers: Numbers, from 1, to the workers who wrote these answers; in this order a point names them.

    Raises:
        ValueError: It is anything else; the message says what.
    """
    found = object_of(text)
    if missing := [name for name in ANALYZED if name not in found]:
        raise ValueError(f"`{missing[0]}` is missing")
    return Analysis(llm, **{name: _points(name, found[name], workers) for name in ANALYZED})


def _points(name: str, found: Any, workers: Mapping[int, str]) -> tuple[Point, ...]:
    if not isinstance(found, list) or len(found) > MOST_POINTS:
        raise ValueError(f"`{name}` is no list of up to {MOST_POINTS} points")
    return tuple(_point(name, item, workers) for item in found)


def _point(name: str, found: Any, workers: Mapping[int, str]) -> Point:
    fields: Mapping[str, Any] = found if isinstance(found, dict) else {}
    text, answers = fields.get("point"), fields.get("answers")
    if not isinstance(text, str) or not re.search(r"\w", text) or len(text) > LONGEST_POINT:
        raise ValueError(f"`{name}` has a point without words of up to {LONGEST_POINT} characters")
    if not isinstance(answers, list):
        raise ValueError(f"`{name}` has a point without a list of answers")
    numbers = {number_of(answer, len(workers)) for answer in answers}
    return Point(" ".join(text.split()), tuple(name for number, name in workers.items() if number in numbers))
