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


def interval_of_mean(
    values: Floats, size: int | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """As `bootstrap` of a mean, but drawn by how often each value comes up: of few different values in no time.

    Args:
        values: One at least, without NaN, shape (n,).
        size: How many are drawn each time; None: n.
        resamples: How often; rounded up to hundreds.
        seed: Of the draws.
    """
    different, counts = np.unique(values, return_counts=True)
    size, generator = size or len(values), np.random.default_rng(seed)
    shares = counts / len(values)
    draws = (generator.multinomial(size, shares, size=100) for _ in range(-(-resamples // 100)))
    means = np.concatenate([drawn @ different for drawn in draws]) / size
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
