"""How good every answer to the questions is, and which questions count."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mollm.aggregation.base import voted
from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.records import Record
from mollm.evaluation.mixtures.report import Excluded
from mollm.loops import all_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.records import Gathered
    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.mixtures.scores.base import Score
    from mollm.types import Proposal

AT_ONCE = 16
"""Questions whose answers are scored at the same time."""
LEAST_SCORED = 0.5
"""Share of the questions on which the answers of a member, or the self-mixture, have to be scored to be compared."""

BEST, ITSELF, ROUTED = "best proposal", "itself", "routed"
"""Who gives further answers, after the name of the mixture."""


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """All answers to one question, and what they score."""

    records: Mapping[str, Record]
    """By who gave them: the members as they are listed, then the mixture, and further ones after its name."""
    texts: Mapping[str, str]
    """Of those that did not fail."""
    scores: Mapping[str, float]
    """Of as many; NaN for one of which nothing can be said."""

    def value(self, who: str) -> float:
        """The score of an answer, 0 for a failure; NaN where nothing can be said of it."""
        record = self.records.get(who)
        return 0.0 if record is not None and record.error is not None else self.scores.get(who, math.nan)

    def of_text(self, text: str) -> float:
        """The score of a text, whoever gave it; NaN where nothing can be said of it."""
        found = (self.scores[who] for who, said in self.texts.items() if said == text)
        return next((value for value in found if not math.isnan(value)), math.nan)


@dataclass(frozen=True, slots=True)
class Scored:
    """One mixture on the n questions that count, and its m members, with what everything scores."""

    gathered: Gathered
    rows: tuple[Row, ...]
    questions: tuple[ScoredQuestion, ...]
    """In the order of `rows`."""
    answers: tuple[Record, ...]
    of_mixture: Floats
    """Shape (n,), as the next but one."""
    alone: Mapping[str, tuple[Record, ...]]
    """The members that can be compared: workers, and behind them those that only read what workers say."""
    of_members: Floats
    """Shape (n, m)."""
    workers: int
    """How many of the members are workers."""
    itself: tuple[Record, ...]
    """Of the self-mixture; empty without one."""
    of_itself: Floats
    unscored: Mapping[str, str]
    """Members that cannot be compared, and why."""
    excluded: tuple[Excluded, ...]


async def score_questions(gathered: Gathered, score: Score, routed: Mapping[str, Record]) -> dict[str, ScoredQuestion]:
    """Score all answers, those to one question together.

    Args:
        gathered: What came of a mixture.
        score: Says how good an answer is.
        routed: The answers of the mixtures that the router picked, by the id of the question.

    Returns:
        By the ids of those questions that were asked of all and have a reference.
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def of(number: int) -> ScoredQuestion:
        row = gathered.rows[number]
        records = _records(gathered, number, routed.get(row.id))
        texts = {who: record.text for who, record in records.items() if record.error is None}
        async with places:
            return ScoredQuestion(records, texts, await scores_of(score, row, texts))

    asked = [n for n, row in enumerate(gathered.rows) if row.id not in gathered.unasked and not score.problem(row)]
    found = await all_of([of(number) for number in asked])
    return {gathered.rows[number].id: said for number, said in zip(asked, found, strict=True)}


async def scores_of(score: Score, row: Row, texts: Mapping[str, str]) -> dict[str, float]:
    """Score texts to one question, by who gave them; NaN for those of which nothing can be said."""
    found = await score.score(row, texts) if texts else {}
    values = {who: found.get(who) for who in texts}
    return {who: math.nan if value is None else float(value) for who, value in values.items()}


def _records(gathered: Gathered, number: int, routed: Record | None) -> dict[str, Record]:
    """Who says what to one question, the first member first: a judge may hold the others against it."""
    name, answer = name_of(gathered), gathered.answers[number]
    records = {who: column[number] for who, column in gathered.members.items()} | {name: answer}
    if gathered.itself:
        records[f"{name} {ITSELF}"] = gathered.itself[number]
    if routed is not None:
        records[f"{name} {ROUTED}"] = routed
    best = best_of(answer) if answer.error is None else None
    if best and all(best.text != record.text for record in records.values()):
        records[f"{name} {BEST}"] = Record(answer.id, best.text, best.final)
    return records


def name_of(gathered: Gathered) -> str:
    """The name of a mixture among those of its members."""
    return f"{gathered.mixture} (mixture)" if gathered.mixture in gathered.members else gathered.mixture


def best_of(record: Record) -> Proposal | None:
    """The proposal that would be the answer without an aggregator; None if none arrived."""
    arrived = [proposal for proposal in record.proposals if proposal.error is None]
    last = max((proposal.layer for proposal in arrived), default=0)
    return voted([proposal for proposal in arrived if proposal.layer == last]) if arrived else None


def scored(gathered: Gathered, said: Mapping[str, ScoredQuestion], score: Score) -> Scored:
    """Keep the questions that count: asked of all, with a reference, and with a score for every answer."""
    name = name_of(gathered)
    why = dict(gathered.unasked)
    why |= {row.id: problem for row in gathered.rows if row.id not in why and (problem := score.problem(row))}
    asked = [number for number, row in enumerate(gathered.rows) if row.id not in why]
    found = [said[gathered.rows[number].id] for number in asked]
    others = [f"{name} {ITSELF}"] if gathered.itself else []
    members = gathered.members
    unscored = _unscored([*members, *others], found)
    if others and (hardly := unscored.pop(others[0], None)):
        gathered, others = replace(gathered, itself=(), why_not_itself=hardly), []
    compared = [who for who in members if who not in unscored]
    columns = [name, *compared, *others]
    values = np.array([[one.value(who) for who in columns] for one in found]).reshape(len(found), len(columns))
    for number, row in zip(asked, values, strict=True):
        if lacking := [who for who, value in zip(columns, row, strict=True) if math.isnan(value)]:
            why[gathered.rows[number].id] = f"the answer of {', '.join(lacking)} could not be scored"
    kept = [number for number in asked if gathered.rows[number].id not in why]
    values = values[~np.isnan(values).any(axis=1)]
    return Scored(
        gathered=gathered,
        rows=tuple(gathered.rows[number] for number in kept),
        questions=tuple(said[gathered.rows[number].id] for number in kept),
        answers=tuple(gathered.answers[number] for number in kept),
        of_mixture=values[:, 0],
        alone={who: tuple(members[who][number] for number in kept) for who in compared},
        of_members=values[:, 1 : 1 + len(compared)],
        workers=sum(who in gathered.alone for who in compared),
        itself=tuple(gathered.itself[number] for number in kept) if gathered.itself else (),
        of_itself=values[:, -1] if gathered.itself else np.zeros(0),
        unscored=unscored,
        excluded=tuple(Excluded(row.id, row.place, why[row.id]) for row in gathered.rows if row.id in why),
    )


def _unscored(names: Sequence[str], found: Sequence[ScoredQuestion]) -> dict[str, str]:
    """Who is scored on too few questions to be compared, and why: it would take the others from everybody."""
    scored_on = {who: sum(not math.isnan(one.value(who)) for one in found) for who in names}
    return {
        who: f"its answers are scored on {number} of {count(len(found), 'question')} only"
        for who, number in scored_on.items()
        if number < LEAST_SCORED * len(found)
    }
