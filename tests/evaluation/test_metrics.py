"""Figures, by cases that can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mollm.evaluation import metrics
from tests.fuzz import cases


def test_f1_is_the_mean_of_the_labels_that_occur() -> None:
    """A label that is only ever picked wrongly costs the others precision, and is none of them itself."""
    labels, picks = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])

    assert metrics.confusion(labels, picks, 3).tolist() == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]
    assert metrics.macro_f1(labels, picks, 3) == pytest.approx((2 / 3 + 1.0) / 2)


def test_calibration_error_is_the_distance_in_each_bin_by_its_questions() -> None:
    """Ten at 0.9 of which nine are right are well calibrated; two at 0.6 that are both wrong are 0.6 away."""
    good = np.full(10, 0.9), np.arange(10) > 0
    bad = np.full(2, 0.6), np.zeros(2, dtype=np.bool_)

    assert metrics.calibration_error(*good) == pytest.approx(0.0)
    both = metrics.calibration_error(np.concatenate([good[0], bad[0]]), np.concatenate([good[1], bad[1]]))
    assert both == pytest.approx(2 * 0.6 / 12)


def test_errors_of_opposite_sign_in_two_bins_do_not_cancel() -> None:
    """Too sure here and too modest there is not calibrated."""
    found = metrics.calibration_error(np.array([1.0, 0.0]), np.array([False, True]))

    assert found == pytest.approx(1.0)


def test_auroc_counts_pairs_and_ties_half() -> None:
    """It is what counting all pairs gives."""
    draw = np.random.default_rng(0)
    for _ in range(cases(30)):
        inside, outside = (draw.integers(0, 5, draw.integers(1, 9)).astype(np.float64) for _ in range(2))
        pairs = [1.0 if i > o else 0.5 if i == o else 0.0 for i in inside for o in outside]

        assert metrics.auroc(inside, outside) == pytest.approx(float(np.mean(pairs)))


def test_coverage_keeps_the_most_confident() -> None:
    """Without the quarter that it is least sure of, all is right."""
    confidence, right = np.array([0.4, 0.9, 0.8, 0.7]), np.array([False, True, True, True])

    assert metrics.coverage_curve(confidence, right, [1.0, 0.75]) == [0.75, 1.0]
    assert metrics.coverage_area(confidence, right) == pytest.approx((1 + 1 + 1 + 0.75) / 4)
    assert metrics.coverage_area(-confidence, right) < metrics.coverage_area(confidence, right)


def test_sets_are_compared_by_label_and_as_a_whole() -> None:
    """One label of two found is half right for F1 and wrong as a set."""
    found = metrics.of_sets([("a", "b"), ("a",)], [("a",), ("a",)])

    assert found.micro_f1 == pytest.approx(2 * 2 / 5)
    assert found.macro_f1 == pytest.approx((1.0 + 0.0) / 2)
    assert found.exact == 0.5


def test_nothing_has_no_figure() -> None:
    """Not zero, which would be a bad one."""
    none = np.zeros(0)

    assert math.isnan(metrics.calibration_error(none, none.astype(np.bool_)))
    assert math.isnan(metrics.auroc(none, np.ones(1)))
    assert math.isnan(metrics.macro_f1(none.astype(np.int64), none.astype(np.int64), 2))
    assert math.isnan(metrics.of_sets([], []).exact)
