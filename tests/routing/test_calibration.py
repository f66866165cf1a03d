"""Calibration and threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.routing import calibration
from tests.fuzz import cases


@pytest.mark.parametrize("scale", [1.0, 4.0, 12.0])
def test_the_scale_that_made_the_labels_is_found(scale: float) -> None:
    """Labels drawn from a softmax of scaled scores lead back to that scale."""
    generator = np.random.default_rng(7)
    scores = generator.normal(size=(20_000, 5)) / 2
    cumulated = calibration.softmax(scores * scale).cumsum(axis=1)
    labels = (generator.random((20_000, 1)) > cumulated).sum(axis=1)

    found = calibration.calibrate(scores, labels)

    assert found == pytest.approx(scale, rel=0.05)


def test_the_scale_stays_finite() -> None:
    """Examples that are told apart perfectly give a large scale, not an infinite one."""
    found = calibration.calibrate(np.eye(3) * 2 - 1, np.arange(3))

    assert 1.0 < found <= calibration.SCALES[1]


@given(seed=st.integers(0, 10_000), size=st.integers(1, 200), share=st.sampled_from([0.0, 0.05, 0.2]))
@settings(max_examples=cases(100))
def test_the_threshold_costs_what_was_allowed(seed: int, size: int, share: float) -> None:
    """At most the stated share of all values lies below the threshold, and it is one of them."""
    values = np.random.default_rng(seed).random(size)

    threshold = calibration.pick_threshold(values, share)

    assert (values < threshold).mean() <= share
    assert threshold in values


def test_without_examples_the_threshold_is_a_half() -> None:
    """Nothing was held out, so nothing is known."""
    assert calibration.pick_threshold(np.zeros(0)) == 0.5


@given(seed=st.integers(0, 10_000), size=st.integers(1, 200), share=st.sampled_from([0.0, 0.05, 0.2]))
@settings(max_examples=cases(100))
def test_both_thresholds_together_cost_what_was_allowed(seed: int, size: int, share: float) -> None:
    """At most the stated share of all questions lies below one or the other."""
    probabilities, familiarity = np.random.default_rng(seed).random((2, size))

    likely, familiar = calibration.pick_thresholds(probabilities, familiarity, share)

    assert ((probabilities < likely) | (familiarity < familiar)).mean() <= share


def test_what_both_thresholds_may_cost_is_used() -> None:
    """Of a thousand questions with 5 % for false alarms, 45 are unfamiliar and five more too unlikely."""
    values = np.random.default_rng(2).random((2, 1000))

    likely, familiar = calibration.pick_thresholds(values[0], values[1], 0.05)

    assert (values[1] < familiar).sum() in (44, 45)
    assert ((values[0] < likely) | (values[1] < familiar)).sum() == 50
    assert calibration.pick_thresholds(np.zeros(0), np.zeros(0)) == (0.5, 0.0)
