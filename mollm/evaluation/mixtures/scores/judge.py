"""An LLM judges which of two answers is better."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mollm.comparing.replies import object_of
from mollm.errors import ConfigError, LimitError, MollmError
from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.gathering.ceiling import Ceiling, CeilingReached
from mollm.evaluation.mixtures.scores.base import Spent, told
from mollm.evaluation.mixtures.scores.trust import Pair, trust_of
from mollm.final.replies import is_right, is_value
from mollm.loops import all_of
from mollm.prompts import fence, fence_question, fence_reference, load_prompt
from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mollm.api import MoLLM
    from mollm.evaluation.mixtures.gathering.ceiling import Share
    from mollm.evaluation.mixtures.rows import Row
    from mollm.options import RequestOptions
    from mollm.types import Answer

PROMPT = "prompts/judge/default.md"
AT_ONCE = 8
"""Calls of the judge at the same time, of all questions."""
WIN, TIE, LOSS = 1.0, 0.5, 0.0
NEITHER, FIRST, SECOND = 0, 1, 2
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"better": {"type": "integer", "enum": [NEITHER, FIRST, SECOND]}},
    "required": ["better"],
    "additionalProperties": False,
}
"""The JSON schema of a verdict."""


class NoVerdictError(Exception):
    """The judge said nothing that counts, and why."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the judge says of a text beside the anchor."""

    score: float
    orders_differ: bool


class LLMJudge:
    """Scores by an LLM that reads each answer beside the first one: 1 if it wins, 0.5 for a tie, 0 if it loses.

    The first of the answers to a question that it is ever given, which is that of the first member as it is listed, is
    the anchor of all others, and has 0.5 itself. The judge reads each pair in both orders, without names, and an answer
    wins only if it does in both. Equal answers are a tie without a call. Where the judge fails, or does not reply as it
    should, there is no score.
    """

    name, is_exact = "judge", False

    def __init__(self, mollm: MoLLM, llm: str, ceiling: Ceiling | None = None) -> None:
        """Take an LLM of a configuration, which is asked as any question is: with its retries, limits and prices.

        Args:
            mollm: Has it. Must not be one that replays recorded answers, among which there are no verdicts.
            llm: Its name.
            ceiling: What judging may take; a pair for which there is not enough left has no verdict. None: anything.

        Raises:
            ConfigError: The configuration has no such LLM.
            LimitError: It has no price, and the ceiling is one of USD.
            PromptError: The prompt cannot be used.
        """
        config = mollm.config
        if llm not in config.llms:
            known = ", ".join(sorted(config.llms))
            raise ConfigError(f"the judge must be an LLM of the configuration ({known}), and {llm!r} is none")
        self._mollm, self._llm = mollm, llm
        self._ceiling = ceiling or Ceiling()
        client = mollm.catalog.llms.add(llm)
        if self._ceiling.needs_prices and client.price is None:
            raise LimitError(f"--cost cannot be kept: no price of {llm}, which judges; give `price`, or --calls")
        self._prompt = load_prompt(config, PROMPT, "judge", "judge")
        self._options: RequestOptions = {"mixture": llm}
        if client.dialect is not None:
            named = {"name": "judge", "schema": FORM, "strict": True}
            self._options["response_format"] = {"type": "json_schema", "json_schema": named}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._anchors: dict[str, str] = {}
        self._known: dict[tuple[str, str, str], _Verdict] = {}
        self._pairs: list[Pair] = []
        self._failures: list[str] = []
        self._is_member = False
        self._calls, self._usage, self._cost = 0, Usage(), 0.0
        self._has_cost = False

    @property
    def spent(self) -> Spent:
        """What judging took."""
        return Spent(self._calls, self._usage, self._cost if self._has_cost else None)

    def problem(self, row: Row) -> str | None:  # noqa: ARG002 - any text is a reference to a reader
        return None

    async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
        if not texts:
            return {}
        said = list(dict.fromkeys(text.strip() for text in texts.values()))
        # Whoever asks again, of further answers to the same question, has them held against the same one.
        anchor = self._anchors.setdefault(row.id, said[0])
        others = [text for text in said if text != anchor]
        self._is_member |= self._llm in texts
        verdicts = await all_of([self._verdict(row, anchor, text) for text in others]) if others else []
        scores: dict[str, float | None] = {anchor: TIE}
        for text, verdict in zip(others, verdicts, strict=True):
            scores[text] = verdict.score if verdict else None
        return {who: scores[text.strip()] for who, text in texts.items()}

    def notes(self) -> tuple[str, ...]:
        member = [f"the judge {self._llm} gave some of the answers itself, and LLMs prefer what they wrote"]
        return (
            f"judged by {self._llm}: each answer beside the first member's, in both orders; a win counts 1, a tie or "
            "a judge that contradicts itself 0.5, a loss 0",
            *(member if self._is_member else []),
            *trust_of(self._pairs),
            *self._took(),
            *told(self._failures, "pairs without a verdict"),
        )

    def _took(self) -> Iterator[str]:
        if self._calls:
            cost = f" and {self._cost:.2f} USD" if self._has_cost else ""
            yield f"judging took {count(self._calls, 'call')}, {count(self._usage.total_tokens, 'token')}{cost}"

    async def _verdict(self, row: Row, anchor: str, text: str) -> _Verdict | None:
        """Ask in both orders, once for all mixtures with the same first member; None if either says nothing."""
        key = (row.id, anchor, text)
        if key in self._known:
            return self._known[key]
        try:
            forth, back = await all_of([self._asked(row, (anchor, text)), self._asked(row, (text, anchor))])
        except NoVerdictError as error:
            self._failures.append(f"{row.place}: no verdict: {error}")
            return None
        wins = (forth == SECOND, back == FIRST)
        losses = (forth == FIRST, back == SECOND)
        score = WIN if all(wins) else LOSS if all(losses) else TIE
        verdict = _Verdict(score, orders_differ=score == TIE and (any(wins) or any(losses)))
        if self._known.setdefault(key, verdict) is verdict:
            self._pairs.append(_pair(row, anchor, text, verdict))
        return verdict

    async def _asked(self, row: Row, pair: Sequence[str]) -> int:
        """Have one pair judged in one order.

        Raises:
            NoVerdictError: The call failed, or its reply is not what was asked for.
        """
        prompt = self._prompt.render(
            question=fence_question(row.question),
            answers=fence(pair),
            reference=fence_reference(row.reference),
        )

        async def ask(share: Share) -> Answer:
            try:
                return await self._mollm.arun(prompt, share, budget=share, **self._options)
            finally:
                self._count(share)

        async with self._places:
            try:
                answer = await self._ceiling.within(ask)
            except (CeilingReached, MollmError) as error:
                raise NoVerdictError(str(error)) from error
        try:
            better = object_of(answer.text).get("better")
        except ValueError as error:
            raise NoVerdictError(f"the reply of {self._llm} cannot be read: {error}") from error
        if type(better) is not int or better not in (NEITHER, FIRST, SECOND):
            raise NoVerdictError(f"the reply of {self._llm} cannot be read: `better` must be 0, 1 or 2")
        return better

    def _count(self, share: Share) -> None:
        self._calls += share.calls
        self._usage += share.usage
        self._cost += share.cost_usd
        self._has_cost |= share.known_cost is not None


def _pair(row: Row, anchor: str, text: str, verdict: _Verdict) -> Pair:
    rights = None
    if is_value(row.reference):
        rights = is_right(anchor, row.reference), is_right(text, row.reference)
    return Pair(verdict.score, verdict.orders_differ, (len(anchor), len(text)), rights)
