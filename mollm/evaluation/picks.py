"""What was picked, beside what is right: the figures that every report of a router has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mollm.evaluation.metrics import Ints


@dataclass(frozen=True, slots=True)
class Picks:
    """What a router picks for n questions whose mixture, one of K, is known. Shares are 0 to 1, NaN for no question."""

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
        """Where the likeliest is the right one, shape (n,)."""
        return np.equal(self.truth, self.likeliest)

    @property
    def accuracy(self) -> float:
        """Share of the questions whose likeliest mixture is right."""
        return metrics.mean(self.right)

    @property
    def sure(self) -> float:
        """Share of the questions that the thresholds let through."""
        return metrics.mean(self.is_sure)

    @property
    def sure_accuracy(self) -> float:
        """Accuracy on these."""
        return metrics.mean(self.right[self.is_sure])

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the mixtures that occur among the questions."""
        return metrics.macro_f1(self.truth, self.likeliest, len(self.labels))

    @property
    def confusion(self) -> Ints:
        """How often a mixture (row) was taken for another (column), shape (K, K)."""
        return metrics.confusion(self.truth, self.likeliest, len(self.labels))

    @property
    def calibration_error(self) -> float:
        """As `metrics.calibration_error`."""
        return metrics.calibration_error(self.probability, self.right)
