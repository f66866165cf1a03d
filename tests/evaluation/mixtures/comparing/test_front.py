"""The front of score against cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.mixtures.comparing.arms import Answers, arms_of
from mollm.evaluation.mixtures.comparing.taking import Taken
from mollm.evaluation.mixtures.records import Record
from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence


def way(name: str, scores: Sequence[float], cost: float | None, calls: int = 1, *, fails: bool = False) -> Answers:
    """A member with these scores, each answer at this cost."""
    records = [Record(f"q{n}", "", cost_usd=cost, calls=calls, usage=Usage(1, 1, 2)) for n in range(len(scores))]
    failed = np.full(len(scores), float(fails))
    return Answers("member", name, np.array(scores, dtype=float), Taken.of(records), failed)


def front(*ways: Answers) -> list[str]:
    """Who is on it."""
    return [arm.name for arm in arms_of(ways) if arm.is_on_front]


def test_what_failed_on_every_question_is_on_no_front() -> None:
    """It costs nothing and scores nothing, so nothing beats it; it is worth nothing all the same."""
    assert front(way("down", [0, 0], 0.0, fails=True), way("up", [1, 0], 0.1)) == ["up"]
    assert front(way("down", [0, 0], 0.0, fails=True)) == []


def test_of_what_is_free_calls_are_compared() -> None:
    """As the page draws it; else the one with the highest score would stand alone on the front."""
    assert front(way("once", [1, 0], 0.0), way("thrice", [1, 1], 0.0, 3)) == ["once", "thrice"]
    assert front(way("cheap", [1, 0], 0.1, 3), way("dear", [1, 1], 0.2, 1)) == ["cheap", "dear"]
