"""Reviewers rank the proposals of others, without knowing whose they are, until the winner is decided."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from mollm.aggregation.base import by_count
from mollm.aggregation.showing import in_order, show_proposals
from mollm.calling.base import Request
from mollm.comparing.ballots import Counting
from mollm.comparing.replies import constraint, is_cancelled, latest, number_of, object_of
from mollm.fitting import Reader
from mollm.options import Settings
from mollm.prompts import with_persona
from mollm.types import Ballot, Failure, PlannedCall, Rank, Ranking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.aggregation.base import Brief
    from mollm.calling.calls import Calls
    from mollm.comparing.ballots import Ranks
    from mollm.prompts import Prompt
    from mollm.types import Proposal, Question

BOTH_ORDERS = 2
CANCELLED = "cancelled"
DECIDED = Failure(CANCELLED, None, "the winner was decided without it")
LATE = Failure("timed_out", None, "no review in the time there was")
LEAST = 2
"""Proposals on a ballot: one alone is in every place at once."""
SCHEMA = {
    "type": "object",
    "properties": {"ranking": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}},
    "required": ["ranking"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Review:
    """Ranks proposals by the ballots of reviewers.

    Each reads the proposals of others: those of its own LLM are left out, or, where that would leave fewer than two,
    its own alone. The order of every second one is the reverse of the one before; a single reviewer is asked in both.
    """

    llms: tuple[str, ...]
    """The reviewers, one for each ballot; of workers, their LLMs."""
    prompt: Prompt
    """Takes `question`, `proposals` and `criteria`."""
    by_workers: bool = True
    """The workers whose proposals arrived are the reviewers."""
    criteria: tuple[str, ...] = ()
    settings: Settings = Settings()
    max_tokens: Mapping[str, int] | None = None
    """By LLM, the most tokens of its reply unless `settings` say otherwise."""
    shuffle: bool = True
    deadline: float = 120.0
    """Seconds for all reviews together."""

    @property
    def planned(self) -> tuple[str, ...]:
        """The LLM of each ballot that may be asked for."""
        return self.llms * BOTH_ORDERS if len(self.llms) == 1 and not self.by_workers else self.llms

    def of(self, workers: Sequence[str]) -> Self:
        """The same review where these LLMs are the workers."""
        return replace(self, llms=tuple(workers)) if self.by_workers else self

    def plan(self, question: Question, proposal_tokens: int) -> tuple[PlannedCall, ...]:
        """One call for each ballot, which reads proposals of at most so many tokens together."""
        prompt = question.tokens * (1 + self.prompt.questions) + self.prompt.tokens + proposal_tokens
        return tuple(
            PlannedCall("reviewer", llm, self._limit(llm), prompt, images=question.images) for llm in self.planned
        )

    def _limit(self, llm: str) -> int:
        return self.settings.max_tokens or (self.max_tokens or {}).get(llm, 0)

    async def rank(self, brief: Brief, calls: Calls) -> tuple[Ranking | None, tuple[str, ...]]:
        """Rank the proposals of `brief`.

        Returns:
            The ranking, or None; and why there is none.
        """
        papers = self._papers(brief.proposals, brief.caller.seed)
        if not papers:
            return None, ("the proposals were not reviewed: nobody could have ranked two of others",)
        ballots, counting = await _Polling(self, papers, brief, calls).run()
        counted = [ballot for ballot in ballots if ballot.error is None]
        if not counted:
            why = "; ".join(dict.fromkeys(f"{b.reviewer}: {b.error.message}" for b in ballots if b.error))
            return None, (f"the proposals are not ranked, since no review counts ({why})",)
        proposals = brief.proposals
        ranks = tuple(
            Rank(proposals[index].worker, _float(counting.points(index)), counting.ballots(index))
            for index in counting.order
        )
        winner = ranks[0].worker
        dissent = tuple(b.reviewer for b in counted if winner in b.shown and winner not in b.ranks[0])
        is_early = counting.is_decided and sum(ballot.error is not DECIDED for ballot in ballots) < len(papers)
        return Ranking(ranks, tuple(ballots), tuple(dict.fromkeys(dissent)), is_early), ()

    def _papers(self, proposals: Sequence[Proposal], seed: int | None) -> list[_Paper]:
        """What each reviewer reads, in which order."""
        order = in_order(range(len(proposals)), shuffle=self.shuffle, seed=seed)
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

    async def ask(self, paper: _Paper, brief: Brief, calls: Calls) -> tuple[Ranks | None, Failure | None]:
        """Ask one reviewer; its ranks, or why they do not count."""
        facts = calls.llm(paper.llm)
        settings = replace(
            self.settings, seed=brief.caller.seed, response_format=constraint("ranking", SCHEMA, facts.dialect)
        )
        plain = with_persona(brief.messages, system=None, persona=None)
        shown = [brief.proposals[index] for index in paper.shown]
        readers = [Reader(paper.llm, facts, settings.max_tokens)]
        criteria = "\n".join(f"- {criterion}" for criterion in self.criteria)
        messages, why = await show_proposals(self.prompt, plain, shown, readers, values={"criteria": criteria})
        if messages is None:
            return None, Failure("context_too_long", None, "; ".join(why))
        outcome = await calls.attempt("reviewer", paper.llm, Request(messages, settings))
        if outcome.completion is None:
            return None, outcome.call.error or Failure("failed", None, "no reply")
        try:
            found = ranks_of(outcome.completion.text, len(shown))
        except ValueError as error:
            return None, Failure("not_in_format", None, f"the review cannot be read: {error}")
        return tuple(tuple(paper.shown[number - 1] for number in tied) for tied in found), None


@dataclass(frozen=True, slots=True)
class _Paper:
    reviewer: str
    llm: str
    shown: tuple[int, ...]
    """Proposals by their index."""


class _Polling:
    """Asks reviewers side by side, no more of them than may still decide."""

    def __init__(self, review: Review, papers: Sequence[_Paper], brief: Brief, calls: Calls) -> None:
        self._review, self._papers, self._brief, self._calls = review, papers, brief, calls
        counted = by_count(brief.proposals, brief.format)
        prefer = [next(i for i, p in enumerate(brief.proposals) if p is proposal) for proposal in counted]
        self._counting = Counting([paper.shown for paper in papers], prefer)
        self._ballots: dict[int, Ballot] = {}

    async def run(self) -> tuple[list[Ballot], Counting]:
        tasks: set[asyncio.Task[int]] = set()
        loop = asyncio.get_running_loop()
        until = latest(self._review.deadline, self._calls)
        try:
            while (started := self._counting.start()) or (tasks and not self._counting.is_decided):
                tasks |= {loop.create_task(self._ask(index)) for index in started}
                done, tasks = await asyncio.wait(
                    tasks, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        return [self._ballots[index] for index in sorted(self._ballots)], self._counting

    async def _ask(self, index: int) -> int:
        paper = self._papers[index]
        try:
            ranks, failure = await self._review.ask(paper, self._brief, self._calls)
        except asyncio.CancelledError:
            if is_cancelled():
                self._ballots[index] = self._ballot(paper, None, DECIDED if self._counting.is_decided else LATE)
                raise
            ranks, failure = None, Failure(CANCELLED, None, "the call cancelled itself")
        self._counting.count(index, ranks)
        self._ballots[index] = self._ballot(paper, ranks, failure)
        return index

    def _ballot(self, paper: _Paper, ranks: Ranks | None, failure: Failure | None) -> Ballot:
        def names(indices: Sequence[int]) -> tuple[str, ...]:
            return tuple(self._brief.proposals[index].worker for index in indices)

        return Ballot(paper.reviewer, paper.llm, names(paper.shown), tuple(map(names, ranks or ())), failure)


def ranks_of(text: str, count: int) -> Ranks:
    """Read `{"ranking": [[2], [1, 3]]}`, numbers from 1 to `count`, each once, the best first.

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
