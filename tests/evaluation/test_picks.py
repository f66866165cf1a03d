"""What was picked beside what is right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mollm.evaluation import metrics
from mollm.evaluation.picks import Picks


def picked(truth: list[int], likeliest: list[int], probability: list[float] | None = None, labels: int = 3) -> Picks:
    """Sure of everything."""
    return Picks(
        labels=tuple("abcdefgh"[:labels]),
        truth=np.array(truth, dtype=np.intp),
        likeliest=np.array(likeliest, dtype=np.intp),
        probability=np.array(probability or [1.0] * len(truth)),
        is_sure=np.ones(len(truth), dtype=np.bool_),
    )


def test_precision_recall_and_f1_are_those_of_the_books() -> None:
    """Worked out by hand; a label that is never rightly picked has none of them."""
    found = picked([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0])

    assert found.confusion.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    precision, recall, f1 = metrics.of_each(found.confusion)
    assert precision.tolist() == pytest.approx([2 / 3, 2 / 3, 0])
    assert recall.tolist() == pytest.approx([2 / 3, 1, 0])
    assert f1.tolist() == pytest.approx([2 / 3, 0.8, 0])
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.macro_f1 == pytest.approx((2 / 3 + 0.8) / 3)


def test_labels_that_were_not_asked_for_do_not_count_in_the_mean() -> None:
    """A mixture without held-out questions has no F1 that could lower the others'."""
    assert picked([0, 1], [0, 1]).macro_f1 == pytest.approx(1.0)


def test_probabilities_that_keep_what_they_promise_have_no_calibration_error() -> None:
    """Nine of ten right at 0.9; all wrong at 1.0 is as bad as it gets."""
    ten = [0] * 9 + [1]
    assert picked([0] * 150, ten * 15, [0.9] * 150).calibration_error < 1e-9
    assert picked([0] * 20, [1] * 20).calibration_error == pytest.approx(1.0)
    assert picked([0] * 20, [0] * 20).calibration_error == pytest.approx(0.0)


def test_no_question_has_no_figure() -> None:
    """Not zero, which would be a bad one."""
    none = picked([], [])

    assert all(math.isnan(share) for share in (none.accuracy, none.sure, none.sure_accuracy, none.calibration_error))


def test_an_interval_holds_its_share_and_narrows() -> None:
    """As in Wilson's paper, also at the ends of the scale."""
    assert metrics.interval(0.9, 100) == pytest.approx((0.8256, 0.9448), abs=1e-3)
    assert metrics.interval(1.0, 10)[0] == pytest.approx(0.7225, abs=1e-3)
    low, high = metrics.interval(0.9, 10_000)
    assert 0.89 < low < 0.9 < high < 0.91
