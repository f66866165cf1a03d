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
OF_FAMILIARITY = 0.9
"""Share of the false alarms that the threshold of the familiarity may cause; the others are that of the probability."""
FEW = 40
"""Held-out questions below which a share of 5 % of them says little."""
SCALES = (0.5, 50.0)
"""Where the calibration is looked for; few examples that are told apart perfectly would drive it to infinity."""


def softmax(scores: Floats) -> Floats:
    """Turn scores into probabilities along the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float64)


def logistic(scores: Floats) -> Floats:
    """Turn scores into how well each suits by itself, 0 to 1, in the order of the scores."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(scores, -30.0, 30.0))), dtype=np.float64)


def surprises(scores: Floats, labels: Ints) -> Floats:
    """How surprising each label is, in nats, shape (n,), if none of n examples can make anything certain.

    As in Platt's targets, one more question of each kind is imagined that is of any mixture: a few examples that are
    told apart perfectly would else make every probability 1.

    Args:
        scores: Logits, shape (n, K).
        labels: 0 to K-1, shape (n,).
    """
    likely = np.log(np.maximum(softmax(scores), 1e-300))
    doubt = 1.0 / (len(labels) + 2.0)
    right = likely[np.arange(len(labels)), labels]
    return np.asarray(-(1.0 - doubt) * right - doubt * likely.mean(axis=1), dtype=np.float64)


def calibrate(scores: Floats, labels: Ints) -> float:
    """Find the scale (an inverse temperature) at which softmax makes the right labels likeliest.

    Args:
        scores: Of examples that were not fitted on, shape (n, K); 1 is returned for none.
        labels: Their labels, 0 to K-1.
    """
    if not len(labels):
        return 1.0

    def surprise(log_scale: float) -> float:
        return float(surprises(scores * np.exp(log_scale), labels).mean())

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


def pick_second(suits: Floats, false_alarms: float = FALSE_ALARMS) -> float:
    """Find what the second best mixture of at most a share `false_alarms` of questions reaches; 1 where there are none.

    Args:
        suits: Of questions that were not fitted on and are for one mixture, how well each of K mixtures suits, 0 to 1,
            shape (n, K), K at least 2.
        false_alarms: 0 to 1.
    """
    if not len(suits):
        return 1.0
    seconds = np.sort(suits, axis=1)[:, -2]
    return float(min(1.0, np.nextafter(np.quantile(seconds, 1.0 - false_alarms, method="higher"), 2.0)))


def pick_thresholds(
    probabilities: Floats, familiarity: Floats, false_alarms: float = FALSE_ALARMS
) -> tuple[float, float]:
    """Find the probability and the familiarity below one of which at most a share `false_alarms` of questions lies.

    Nearly all of the false alarms are spent on familiarity, which tells questions of no kind far better; what is left
    goes to the least likely of the familiar questions. Where there are `FEW`, both are lowered: the least of a dozen
    is far from the least of a hundred.

    Args:
        probabilities: Of the likeliest mixture, of questions as in `pick_threshold`, shape (n,).
        familiarity: Of the same, shape (n,).
        false_alarms: 0 to 1.
    """
    familiar = pick_threshold(familiarity, false_alarms * OF_FAMILIARITY)
    doubted = familiarity < familiar
    left = int(false_alarms * len(doubted)) - int(doubted.sum())
    rest = np.sort(probabilities[~doubted])
    likely = float(rest[left]) if len(rest) > left >= 0 else 0.5
    told = min(1.0, len(familiarity) / FEW)
    return min(likely, 0.5) + told * max(0.0, likely - 0.5), told * familiar
