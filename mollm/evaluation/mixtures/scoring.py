"""How good every answer to the questions is, and which questions count."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mollm.aggregation.base import best_proposal
from mollm.evaluation.mixtures.report import Excluded
from mollm.evaluation.mixtures.sentences import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.records import Gathered, Record
    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.mixtures.scores.base import Score
    from mollm.types import Proposal

AT_ONCE = 16
"""Questions whose answers are scored at the same time."""
LEAST_SCORED = 0.5
"""Share of the questions on which the answers of a member have to be scored for it to be compared."""

Scores: TypeAlias = "dict[str, dict[str, float]]"
"""Of each question, by id, the score of each text; NaN for one of which nothing can be said."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One mixture on the n questions that count, and its m members, with what everything scores."""

    gathered: Gathered
    rows: tuple[Row, ...]
    answers: tuple[Record, ...]
    of_mixture: Floats
    """Shape (n,), as the next but one."""
    alone: Mapping[str, tuple[Record, ...]]
    """The members that can be compared."""
    of_members: Floats
    """Shape (n, m)."""
    itself: tuple[Record, ...]
    """Of the self-mixture; empty without one."""
    of_itself: Floats
    of_texts: tuple[Mapping[str, float], ...]
    """For each question the scores of all texts, whoever wrote them; NaN for those of which nothing can be said."""
    unscored: Mapping[str, str]
    """Members that cannot be compared, and why."""
    excluded: tuple[Excluded, ...]


async def scores_of(gathered: Sequence[Gathered], score: Score) -> tuple[Scores, dict[str, str]]:
    """Score all texts, those of one question together and each only once, whoever wrote it.

    Returns:
        The scores, and why nothing can be held against the references of some questions, by id.
    """
    rows, texts = _texts(gathered)
    problems = {name: problem for name, row in rows.items() if (problem := score.problem(row))}
    places = asyncio.Semaphore(AT_ONCE)

    async def of(name: str) -> dict[str, float]:
        async with places:
            return await scored_texts(score, rows[name], texts[name])

    asked = [name for name in rows if name not in problems and texts[name]]
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(of(name)) for name in asked}
    return {name: task.result() for name, task in tasks.items()}, problems


async def scored_texts(score: Score, row: Row, texts: Mapping[str, str]) -> dict[str, float]:
    """Score texts to one question, given with who wrote them; NaN for those of which nothing can be said."""
    found = await score.score(row, {who: text for text, who in texts.items()})
    values = {text: found.get(who) for text, who in texts.items()}
    return {text: math.nan if value is None else float(value) for text, value in values.items()}


def best_of(record: Record) -> Proposal | None:
    """The proposal that would be the answer without an aggregator; None if none arrived."""
    arrived = [proposal for proposal in record.proposals if proposal.error is None]
    last = max((proposal.layer for proposal in arrived), default=0)
    return best_proposal([proposal for proposal in arrived if proposal.layer == last]) if arrived else None


def scored(gathered: Gathered, found: Scores, problems: Mapping[str, str]) -> Scored:
    """Keep the questions that count: asked of all, with a reference, and with a score for every answer."""
    why = {**gathered.unasked, **{row.id: problems[row.id] for row in gathered.rows if row.id in problems}}
    asked = [number for number, row in enumerate(gathered.rows) if row.id not in why]

    def column(records: Sequence[Record]) -> Floats:
        return np.array([value_of(records[number], found) for number in asked], dtype=float)

    members = {name: column(records) for name, records in gathered.alone.items()}
    shares = {name: float(np.isnan(values).mean()) if asked else 0.0 for name, values in members.items()}
    compared = [name for name, share in shares.items() if share <= LEAST_SCORED]
    unscored = {
        name: f"its answers are scored on {round((1 - share) * len(asked))} of {count(len(asked), 'question')} only"
        for name, share in shares.items()
        if name not in compared
    }
    columns = {gathered.mixture: column(gathered.answers), **{name: members[name] for name in compared}}
    if gathered.itself:
        columns["the self-mixture"] = column(gathered.itself)
    values = np.stack(list(columns.values()), axis=1) if asked else np.zeros((0, len(columns)))
    for number, row in zip(asked, values, strict=True):
        if lacking := [who for who, value in zip(columns, row, strict=True) if math.isnan(value)]:
            why[gathered.rows[number].id] = f"the answer of {', '.join(lacking)} could not be scored"
    kept = [number for number in asked if gathered.rows[number].id not in why]
    values = values[~np.isnan(values).any(axis=1)]
    rows = tuple(gathered.rows[number] for number in kept)
    return Scored(
        gathered=gathered,
        rows=rows,
        answers=tuple(gathered.answers[number] for number in kept),
        of_mixture=values[:, 0],
        alone={name: tuple(gathered.alone[name][number] for number in kept) for name in compared},
        of_members=values[:, 1 : 1 + len(compared)],
        itself=tuple(gathered.itself[number] for number in kept) if gathered.itself else (),
        of_itself=values[:, -1] if gathered.itself else np.zeros(0),
        of_texts=tuple(found.get(row.id, {}) for row in rows),
        unscored=unscored,
        excluded=tuple(Excluded(row.id, row.place, why[row.id]) for row in gathered.rows if row.id in why),
    )


def value_of(record: Record, found: Scores) -> float:
    """The score of an answer, 0 for a failure; NaN where nothing can be said of it."""
    return 0.0 if record.error is not None else found.get(record.id, {}).get(record.text, math.nan)


def _texts(gathered: Sequence[Gathered]) -> tuple[dict[str, Row], dict[str, dict[str, str]]]:
    """The questions, and for each the texts with who wrote each first, all by id."""
    rows: dict[str, Row] = {}
    texts: dict[str, dict[str, str]] = {}
    names: dict[str, Counter[str]] = {}
    for mixture in gathered:
        for number, row in enumerate(mixture.rows):
            rows.setdefault(row.id, row)
            known = texts.setdefault(row.id, {})
            taken = names.setdefault(row.id, Counter())
            if row.id in mixture.unasked:
                continue
            for who, text in _said(mixture, number):
                if text not in known:
                    # Workers of two mixtures may have one name, and say different things.
                    taken[who] += 1
                    known[text] = who if taken[who] == 1 else f"{who} ({taken[who]})"
    return rows, texts


def _said(gathered: Gathered, number: int) -> Iterator[tuple[str, str]]:
    """Who says what to one question, the mixture first; what several say is scored as said by the first of them."""
    record = gathered.answers[number]
    records = {gathered.mixture: record, **{who: records[number] for who, records in gathered.alone.items()}}
    if gathered.itself:
        records[f"{gathered.mixture} itself"] = gathered.itself[number]
    yield from ((who, one.text) for who, one in records.items() if one.error is None)
    if record.error is None and (best := best_of(record)):
        yield f"{best.worker} in {gathered.mixture}", best.text
