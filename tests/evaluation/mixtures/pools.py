"""Mixtures of scripted members, whose answers are right where a test says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.aggregation.base import best_proposal
from mollm.evaluation.mixtures.comparing.compare import About
from mollm.evaluation.mixtures.records import Gathered, Record
from mollm.evaluation.mixtures.rows import Row
from mollm.final.tally import Tally
from mollm.types import Proposal, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ABOUT = About("2026-11-28", "questions.jsonl", "d1", "mollm.yaml", is_replayed=True)
RIGHT = "1"


class Final:
    """1 for an answer that is the reference, 0 for others, and what a test sets; counts what it is asked."""

    name = "final"

    def __init__(self, values: Mapping[str, float | None] | None = None) -> None:
        self.values = dict(values or {})
        self.is_exact = set(self.values.values()) <= {None, 0.0, 1.0}
        self.asked: list[tuple[str, dict[str, str]]] = []

    def problem(self, row: Row) -> str | None:
        return None if row.reference != "?" else "the reference '?' is no final answer"

    async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
        self.asked.append((row.id, dict(texts)))
        return {who: self.values.get(text, float(text == row.reference)) for who, text in texts.items()}

    def notes(self) -> Sequence[str]:
        return ("scored by a test",)


def rows_of(count: int, kinds: Sequence[str | None] = (None,)) -> tuple[Row, ...]:
    """Questions with the answer 1; their kinds go round."""
    return tuple(
        Row(f"q{n}", f"Question {n}?", RIGHT, kinds[n % len(kinds)], f"questions.jsonl:{n + 1}") for n in range(count)
    )


def column(finals: Sequence[str | None], **fields: Any) -> tuple[Record, ...]:
    """What one member says to each question, with this as its whole text; None: it failed."""
    found = (
        Record(f"q{n}", final or "", final, usage=Usage(10, 20, 30), seconds=1.0, **fields)
        for n, final in enumerate(finals)
    )
    return tuple(replace(r, error="it failed", final=None) if r.final is None else r for r in found)


def voted(alone: Mapping[str, Sequence[Record]], rows: Sequence[Row]) -> tuple[Record, ...]:
    """A mixture that asks all of them, and takes the answer that most give."""
    answers = []
    for number, row in enumerate(rows):
        said = {name: records[number] for name, records in alone.items() if records[number].error is None}
        proposals = tuple(Proposal(name, name, 1, r.text, r.final, cost_usd=r.cost_usd) for name, r in said.items())
        usage = sum((records[number].usage for records in alone.values()), Usage())
        costs = [records[number].cost_usd for records in alone.values()]
        cost = None if None in costs else sum(filter(None, costs))
        if not proposals:
            answers.append(Record(row.id, "", error="nobody answered", calls=len(alone), usage=usage, cost_usd=cost))
            continue
        best = best_proposal(proposals)
        agreement = Tally(p.final for p in proposals).agreement
        answers.append(
            Record(
                row.id, best.text, best.final, None, len(alone), usage, cost, 2.0, None, agreement, None, (), proposals
            )
        )
    return tuple(answers)


def gathered(
    said: Mapping[str, Sequence[str | None]], kinds: Sequence[str | None] = (None,), **fields: Any
) -> Gathered:
    """A mixture `maths` that votes over what its members say."""
    alone = {name: column(finals) for name, finals in said.items()}
    rows = rows_of(len(next(iter(alone.values()))), kinds)
    return Gathered(**{"mixture": "maths", "rows": rows, "answers": voted(alone, rows), "alone": alone, **fields})


def pool(accuracies: Sequence[float], count: int, seed: int, same_wrong: float = 0.3) -> dict[str, list[str]]:
    """Members that are right so often, each by itself; of wrong answers this share is one that others give, too."""
    draw = np.random.default_rng(seed)
    found = {}
    for name, accuracy in zip("abcdefghijklm", accuracies, strict=False):
        right, same = draw.random(count) < accuracy, draw.random(count) < same_wrong
        found[name] = [
            RIGHT if is_right else "2" if is_same else f"wrong of {name}"
            for is_right, is_same in zip(right, same, strict=True)
        ]
    return found


def lopsided(count: int, seed: int) -> dict[str, list[str]]:
    """One strong member among four weak ones, which make the same mistakes and outvote it."""
    return pool((0.9, 0.4, 0.4, 0.4, 0.4), count, seed, same_wrong=0.8)


def equals(count: int, seed: int) -> dict[str, list[str]]:
    """They err on different questions, and a vote of them is better than each."""
    return pool((0.7,) * 5, count, seed)
