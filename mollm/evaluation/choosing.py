"""How good a choice of LLMs is, on recorded scores, beside all that needs no chooser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.resampling import bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.mixing.predictor import Predictor
    from mollm.routing.calibration import Ints
    from mollm.routing.features import Floats

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of quality, for which score and cost are measured."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What a way to choose one LLM for each question comes to."""

    name: str
    score: float
    """Mean of the questions, 0 to 1."""
    interval: tuple[float, float] | None = None
    """In which 95 % of the resampled gains above the best single LLM lie; None for what is not compared with it."""
    cost_usd: float | None = None
    """Mean of the questions; None where costs are not recorded."""
    curve: float | None = None
    """For two LLMs, of a way that orders the questions: `gap_recovered`."""


def measure(
    scores: Floats,
    llms: Sequence[str],
    *,
    lengths: Sequence[int],
    best: int,
    costs: Floats | None = None,
    predicted: Floats | None = None,
) -> list[Figure]:
    """Measure what always the same LLM, chance, length, a chooser and an oracle come to.

    Args:
        scores: 0 to 1, shape (n, K).
        llms: The names, K of them.
        lengths: Characters of each question, n of them.
        best: The single LLM to compare with, picked on other data.
        costs: USD, shape (n, K).
        predicted: What a chooser predicts, shape (n, K).
    """
    rows = np.arange(len(scores))

    def figure(name: str, picked: Ints, *, is_compared: bool = False, curve: float | None = None) -> Figure:
        found = scores[rows, picked]
        interval = bootstrap(found - scores[:, best]) if is_compared else None
        return Figure(name, float(found.mean()), interval, _mean(costs, picked), curve)

    figures = [Figure("random", float(scores.mean()), cost_usd=None if costs is None else float(costs.mean()))]
    figures += [figure(name, np.full(len(scores), index)) for index, name in enumerate(llms)]
    figures.append(figure(f"best single ({llms[best]})", np.full(len(scores), best)))
    if len(llms) == 2:
        figures[0] = Figure("random", figures[0].score, cost_usd=figures[0].cost_usd, curve=0.5)
        by_length = gap_recovered(np.array(lengths, dtype=np.float64), scores, strong=best)
        # The longer half to the stronger one: a way without a threshold that would have to be picked.
        longer = np.argsort(np.argsort(lengths, kind="stable"), kind="stable") >= len(lengths) / 2
        figures.append(figure("prompt length", np.where(longer, best, 1 - best), is_compared=True, curve=by_length))
    if predicted is not None:
        curve = gap_recovered(predicted[:, best] - predicted[:, 1 - best], scores, best) if len(llms) == 2 else None
        figures.append(figure("chooser", predicted.argmax(axis=1), is_compared=True, curve=curve))
    figures.append(figure("oracle", scores.argmax(axis=1)))
    return figures


def weighed(
    predictor: Predictor, predicted: Floats, scores: Floats, costs: Floats, weights: Sequence[float] = WEIGHTS
) -> list[tuple[float, float, float]]:
    """Choose one LLM for each question at several weights of quality, with the mean recorded costs as prices.

    Args:
        predictor: Whose spread makes qualities and prices comparable.
        predicted: What it predicts, shape (n, K).
        scores: 0 to 1, shape (n, K).
        costs: USD, shape (n, K).
        weights: 0 to 1.

    Returns:
        For each the weight, the mean score, and the mean cost in USD.
    """
    means = costs.mean(axis=0)
    prices = means / means.max() if means.max() else means
    found = []
    for weight in weights:
        picked = (weight * predicted / predictor.spread - (1.0 - weight) * prices).argmax(axis=1)
        rows = np.arange(len(scores))
        found.append((weight, float(scores[rows, picked].mean()), float(costs[rows, picked].mean())))
    return found


def gap_recovered(order: Floats, scores: Floats, strong: int) -> float:
    """Area under the curve of the part of the gap between two LLMs that is recovered, over the share of strong calls.

    Known as APGR (average performance gap recovered).

    Args:
        order: The questions with the largest values go to the stronger one first, shape (n,).
        scores: Shape (n, 2).
        strong: The column of the stronger LLM.

    Returns:
        0.5 for questions in any order; NaN where the two are equally good.
    """
    gain = scores[:, strong] - scores[:, 1 - strong]
    ordered = gain[np.argsort(-order, kind="stable")]
    curve = np.concatenate([[0.0], np.cumsum(ordered)])
    if not curve[-1]:
        return float("nan")
    return float(np.trapezoid(curve / curve[-1], dx=1.0 / len(gain)))


def _mean(costs: Floats | None, picked: Ints) -> float | None:
    return None if costs is None else float(costs[np.arange(len(costs)), picked].mean())
