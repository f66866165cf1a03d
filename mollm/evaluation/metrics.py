"""Figures of a classifier that may also say that it does not know. Numpy only; every figure is a share, 0 to 1.

Labels are numbers, 0 to K-1, in arrays of shape (n,). What nothing was asked of has no figure: it is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]
Bools: TypeAlias = NDArray[np.bool_]

BINS = 15
"""Of the calibration error, all of the same width; as many as Guo et al. have."""
CONFIDENCE_95 = 1.96
"""Standard deviations to either side of the mean of a normal distribution that hold 95 % of it."""


def mean(values: Floats | Bools) -> float:
    """Of shape (n,); NaN where n is 0."""
    return float(values.mean()) if len(values) else float("nan")


def confusion(labels: Ints, picks: Ints, classes: int) -> Ints:
    """How often each label (row) was taken for each other (column), shape (K, K).

    Args:
        labels: The right ones.
        picks: Those picked.
        classes: K.
    """
    flat = np.bincount(labels * classes + picks, minlength=classes * classes)
    return flat.reshape(classes, classes)


def of_each(matrix: Ints) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each label from a confusion matrix, shape (K,) each.

    0 where a label is never right: also for one that is never picked, or that no question has.
    """
    right, picked, there = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    shares = (right / np.maximum(count, 1) for count in (picked, there, (picked + there) / 2.0))
    precision, recall, f1 = shares
    return precision, recall, f1


def macro_f1(labels: Ints, picks: Ints, classes: int) -> float:
    """Mean F1 of the labels that occur in `labels`."""
    if not len(labels):
        return float("nan")
    return float(of_each(confusion(labels, picks, classes))[2][np.unique(labels)].mean())


def calibration_error(probabilities: Floats, right: Bools, bins: int = BINS) -> float:
    """How far probability and accuracy are apart: the expected calibration error, 0 to 1.

    The questions are sorted into bins by probability, all of the same width; of each bin the distance between the mean
    probability and the accuracy counts, by its share of the questions. As in Naeini, Cooper and Hauskrecht, "Obtaining
    well calibrated probabilities using Bayesian binning" (AAAI 2015), with the 15 bins of Guo, Pleiss, Sun and
    Weinberger, "On calibration of modern neural networks" (ICML 2017).

    Args:
        probabilities: Of the picks, 0 to 1, shape (n,).
        right: Whether each pick is right, shape (n,).
        bins: Into which 0 to 1 is divided, all of the same width.
    """
    if not len(right):
        return float("nan")
    where = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(where, weights=probabilities - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def auroc(inside: Floats, outside: Floats) -> float:
    """How often a value of `inside` is larger than one of `outside`, over all pairs; equal ones count half.

    Args:
        inside: Values of questions that belong somewhere, shape (n,).
        outside: Of those that do not, shape (m,).
    """
    if not len(inside) or not len(outside):
        return float("nan")
    ordered = np.sort(outside)
    below = np.searchsorted(ordered, inside, side="left")
    not_above = np.searchsorted(ordered, inside, side="right")
    return float((below + not_above).sum() / (2.0 * len(inside) * len(outside)))


def coverage_curve(confidence: Floats, right: Bools, shares: Sequence[float]) -> list[float]:
    """Accuracy on the most confident part of the questions, for each share of them that is answered.

    Args:
        confidence: Orders the questions, shape (n,); of equal ones the earlier comes first.
        right: Whether each pick is right, shape (n,).
        shares: More than 0, at most 1.
    """
    if not len(right):
        return [float("nan")] * len(shares)
    in_order = right[np.argsort(-confidence, kind="stable")]
    return [float(in_order[: max(1, round(share * len(right)))].mean()) for share in shares]


def coverage_area(confidence: Floats, right: Bools) -> float:
    """Mean accuracy over all coverages, 1/n to 1: the area under the coverage curve; 1 is the best."""
    if not len(right):
        return float("nan")
    in_order = right[np.argsort(-confidence, kind="stable")]
    return float((np.cumsum(in_order) / np.arange(1, len(right) + 1)).mean())


def interval(share: float, questions: int) -> tuple[float, float]:
    """The bounds, 0 to 1, between which a share of so many questions lies with 95 % (Wilson, 1927)."""
    z = CONFIDENCE_95
    middle = (share + z * z / (2 * questions)) / (1 + z * z / questions)
    half = z / (1 + z * z / questions) * np.sqrt(share * (1 - share) / questions + z * z / (4 * questions**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


@dataclass(frozen=True, slots=True)
class SetScores:
    """How well sets of labels are found."""

    micro_f1: float
    """Over all labels of all questions together."""
    macro_f1: float
    """Mean over the labels that are wanted anywhere."""
    exact: float
    """Share of questions whose set is found exactly."""


def of_sets(wanted: Sequence[Collection[str]], found: Sequence[Collection[str]]) -> SetScores:
    """Compare the labels of questions that have several with those that were found.

    Args:
        wanted: The right labels of each question.
        found: Those found, of as many questions.

    Raises:
        ValueError: They are not as many.
    """
    pairs = [(set(right), set(got)) for right, got in zip(wanted, found, strict=True)]
    if not pairs:
        return SetScores(*[float("nan")] * 3)
    labels = sorted(set().union(*(right for right, _ in pairs)))
    both = sum(len(right & got) for right, got in pairs)
    size = sum(len(right) + len(got) for right, got in pairs)
    each = []
    for label in labels:
        hits = sum(label in right and label in got for right, got in pairs)
        each.append(2.0 * hits / sum((label in right) + (label in got) for right, got in pairs))
    return SetScores(
        micro_f1=2.0 * both / size if size else 1.0,
        macro_f1=float(np.mean(each)) if each else 1.0,
        exact=float(np.mean([right == got for right, got in pairs])),
    )
