"""Pools of LLMs whose answers are made up, as a table."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.mixtures.records import Record
from mollm.evaluation.mixtures.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence


def table_of(answers: dict[str, list[str | None]], right: list[str], failed: str = "-") -> Table:
    """A table of final answers, by member; `failed` is a call that failed."""
    alone: dict[str, Sequence[Record]] = {
        name: tuple(
            Record(str(n), final or "", None if final == failed else final, "it hangs" if final == failed else None)
            for n, final in enumerate(finals)
        )
        for name, finals in answers.items()
    }
    scores = np.array([[float(finals[n] == right[n]) for finals in answers.values()] for n in range(len(right))])
    return Table.of(alone, scores)


def pool(accuracies: dict[str, float], count: int, seed: int = 0) -> Table:
    """Members that are right with these probabilities, independently, and whose errors are all over the place."""
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    right = [str(n) for n in range(count)]
    answers: dict[str, list[str | None]] = {
        name: [answer if draw.random() < share else f"{answer}.{draw.randrange(1, 50)}" for answer in right]
        for name, share in accuracies.items()
    }
    return table_of(answers, right)
