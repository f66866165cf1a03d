"""From raw scores to probabilities, and from held-out questions to thresholds. Numpy only.

Whatever is fitted (a learned router, an ensemble, a chooser) is scored on examples that it did not see; what is in
here turns those scores into one scale and two thresholds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mollm.routing.features import Floats

Ints: TypeAlias = NDArray[np.integer[Any]]

FALSE_ALARMS = 0.05
"""Share of a router's own questions that an automatic threshold may call into doubt."""
SCALES = (0.5, 50.0)
"""Where the calibration is looked for; few examples that are told apart perfectly would drive it to infinity."""


def softmax(scores: Floats) -> Floats:
    """Turn scores into probabilities along the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float64)


def calibrate(scores: Floats, labels: Ints) -> float:
    """Find the scale (an inverse temperature) at which softmax makes the right labels likeliest.

    Args:
        scores: Of examples that were not fitted on, shape (n, K); 1 is returned for none.
        labels: Their labels, 0 to K-1.
    """
    if not len(labels):
        return 1.0

    def surprise(log_scale: float) -> float:
        right = softmax(scores * np.exp(log_scale))[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(right, 1e-300)).mean())

    low, high = np.log(SCALES)
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    while high - low > 1e-3:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if surprise(left) <= surprise(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2.0))


def pick_threshold(values: Floats, false_alarms: float = FALSE_ALARMS) -> float:
    """Find the value below which at most a share `false_alarms` of `values` lies; 0.5 where there are none.

    Args:
        values: Of questions that were not fitted on and are no false ones, shape (n,): all of them, whether they were
            given to the right mixture or not.
        false_alarms: 0 to 1.
    """
    return float(np.quantile(values, false_alarms, method="lower")) if len(values) else 0.5
