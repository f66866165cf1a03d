"""An LLM judges which of two answers is better."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mollm.comparing.replies import object_of
from mollm.config.members import SAMPLING
from mollm.errors import ConfigError, DataError, LimitError, LLMError, MollmError, RunError
from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.gathering.ceiling import Ceiling, CeilingReached
from mollm.evaluation.mixtures.gathering.outages import PATIENCE, Outages
from mollm.evaluation.mixtures.scores.base import Spent, told
from mollm.evaluation.mixtures.scores.trust import Pair, trust_of
from mollm.evaluation.mixtures.scores.verdicts import Verdicts
from mollm.final.replies import is_right, is_value
from mollm.loops import all_of
from mollm.observing.observers import Observers
from mollm.prompts import fence, fence_question, fence_reference, load_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mollm.api import MoLLM
    from mollm.evaluation.mixtures.gathering.ceiling import Share
    from mollm.evaluation.mixtures.rows import Row
    from mollm.options import RequestOptions
    from mollm.prompts import Prompt

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

    Attributes:
        digest: Of who judges, and how.
        verdicts: What was judged before, and where verdicts are kept; in memory until somebody opens a file.
    """

    name, is_exact = "judge", False

    def __init__(
        self,
        mollm: MoLLM,
        llm: str,
        ceiling: Ceiling | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Take an LLM of a configuration, which is asked as any question is: with its retries, limits and prices.

        Args:
            mollm: Has it. Must not be one that replays recorded answers, among which there are no verdicts.
            llm: Its name.
            ceiling: What judging may take; a pair for which there is not enough left has no verdict. None: anything.
            patience: Seconds for which a judge that has answered and then fails is waited for.

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
        self.verdicts = Verdicts()
        self._outages = Outages(mollm.catalog.llms, patience)
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
        self.digest = _digest_of(mollm, llm, self._prompt, self._options)

    @property
    def spent(self) -> Spent:
        """What judging took, at earlier starts too."""
        return self.verdicts.spent(self.digest)

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
        spent = self.spent
        if spent.calls:
            cost = f" and {spent.cost_usd:.6f} USD" if spent.cost_usd is not None else ""
            yield f"judging took {count(spent.calls, 'call')}, {count(spent.usage.total_tokens, 'token')}{cost}"

    async def _verdict(self, row: Row, anchor: str, text: str) -> _Verdict | None:
        """Ask in both orders, once for all mixtures with the same first member; None if either says nothing."""
        key = (row.id, anchor, text)
        if key in self._known:
            return self._known[key]
        forth, back = await all_of([self._said(row, (anchor, text)), self._said(row, (text, anchor))])
        for said in (forth, back):
            if isinstance(said, str):
                self._failures.append(f"{row.place}: no verdict: {said}")
                return None
        wins = (forth == SECOND, back == FIRST)
        losses = (forth == FIRST, back == SECOND)
        score = WIN if all(wins) else LOSS if all(losses) else TIE
        verdict = _Verdict(score, orders_differ=score == TIE and (any(wins) or any(losses)))
        if self._known.setdefault(key, verdict) is verdict:
            self._pairs.append(_pair(row, anchor, text, verdict))
        return verdict

    async def _said(self, row: Row, pair: Sequence[str]) -> int | str:
        """What the judge says of a pair in one order, or why it says nothing."""
        key = self.verdicts.key(row, pair)

        async def ask(share: Share) -> int:
            return await self._asked(row, pair, key, share)

        async with self._places:
            found = self.verdicts.said(self.digest, key)
            times = 0
            while found is None:
                times += 1
                try:
                    return await self._outages.through(lambda: self._ceiling.within(ask))
                except DataError:  # a verdict that cannot be kept is no failure of the judge
                    raise
                except (CeilingReached, MollmError) as error:
                    if not self._may_answer(error, times):
                        return str(error)
        return found

    async def _asked(self, row: Row, pair: Sequence[str], key: str, share: Share) -> int:
        """Have one pair judged in one order, and keep the verdict. Raises `MollmError`."""
        prompt = self._prompt.render(
            question=fence_question(row.question),
            answers=fence(pair),
            reference=fence_reference(row.reference),
        )
        better = None
        try:
            observer = Observers((share, self._outages))
            answer = await self._mollm.arun(prompt, observer, budget=share, **self._options)
            better = self._read(answer.text)
        finally:
            if share.calls:
                self.verdicts.add(self.digest, key, row, better, share)
        return better

    def _may_answer(self, error: Exception, times: int) -> bool:
        """Whether the judge failed in a way that may be over when it is asked again."""
        llms = (self._llm,)
        is_lost = isinstance(error, LLMError) and error.is_retryable and self._outages.may_answer(llms)
        return is_lost and (times == 1 or self._outages.waits_for(llms))

    def _read(self, text: str) -> int:
        try:
            better = object_of(text).get("better")
        except ValueError as error:
            raise RunError(f"the reply of {self._llm} cannot be read: {error}") from error
        if type(better) is not int or better not in (NEITHER, FIRST, SECOND):
            raise RunError(f"the reply of {self._llm} cannot be read: `better` must be 0, 1 or 2")
        return better


def _digest_of(mollm: MoLLM, llm: str, prompt: Prompt, options: RequestOptions) -> str:
    """A digest of who judges, and how: the LLM, its settings, the prompt, and the form of the reply."""
    settings = mollm.config.llms[llm]
    sampled = settings.model_dump(mode="json", include={*SAMPLING})
    words = prompt.render(question="question", answers="answers", reference="reference")
    told = json.dumps([llm, sampled, settings.extra_body, words, options], sort_keys=True, default=repr)
    return hashlib.sha256(told.encode()).hexdigest()


def _pair(row: Row, anchor: str, text: str, verdict: _Verdict) -> Pair:
    rights = None
    if is_value(row.reference):
        rights = is_right(anchor, row.reference), is_right(text, row.reference)
    return Pair(verdict.score, verdict.orders_differ, (len(anchor), len(text)), rights)
