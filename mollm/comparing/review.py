"""Reviewers rank the proposals of others, without knowing whose they are, until the winner is decided."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from mollm.aggregation.base import by_count
from mollm.aggregation.showing import in_order
from mollm.comparing.ballots import Counting
from mollm.comparing.replies import number_of, numbers_to, object_of
from mollm.errors import ContextTooLong, NotInFormat, PromptError, TimedOut
from mollm.loops import cancellations
from mollm.types import Ballot, Failure, PlannedCall, Rank, Ranking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.aggregation.base import Brief
    from mollm.calling.calls import Calls
    from mollm.comparing.ballots import Ranks
    from mollm.comparing.inquiry import Inquiry
    from mollm.types import Proposal, Question

BOTH_ORDERS = 2
LEAST = 2
"""Proposals on a ballot: one alone is in every place at once."""
CANCELLED = "cancelled"
DECIDED = Failure(CANCELLED, None, "cancelled: the winner was decided without it")


@dataclass(frozen=True, slots=True)
class Review:
    """Ranks proposals by the ballots of reviewers.

    Each reads the proposals of others: those of its own LLM are left out, or, where that would leave a worker fewer
    than two, its own alone. The order of every second one is the reverse of the one before; a single reviewer is asked
    in both.
    """

    llms: tuple[str, ...]
    """The reviewers; of workers, the LLM of each."""
    inquiry: Inquiry
    by_workers: bool = True
    """The workers whose proposals arrived are the reviewers."""
    widen_after: float | None = None
    """Seconds after which another review is asked for without waiting for those that run; None: never."""

    @property
    def planned(self) -> tuple[str, ...]:
        """The LLM of each ballot that may be asked for."""
        return self.llms * BOTH_ORDERS if len(self.llms) == 1 and not self.by_workers else self.llms

    def of(self, workers: Sequence[str]) -> Self | None:
        """The same review where these LLMs are the workers; None where nobody would have two proposals to rank."""
        if len(workers) < LEAST + self.by_workers:
            return None
        return replace(self, llms=tuple(workers)) if self.by_workers else self

    def plan(self, question: Question, proposal_tokens: int) -> tuple[PlannedCall, ...]:
        """One call for each ballot, which reads proposals of at most so many tokens together."""
        return tuple(self.inquiry.plan(llm, question, proposal_tokens) for llm in self.planned)

    async def rank(self, brief: Brief, calls: Calls) -> tuple[Ranking | None, tuple[str, ...]]:
        """Rank the proposals of `brief`.

        Returns:
            The ranking, or None; and why there is none, or who could not read all of the proposals.

        Raises:
            LimitError: A review was not planned.
        """
        papers = self._papers(brief.proposals, brief.caller.seed)
        if not papers:
            return None, ("the proposals were not reviewed: nobody could have ranked two of others",)
        polling = _Polling(self, papers, brief, calls)
        await polling.run()
        ballots = [polling.ballots[index] for index in sorted(polling.ballots)]
        short = tuple(f"the reviewer: {why}" for why in dict.fromkeys(polling.short))
        counted = [ballot for ballot in ballots if ballot.error is None]
        if not counted:
            why = "; ".join(dict.fromkeys(f"{b.reviewer}: {b.error.message}" for b in ballots if b.error))
            return None, (f"the proposals are not ranked, since no review counts ({why})", *short)
        counting = polling.counting
        ranks = tuple(
            Rank(brief.proposals[index].worker, _float(counting.points(index)), counting.ballots(index))
            for index in counting.order
        )
        winner = ranks[0].worker
        dissent = dict.fromkeys(b.reviewer for b in counted if winner in b.shown and winner not in b.ranks[0])
        was_waited_for = sum(ballot.error is not DECIDED for ballot in ballots)
        is_early = counting.is_decided and was_waited_for < len(papers)
        return Ranking(ranks, tuple(ballots), tuple(dissent), is_early), short

    def _papers(self, proposals: Sequence[Proposal], seed: int | None) -> list[_Paper]:
        """What each reviewer reads, in which order."""
        order = in_order(range(len(proposals)), shuffle=self.inquiry.shuffle, seed=seed)
        papers: list[_Paper] = []
        who = [(p.worker, p.llm) for p in proposals] if self.by_workers else [(llm, llm) for llm in self.planned]
        for name, llm in who:
            shown = [index for index in order if proposals[index].llm != llm]
            if len(shown) < LEAST and self.by_workers:
                shown = [index for index in order if proposals[index].worker != name]
            elif not shown:  # all are its own, so that it has none to prefer
                shown = order
            if len(shown) >= LEAST:
                papers.append(_Paper(name, llm, tuple(shown if len(papers) % BOTH_ORDERS == 0 else reversed(shown))))
        return papers


@dataclass(frozen=True, slots=True)
class _Paper:
    reviewer: str
    llm: str
    shown: tuple[int, ...]
    """Proposals by their index."""


class _Polling:
    """Asks reviewers side by side, no more of them than may still decide.

    Attributes:
        ballots: Of those that were asked, by their number.
        counting: Of what came.
        short: What was shortened, to fit whose window.
    """

    def __init__(self, review: Review, papers: Sequence[_Paper], brief: Brief, calls: Calls) -> None:
        self._review, self._papers, self._brief, self._calls = review, papers, brief, calls
        counted = by_count(brief.proposals, brief.format)
        prefer = [next(i for i, p in enumerate(brief.proposals) if p is proposal) for proposal in counted]
        self.counting = Counting([paper.shown for paper in papers], prefer)
        self.ballots: dict[int, Ballot] = {}
        self.short: list[str] = []
        self._late = Failure(TimedOut.kind, None, "")

    async def run(self) -> None:
        """Ask until the winner is decided, or the time is up."""
        tasks: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        until = self._review.inquiry.until(self._calls)
        self._late = replace(self._late, message=f"no review within the {until - loop.time():.3g} s there were")
        widen_after, is_slow, begun = self._review.widen_after, False, loop.time()
        try:
            while (started := self.counting.start(more=is_slow)) or (tasks and not self.counting.is_decided):
                tasks |= {loop.create_task(self._ask(index)) for index in started}
                begun = loop.time() if started else begun
                is_last = widen_after is None or not self.counting.has_more
                next_at = until if is_last else min(until, begun + (widen_after or 0.0))
                wait = next_at - loop.time()
                done, tasks = await asyncio.wait(tasks, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                is_slow = not done
                if is_slow and next_at >= until:
                    break
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _ask(self, index: int) -> None:
        paper = self._papers[index]
        try:
            found, short = await self._read(paper)
        except asyncio.CancelledError:
            if cancellations():
                self._enter(index, DECIDED if self.counting.is_decided else self._late)
                raise
            found, short = Failure(CANCELLED, None, "the call cancelled itself"), ()
        self.short += short
        self.counting.count(index, None if isinstance(found, Failure) else found)
        self._enter(index, found)

    async def _read(self, paper: _Paper) -> tuple[Ranks | Failure, tuple[str, ...]]:
        """Ask one reviewer; its ranks, or why they do not count, and what it could not read."""
        shown = [self._brief.proposals[index] for index in paper.shown]
        schema = schema_of(len(shown))
        try:
            request, short = await self._review.inquiry.request(paper.llm, shown, schema, self._brief, self._calls)
        except PromptError as error:
            return Failure("unusable", None, str(error)), ()
        if request is None:
            return Failure(ContextTooLong.kind, None, "; ".join(short)), ()
        outcome = await self._calls.attempt("reviewer", paper.llm, request)
        if outcome.completion is None:
            assert outcome.call.error  # noqa: S101 - a call without a completion has one
            return outcome.call.error, short
        try:
            found = ranks_of(outcome.completion.text, len(shown))
        except ValueError as error:
            is_cut = outcome.completion.finish_reason == "length"
            why = "it was cut off by its token limit" if is_cut else f"it cannot be read: {error}"
            return Failure(NotInFormat.kind, None, f"the review does not count: {why}"), short
        return tuple(tuple(paper.shown[number - 1] for number in tied) for tied in found), short

    def _enter(self, index: int, found: Ranks | Failure) -> None:
        def names(indices: Sequence[int]) -> tuple[str, ...]:
            return tuple(self._brief.proposals[index].worker for index in indices)

        paper = self._papers[index]
        ranks, error = ((), found) if isinstance(found, Failure) else (tuple(map(names, found)), None)
        self.ballots[index] = Ballot(paper.reviewer, paper.llm, names(paper.shown), ranks, error)


def schema_of(count: int) -> dict[str, Any]:
    """The JSON schema of a ranking of so many answers; that each stands in it once is more than a schema can say."""
    tied = {"type": "array", "items": numbers_to(count), "minItems": 1}
    return {
        "type": "object",
        "properties": {"ranking": {"type": "array", "items": tied, "minItems": 1}},
        "required": ["ranking"],
        "additionalProperties": False,
    }


def ranks_of(text: str, count: int) -> Ranks:
    """Read `{"ranking": [[2], [1, 3]]}`, numbers from 1 to `count`, each once, the best first.

    A number may stand without the list around it.

    Raises:
        ValueError: It is anything else; the message says what.
    """
    ranking: Any = object_of(text).get("ranking")
    if not isinstance(ranking, list):
        raise ValueError("`ranking` is no list")
    groups = [group if isinstance(group, list) else [group] for group in ranking]
    ranks = tuple(tuple(number_of(number, count) for number in group) for group in groups if group)
    numbers = [number for group in ranks for number in group]
    if len(set(numbers)) < len(numbers):
        raise ValueError("it ranks an answer twice")
    if len(numbers) < count:
        raise ValueError(f"it ranks {len(numbers)} of {count} answers")
    return ranks


def _float(points: Any) -> float | None:
    return None if points is None else float(points)
