"""Asking one thing at a time as it is served: through `MoLLM`, within a ceiling, and kept in a journal.

What was answered is not asked again. What was not, since an LLM could not be reached or not be called, is no answer: it
is asked once more when all else has been, unless the LLM is down.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from mollm.errors import LimitError, MollmError, RoutingError, RunError
from mollm.evaluation.mixtures.gathering.outages import PATIENCE, Outages, unavailable
from mollm.evaluation.mixtures.records import Record
from mollm.final.replies import final_answer
from mollm.loops import all_of
from mollm.observing.observers import Observers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any

    from mollm.api import MoLLM
    from mollm.evaluation.mixtures.gathering.ceiling import Ceiling, Share
    from mollm.evaluation.mixtures.gathering.journal import Journal, Key
    from mollm.evaluation.mixtures.rows import Row
    from mollm.types import Answer

T = TypeVar("T")

MOST_IN_A_ROW = 25
"""Questions that fail one after the other, whoever was asked, until it is given up: nobody answers any more."""


@dataclass(frozen=True, slots=True)
class Told:
    """How far an evaluation is."""

    done: int
    total: int
    """Of the same steps: a question asked of all, or of one self-mixture."""
    calls: int
    failures: int
    """Calls that failed."""


class Asker:
    """Asks, unless the answer is there already.

    Attributes:
        failures: By LLM and reason, how many calls failed.
        outages: Which LLMs are waited for, and which are down.
        again: By LLM, the questions that were asked again since calls to it had failed.
    """

    def __init__(self, mollm: MoLLM, journal: Journal, ceiling: Ceiling, patience: float = PATIENCE) -> None:
        """Ask nothing yet.

        Args:
            mollm: Answers.
            journal: What was answered before, and where it is kept.
            ceiling: What may be taken.
            patience: Seconds for which an LLM that has answered and then fails is waited for.
        """
        self.mollm, self.journal, self.ceiling = mollm, journal, ceiling
        self.failures = Counter[tuple[str, str]]()
        self.outages = Outages(mollm.catalog.llms, patience)
        self.again: defaultdict[str, set[str]] = defaultdict(set)
        self._times: Counter[Key] = Counter()
        self._seen: set[Key] = set()
        self._in_a_row = 0

    async def answer(self, row: Row, key: Key, asked: str | dict[str, Any], *notes: str) -> Record:
        """Ask a mixture by name, or a panel.

        Args:
            row: The question.
            key: What the record is of.
            asked: The mixture.
            notes: Added to what the record says of how the answer came about.

        Raises:
            CeilingReached: There is not enough left.
            RunError: Nobody has answered for a long time.
        """

        async def ask(share: Share) -> Record:
            answer = await self.mollm.arun(row.asked, self._watching(share), mixture=asked, budget=share)
            record = _record(row, answer, unavailable(share.ended, is_answered=True))
            return replace(record, degraded=(*record.degraded, *notes)) if notes else record

        return await self._once(row, key, ask)

    async def route(self, row: Row, key: Key) -> Record:
        """Ask the router. Raises as `answer`."""

        async def ask(share: Share) -> Record:
            try:
                route = await self.mollm.aroute(row.asked, self._watching(share), budget=share)
            except MollmError:
                raise
            except Exception as error:  # of a router that somebody else wrote; it is told as any other failure
                raise RoutingError(f"the router failed: {type(error).__name__}: {error}") from error
            return Record(row.id, "", calls=share.calls, usage=share.usage, seconds=route.seconds, route=route.mixture)

        return await self._once(row, key, ask)

    async def all(self, rows: Sequence[Row], ask: Callable[[Row], Awaitable[None]], concurrency: int) -> None:
        """Ask each question, and those once more that were lost to an outage which is over.

        Args:
            rows: The questions.
            ask: Asks one by way of this asker; what is there already is not asked again.
            concurrency: Questions at the same time.
        """
        self._seen.clear()
        left = list(rows)
        while left:
            asked = self._times.total()
            await each(left, ask, concurrency)
            lost = {key.id for key in self._seen if self._kept(key) is None}
            left = [row for row in rows if row.id in lost and self._times.total() > asked]

    def _kept(self, key: Key) -> Record | None:
        """What there is already; None where it is to be asked, the first time or again."""
        found = self.journal.done(key)
        if found is None or not found.unavailable or not self.outages.may_answer(found.unavailable):
            return found
        # It may have been asked again in the middle of the same outage, which is no second try.
        is_tried = self._times[key] > 1 and not self.outages.waits_for(found.unavailable)
        return found if is_tried else None

    def _watching(self, share: Share) -> Observers:
        return Observers((share, self.outages))

    async def _once(self, row: Row, key: Key, ask: Callable[[Share], Awaitable[Record]]) -> Record:
        async def counted(share: Share) -> Record:
            try:
                return await ask(share)
            except MollmError as error:
                if isinstance(error, LimitError) and share.is_refused:
                    raise
                return _failed(row, share, error)
            finally:
                self._count(share)

        self._seen.add(key)
        found = self._kept(key)
        if found is None:
            before = self.journal.records.get(key)
            found = await self.outages.through(lambda: self.ceiling.within(counted))
            self.journal.add(key, found)
            self._times[key] += 1
            for llm in before.unavailable if before else ():
                self.again[llm].add(key.id)
            self._watch(found)
        return found

    def _count(self, share: Share) -> None:
        for event in share.ended:
            error = event.call.error
            if error is not None and error.kind != "cancelled":
                self.failures[event.call.llm, error.message] += 1

    def _watch(self, record: Record) -> None:
        if self.outages.waits_for(record.unavailable):
            return
        self._in_a_row = self._in_a_row + 1 if record.error is not None else 0
        if self._in_a_row >= MOST_IN_A_ROW:
            raise RunError(
                f"given up: {self._in_a_row} questions in a row were answered by nobody; the last: {record.error}"
            )


def _record(row: Row, answer: Answer, lost: tuple[str, ...]) -> Record:
    proposals = answer.proposals
    alone = proposals[0] if len(proposals) == 1 and proposals[0].text == answer.text else None
    return Record(
        row.id,
        answer.text,
        # A worker that was asked for JSON is known by all of it.
        alone.final if alone else final_answer(answer.text),
        calls=answer.calls,
        usage=answer.usage,
        cost_usd=answer.cost_usd,
        seconds=answer.seconds,
        logprob=alone.logprob if alone else None,
        agreement=answer.agreement,
        confidence=answer.confidence,
        degraded=answer.degraded,
        proposals=proposals,
        unavailable=lost,
    )


async def each(items: Sequence[T], work: Callable[[T], Awaitable[None]], concurrency: int) -> None:
    """Do some work for each, in order, so many at a time."""
    left = iter(items)

    async def next_ones() -> None:
        for item in left:
            await work(item)

    await all_of([next_ones() for _ in range(min(concurrency, len(items)))])


def _failed(row: Row, share: Share, error: MollmError) -> Record:
    return Record(
        row.id,
        "",
        error=" ".join(str(error).split()) or type(error).__name__,
        calls=share.calls,
        usage=share.usage,
        cost_usd=share.known_cost,
        seconds=max((event.call.seconds for event in share.ended), default=0.0),
        unavailable=unavailable(share.ended, is_answered=False),
    )
