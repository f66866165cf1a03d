"""Which workers are picked, by quality, price and how unlike each other they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.mixing.picking import _Best, pick
from tests.fuzz import cases

ALIKE = np.array([[1.0, 0.95, 0.0], [0.95, 1.0, 0.0], [0.0, 0.0, 1.0]])
"""The first two are wrong together, the third when they are not."""
FREE = [0.0, 0.0, 0.0]


def test_the_best_comes_first_and_then_who_is_unlike_it() -> None:
    """The second best adds less than the third, since it fails where the best does."""
    assert pick([0.9, 0.85, 0.8], ALIKE, FREE, 2, 1.0) == [0, 2]
    assert pick([0.9, 0.85, 0.8], np.eye(3), FREE, 2, 1.0) == [0, 1]


def test_price_alone_picks_the_cheapest_and_nobody_beside_it() -> None:
    """And quality alone does not look at prices."""
    assert pick([0.1, 0.2, 0.9], ALIKE, [0.5, 0.1, 1.0], 3, 0.0) == [1]
    assert pick([0.1, 0.2, 0.9], ALIKE, [0.5, 0.1, 1.0], 1, 1.0) == [2]


def test_nobody_is_picked_beside_who_costs_more_than_is_gained() -> None:
    """`most` is a bound, not a wish."""
    assert pick([0.9, 0.1, 0.1], 0.01 * np.eye(3), [0.1, 1.0, 1.0], 3, 0.5) == [0]


@settings(max_examples=cases(30))
@given(
    st.lists(st.floats(-1, 2), min_size=1, max_size=8),
    st.integers(1, 9),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_a_pick_is_some_of_the_workers(quality: list[float], most: int, weight: float, seed: int) -> None:
    """Each once, at least one, at most as many as may be, the one that is worth most first."""
    generator = np.random.default_rng(seed)
    count = len(quality)
    errors = generator.normal(size=(count, count + 2))
    prices = list(generator.uniform(0, 1, count))

    picked = pick(quality, errors @ errors.T / 10, prices, most, weight)

    assert 1 <= len(picked) == len(set(picked)) <= most
    worth = [weight * q - (1 - weight) * p for q, p in zip(quality, prices, strict=True)]
    assert worth[picked[0]] == max(worth)


def test_the_larger_of_two_is_as_in_a_simulation() -> None:
    """Mean and variance of the maximum, and what it shares with a third."""
    means, covariance = np.array([0.2, 0.0, 0.5]), np.array([[1.0, 0.3, 0.2], [0.3, 0.5, 0.1], [0.2, 0.1, 2.0]])
    drawn = np.random.default_rng(0).multivariate_normal(means, covariance, 200_000)
    larger = drawn[:, :2].max(axis=1)

    best = _Best(0.2, 1.0, covariance[0]).beside(0.0, covariance[1], 1)

    assert best.mean == pytest.approx(larger.mean(), abs=0.01)
    assert best.variance == pytest.approx(larger.var(), abs=0.02)
    assert best.covariance[2] == pytest.approx(np.cov(larger, drawn[:, 2])[0, 1], abs=0.02)
