"""What came of the arms that share the traffic: what people say of their answers, and what these took."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance
from typing import TYPE_CHECKING, Literal, TypeAlias

from mollm.config.arms import CURRENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mollm.feedback.base import Entry

ERROR = 0.05
"""Probability that an interval misses what it is about, for all differences of a test together."""
LEAST_FOR_T = 20
"""Ratings, from which on their mean is distributed as Student says, however lopsided they are."""

Verdict: TypeAlias = Literal["better", "worse", "cannot be told"]


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a value lies with a probability of 95 %."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one arm."""

    arm: str
    answers: int
    rated: int
    """How many of the answers are rated."""
    score: float | None
    """Mean of the ratings, -1 to 1; None without any."""
    interval: Interval | None
    """Of the mean."""
    calls: float
    """Per answer; so are the next two."""
    seconds: float
    cost_usd: float | None
    """Of the answers whose LLMs have prices; None if none have."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An arm compared with `current`."""

    arm: str
    score: float
    """Mean rating of the arm less that of `current`."""
    interval: Interval
    verdict: Verdict
    """Whether the arm is better or worse; `cannot be told` where the interval holds 0."""


@dataclass(frozen=True, slots=True)
class ArmsTest:
    """What came of all arms of one test."""

    name: str
    """`router`, or the mixture whose questions are shared."""
    outcomes: tuple[Outcome, ...]
    """`current` first."""
    differences: tuple[Difference, ...]
    """Of arms that are rated, where `current` is too."""


def arms_tests(entries: Iterable[Entry]) -> list[ArmsTest]:
    """Find the tests that answers took part in, and what came of each; `entries` is read once."""
    found: dict[str, dict[str, _Sums]] = {}
    for entry in entries:
        for test, arm in entry.arms.items():
            found.setdefault(test, {}).setdefault(arm, _Sums()).add(entry)
    return [_test(name, arms) for name, arms in sorted(found.items())]


def interval_of(scores: Sequence[float], error: float = ERROR) -> Interval:
    """Return the interval of the mean of scores from -1 to 1, of which there is at least one.

    Of scores that are all 1 or -1, or few, or all the same it is Wilson's, as of a share: it is not of width 0 where
    nobody has said the contrary yet, and no scores within these bounds vary more than those at them. Else Student's.
    """
    n, mean = len(scores), fmean(scores)
    z = NormalDist().inv_cdf(1 - error / 2)
    if n >= LEAST_FOR_T and any(abs(score) != 1 for score in scores) and (spread := variance(scores)) > 0:
        half = _student(z, n - 1) * math.sqrt(spread / n)
        return Interval(max(-1.0, mean - half), min(1.0, mean + half))
    share = (mean + 1) / 2
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(0.0, share * (1 - share)) / n + z * z / (4 * n * n))
    return Interval(max(-1.0, 2 * (center - half) - 1), min(1.0, 2 * (center + half) - 1))


def difference(scores: Sequence[float], current: Sequence[float], error: float = ERROR) -> tuple[float, Interval]:
    """Return the mean of `scores` less that of `current`, and its interval, of both intervals as Newcombe does."""
    one, other = fmean(scores), fmean(current)
    a, b = interval_of(scores, error), interval_of(current, error)
    below = math.hypot(one - a.low, b.high - other)
    above = math.hypot(a.high - one, other - b.low)
    return one - other, Interval(one - other - below, one - other + above)


def _student(z: float, freedom: int) -> float:
    """The quantile of Student's distribution from that of the normal one, by the series of Cornish and Fisher."""
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


class _Sums:
    """What is known of one arm."""

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.costs: list[float] = []
        self.answers = self.calls = 0
        self.seconds = 0.0

    def add(self, entry: Entry) -> None:
        self.answers += 1
        self.calls += entry.calls
        self.seconds += entry.seconds or 0.0
        if entry.cost_usd is not None:
            self.costs.append(entry.cost_usd)
        if entry.rating is not None:
            self.scores.append(entry.rating.score)

    def outcome(self, arm: str) -> Outcome:
        return Outcome(
            arm=arm,
            answers=self.answers,
            rated=len(self.scores),
            score=fmean(self.scores) if self.scores else None,
            interval=interval_of(self.scores) if self.scores else None,
            calls=self.calls / self.answers,
            seconds=self.seconds / self.answers,
            cost_usd=fmean(self.costs) if self.costs else None,
        )


def _test(name: str, arms: dict[str, _Sums]) -> ArmsTest:
    ordered = sorted(arms, key=lambda arm: (arm != CURRENT, arm))
    current = arms[CURRENT].scores if CURRENT in arms else []
    others = [arm for arm in ordered if arm != CURRENT and arms[arm].scores and current]
    # Of many arms one would look better by chance: each difference has its part of the error.
    compared = [(arm, *difference(arms[arm].scores, current, ERROR / len(others))) for arm in others]
    return ArmsTest(
        name,
        tuple(arms[arm].outcome(arm) for arm in ordered),
        tuple(Difference(arm, score, interval, _verdict(interval)) for arm, score, interval in compared),
    )


def _verdict(interval: Interval) -> Verdict:
    if interval.low > 0:
        return "better"
    return "worse" if interval.high < 0 else "cannot be told"
