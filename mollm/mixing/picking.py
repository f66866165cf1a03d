"""Qualities and prices as a set of workers: the best, and beside it those that do well where it does not.

A worker is worth what it adds to the best of the set: the expected maximum of normal variables, each with the quality
that is predicted for the question and with the errors of such predictions, which the recorded scores of any two LLMs
share to some extent. So one that fails where the others fail adds little, however good it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.routing.features import Floats

TIE = 1e-9
"""What a further worker has to add at least."""


def pick(
    quality: Sequence[float], covariance: Floats, prices: Sequence[float], most: int, quality_weight: float
) -> list[int]:
    """Pick workers one after the other, each the one that adds most.

    Args:
        quality: Predicted for each of N workers, in any unit.
        covariance: Of what predictions are off by, in the square of that unit, shape (N, N).
        prices: Of each, 0 to 1.
        most: Workers at most, at least 1.
        quality_weight: 0 to 1: what a unit of quality counts; a unit of price counts the rest.

    Returns:
        1 to `most` different indices, the best first. No further one is picked that costs as much as it adds.
    """
    worth = [quality_weight * q - (1.0 - quality_weight) * p for q, p in zip(quality, prices, strict=True)]
    chosen = [max(range(len(worth)), key=worth.__getitem__)]
    best = _Best(quality[chosen[0]], covariance[chosen[0], chosen[0]], covariance[chosen[0]])
    while len(chosen) < min(most, len(worth)):
        with_each = {
            index: best.beside(quality[index], covariance[index], index)
            for index in range(len(worth))
            if index not in chosen
        }
        added = {
            index: quality_weight * (joined.mean - best.mean) - (1.0 - quality_weight) * prices[index]
            for index, joined in with_each.items()
        }
        index = max(added, key=added.__getitem__)
        if added[index] <= TIE:
            break
        chosen.append(index)
        best = with_each[index]
    return chosen


class _Best:
    """The largest of several normal variables, taken to be normal itself (Clark 1961)."""

    __slots__ = ("covariance", "mean", "variance")

    def __init__(self, mean: float, variance: float, covariance: Floats) -> None:
        """Begin with one: its mean, its variance, and its covariance with every worker, shape (N,)."""
        self.mean, self.variance, self.covariance = float(mean), float(variance), covariance

    def beside(self, mean: float, covariance: Floats, index: int) -> _Best:
        """The larger of it and of the worker `index`, of that mean, whose covariances have shape (N,)."""
        variance = float(covariance[index])
        distance = math.sqrt(max(self.variance + variance - 2.0 * float(self.covariance[index]), 0.0))
        if distance < TIE:
            return self if self.mean >= mean else _Best(mean, variance, covariance)
        lead = (self.mean - mean) / distance
        ahead = 0.5 * (1.0 + math.erf(lead / math.sqrt(2.0)))
        near = distance * math.exp(-0.5 * lead * lead) / math.sqrt(2.0 * math.pi)
        larger = self.mean * ahead + mean * (1.0 - ahead) + near
        square = (self.mean**2 + self.variance) * ahead + (mean**2 + variance) * (1.0 - ahead)
        square += (self.mean + mean) * near
        return _Best(
            larger,
            max(square - larger**2, 0.0),
            np.asarray(self.covariance * ahead + covariance * (1.0 - ahead), dtype=np.float64),
        )
