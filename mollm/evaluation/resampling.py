"""In which range a figure lies, by drawing what it was measured on again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.evaluation.metrics import Floats

RESAMPLES = 2000


def bootstrap(
    rows: Floats, figure: Callable[[Floats], Any] = np.mean, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """In which range 95 % of the figures lie when the rows are drawn again (percentile bootstrap; Efron, 1979).

    Args:
        rows: What is drawn as a whole, as all that was measured on one question, shape (n, ...).
        figure: Worked out of as many rows; NaN where they do not tell, and left out.
        resamples: How often n rows are drawn.
        seed: Of the draws: the same rows have the same range.

    Returns:
        NaN twice where no draw tells.
    """
    generator = np.random.default_rng(seed)
    count = len(rows)
    figures = np.array([figure(rows[generator.integers(count, size=count)]) for _ in range(resamples)])
    told = figures[~np.isnan(figures)]
    low, high = np.quantile(told, [0.025, 0.975]) if len(told) else (np.nan, np.nan)
    return float(low), float(high)


def intervals_of_means(columns: Floats, resamples: int = RESAMPLES, seed: int = 0) -> list[tuple[float, float]]:
    """As `bootstrap` of the means of k columns of the same n rows, all of them of the same draws.

    Args:
        columns: Without NaN, shape (n, k).
        resamples: How often n rows are drawn.
        seed: Of the draws.

    Returns:
        A range for each column; NaN twice where n is 0.
    """
    count, width = columns.shape
    if not count:
        return [(np.nan, np.nan)] * width
    generator = np.random.default_rng(seed)
    draws = (np.bincount(generator.integers(count, size=count), minlength=count) for _ in range(resamples))
    means = np.array([drawn @ columns for drawn in draws]) / count
    return [(float(low), float(high)) for low, high in np.quantile(means, [0.025, 0.975], axis=0).T]
