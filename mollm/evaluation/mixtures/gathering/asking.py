"""Asking one thing at a time as it is served: through `MoLLM`, within a ceiling, once, and kept in a journal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm.errors import LimitError, MollmError, RoutingError, RunError
from mollm.evaluation.mixtures.records import Record
from mollm.final.replies import final_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from mollm.api import MoLLM
    from mollm.evaluation.mixtures.gathering.ceiling import Ceiling, Share
    from mollm.evaluation.mixtures.gathering.journal import Journal, Key
    from mollm.evaluation.mixtures.rows import Row
    from mollm.types import Answer

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
    """

    def __init__(self, mollm: MoLLM, journal: Journal, ceiling: Ceiling) -> None:
        """Ask nothing yet.

        Args:
            mollm: Answers.
            journal: What was answered before, and where it is kept.
            ceiling: What may be taken.
        """
        self.mollm, self.journal, self.ceiling = mollm, journal, ceiling
        self.failures = Counter[tuple[str, str]]()
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
            answer = await self.mollm.arun(row.asked, share, mixture=asked, budget=share)
            record = _record(row, answer)
            return replace(record, degraded=(*record.degraded, *notes)) if notes else record

        return await self._once(row, key, ask)

    async def route(self, row: Row, key: Key) -> Record:
        """Ask the router. Raises as `answer`."""

        async def ask(share: Share) -> Record:
            try:
                route = await self.mollm.aroute(row.asked, share, budget=share)
            except MollmError:
                raise
            except Exception as error:  # of a router that somebody else wrote; it is told as any other failure
                raise RoutingError(f"the router failed: {type(error).__name__}: {error}") from error
            return Record(row.id, "", calls=share.calls, usage=share.usage, seconds=route.seconds, route=route.mixture)

        return await self._once(row, key, ask)

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

        found = self.journal.done(key)
        if found is None:
            found = await self.ceiling.within(counted)
            self.journal.add(key, found)
            self._watch(found)
        return found

    def _count(self, share: Share) -> None:
        for event in share.ended:
            error = event.call.error
            if error is not None and error.kind != "cancelled":
                self.failures[event.call.llm, error.message] += 1

    def _watch(self, record: Record) -> None:
        self._in_a_row = self._in_a_row + 1 if record.error is not None else 0
        if self._in_a_row >= MOST_IN_A_ROW:
            raise RunError(
                f"given up: {self._in_a_row} questions in a row were answered by nobody; the last: {record.error}"
            )


def _record(row: Row, answer: Answer) -> Record:
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
    )


def _failed(row: Row, share: Share, error: MollmError) -> Record:
    return Record(
        row.id,
        "",
        error=" ".join(str(error).split()) or type(error).__name__,
        calls=share.calls,
        usage=share.usage,
        cost_usd=share.known_cost,
        seconds=max((event.call.seconds for event in share.ended), default=0.0),
    )
