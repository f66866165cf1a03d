"""How a trained router does on questions that it did not see: counts and shares, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mollm.evaluation.metrics import Ints
    from mollm.routing.learned import LearnedScorer
    from mollm.training.data import Labelled


@dataclass(frozen=True, slots=True)
class Said:
    """What a router says of n questions whose label, one of K, is known."""

    labels: tuple[str, ...]
    """K names; what follows counts by their order."""
    truth: NDArray[np.intp]
    """Shape (n,)."""
    likeliest: NDArray[np.intp]
    """Shape (n,); thresholds play no part."""
    probability: NDArray[np.float64]
    """Of the likeliest, 0 to 1, shape (n,)."""
    is_sure: NDArray[np.bool_]
    """Whether the thresholds let it through, shape (n,)."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where the likeliest is the right one."""
        return np.equal(self.truth, self.likeliest)

    @property
    def accuracy(self) -> float:
        """0 to 1."""
        return float(self.right.mean())

    @property
    def macro_f1(self) -> float:
        """Mean F1, 0 to 1, of the labels that occur among the questions."""
        return metrics.macro_f1(self.truth, self.likeliest, len(self.labels))

    @property
    def confusion(self) -> Ints:
        """How often a label (row) was taken for another (column), shape (K, K)."""
        return metrics.confusion(self.truth, self.likeliest, len(self.labels))

    @property
    def calibration_error(self) -> float:
        """Mean distance, 0 to 1, of probability and accuracy."""
        return metrics.calibration_error(self.probability, self.right)


def said(scorer: LearnedScorer, data: Labelled) -> Said:
    """Ask a router about questions; labels that it does not know are names of their own, and never right."""
    labels = tuple(sorted({*scorer.mixtures, *data.labels}))
    number = {label: index for index, label in enumerate(labels)}
    decision = scorer.decision()
    scores = scorer.scores_of(data.texts)
    picks = [max(scorer.mixtures, key=lambda name: one.probabilities.get(name, 0.0)) for one in scores]
    return Said(
        labels=labels,
        truth=np.array([number[label] for label in data.labels], dtype=np.intp),
        likeliest=np.array([number[pick] for pick in picks], dtype=np.intp),
        probability=np.array([one.probabilities.get(pick, 0.0) for one, pick in zip(scores, picks, strict=True)]),
        is_sure=np.array([decision.decide(one, scorer.kind).is_sure for one in scores], dtype=np.bool_),
    )


def scored(confusion: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision, recall and F1 of each label, 0 to 1, shape (K,); 0 where a label never occurs or is never said."""
    right = np.diag(confusion).astype(np.float64)
    precision = right / np.maximum(confusion.sum(axis=0), 1)
    recall = right / np.maximum(confusion.sum(axis=1), 1)
    return precision, recall, 2 * precision * recall / np.maximum(precision + recall, 1e-300)


def between(share: float, questions: int) -> tuple[float, float]:
    """The bounds, 0 to 1, between which a share of so many questions lies with 95 % (Wilson's interval)."""
    z = 1.96
    middle = (share + z * z / (2 * questions)) / (1 + z * z / questions)
    half = z / (1 + z * z / questions) * np.sqrt(share * (1 - share) / questions + z * z / (4 * questions**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))
