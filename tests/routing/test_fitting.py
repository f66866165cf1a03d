"""Calibration and threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.routing import fitting
from tests.fuzz import cases


@pytest.mark.parametrize("scale", [1.0, 4.0, 12.0])
def test_the_scale_that_made_the_labels_is_found(scale: float) -> None:
    """Labels drawn from a softmax of scaled scores lead back to that scale."""
    generator = np.random.default_rng(7)
    scores = generator.normal(size=(20_000, 5)) / 2
    cumulated = fitting.softmax(scores * scale).cumsum(axis=1)
    labels = (generator.random((20_000, 1)) > cumulated).sum(axis=1)

    found = fitting.calibrate(scores, labels)

    assert found == pytest.approx(scale, rel=0.05)


def test_the_scale_stays_finite() -> None:
    """Examples that are told apart perfectly give a large scale, not an infinite one."""
    found = fitting.calibrate(np.eye(3) * 2 - 1, np.arange(3))

    assert 1.0 < found <= fitting.SCALES[1]


@given(seed=st.integers(0, 10_000), size=st.integers(1, 200), fallback=st.sampled_from([None, 0]))
@settings(max_examples=cases(100), deadline=None)
def test_the_threshold_costs_at_most_five_percent(seed: int, size: int, fallback: int | None) -> None:
    """At most 5 % of the examples that were rightly routed away from the fallback lie below the threshold."""
    generator = np.random.default_rng(seed)
    probabilities = fitting.softmax(generator.normal(size=(size, 4)) * 3)
    labels = generator.integers(0, 4, size)

    threshold = fitting.pick_threshold(probabilities, labels, fallback)

    right = (probabilities.argmax(axis=1) == labels) & (labels != -1 if fallback is None else labels != fallback)
    below = probabilities[right].max(axis=1) < threshold
    assert not right.any() or below.mean() <= fitting.FALSE_ALARMS
    assert 0.0 < threshold <= 1.0
