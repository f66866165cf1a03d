"""Arms compared: sums are right, intervals hold what they promise, and what cannot be told is not told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mollm.evaluation.arms import arms_tests, difference, interval_of
from mollm.feedback.base import Entry, Rating

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def entry(arm: str | None, score: float | None = None, calls: int = 1, cost: float | None = None) -> Entry:
    """An answer as it is kept."""
    rating = None if score is None else Rating(score)
    return Entry("id", 0.0, "", "Q", "m", {"arm": arm}, None, "A", calls, 9, cost, 2.0, rating)


def test_each_test_has_its_arms_with_what_they_took() -> None:
    """`current` first; answers without a rating count toward what was spent, those without a price do not."""
    router = [entry("m: b; router: r2", 1.0, 3, 0.5), entry("router: current", -1.0), entry("router: r2", None, 1, 0.1)]
    mixture, other = arms_tests([*router, entry(None, 1.0)])

    assert (mixture.name, [found.arm for found in mixture.outcomes], mixture.differences) == ("m", ["b"], ())
    assert other.name == "router"
    current, second = other.outcomes
    assert (current.arm, current.answers, current.rated, current.score, current.cost_usd) == ("current", 1, 1, -1, None)
    assert (second.arm, second.answers, second.rated, second.calls, second.seconds) == ("r2", 2, 1, 2.0, 2.0)
    assert second.cost_usd == pytest.approx(0.3)
    assert [(found.arm, found.score, found.verdict) for found in other.differences] == [("r2", 2, "cannot be told")]


def test_a_difference_is_told_once_there_are_enough_ratings() -> None:
    """Eight of ten against five of ten is none yet, eighty of a hundred against fifty is."""
    for times, verdict in ((1, "cannot be told"), (10, "better")):
        good = [entry("m: b", score) for score in ([1.0] * 8 + [-1.0] * 2) * times]
        bad = [entry("m: current", score) for score in ([1.0] * 5 + [-1.0] * 5) * times]
        ((found,),) = [test.differences for test in arms_tests(good + bad)]
        assert found.verdict == verdict
        assert found.score == pytest.approx(0.6)
        swapped = [entry("m: b", score) for score in ([1.0] * 5 + [-1.0] * 5) * times]
        swapped += [entry("m: current", score) for score in ([1.0] * 8 + [-1.0] * 2) * times]
        ((found,),) = [test.differences for test in arms_tests(swapped)]
        assert found.verdict == verdict.replace("better", "worse")


def test_many_arms_have_to_be_better_by_more() -> None:
    """One of ten would look better by chance."""
    current = [entry("m: current", score) for score in [1.0] * 50 + [-1.0] * 50]
    one = [entry("m: b", score) for score in [1.0] * 64 + [-1.0] * 36]
    others = [entry(f"m: c{number}", 1.0) for number in range(9)]

    verdicts = [
        next(d for d in arms_tests(found)[0].differences if d.arm == "b").verdict
        for found in (
            [*current, *one],
            [*current, *one, *others],
        )
    ]
    assert verdicts == ["better", "cannot be told"]


def test_few_ratings_that_are_all_the_same_are_not_certain() -> None:
    """Three who liked it do not mean that everybody will."""
    assert interval_of([1.0] * 3).low < 0
    assert interval_of([1.0] * 3).high == 1.0
    assert interval_of([0.5] * 30).low < 0.5 < interval_of([0.5] * 30).high
    _, told = difference([1.0], [-1.0])
    assert told.low < 0.5


def two(share: float) -> Callable[[np.random.Generator, int], NDArray[np.float64]]:
    """Thumbs up with this probability."""
    return lambda random, n: np.where(random.random(n) < share, 1.0, -1.0)


def graded(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Five steps, mostly good; their mean is 0.575."""
    return random.choice([-1.0, -0.5, 0.0, 0.5, 1.0], n, p=[0.05, 0.05, 0.1, 0.3, 0.5])


@pytest.mark.parametrize(
    ("draw", "mean", "n"),
    [(two(0.5), 0.0, 10), (two(0.8), 0.6, 20), (two(0.95), 0.9, 100), (graded, 0.575, 10), (graded, 0.575, 50)],
)
def test_intervals_hold_the_mean_as_often_as_they_promise(
    draw: Callable[[np.random.Generator, int], NDArray[np.float64]], mean: float, n: int
) -> None:
    """Nineteen times of twenty, give or take what chance and lopsided ratings do."""
    random = np.random.default_rng(0)
    found = [interval_of(draw(random, n).tolist()) for _ in range(400)]

    assert sum(interval.low <= mean <= interval.high for interval in found) / len(found) >= 0.92
