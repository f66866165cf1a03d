"""A chooser trained on recorded scores, and how good it is on some that were held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mollm.errors import DataError
from mollm.evaluation.choosing import Figure, measure, weighed
from mollm.mixing.fitting import FOLDS, fit, gains_of
from mollm.mixing.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.routing.features import Floats
    from mollm.training.outcomes import Outcomes

HELD_OUT = 0.2
"""Share of the rows on which a chooser is measured that was fitted on the others."""
FEWEST = 4 * FOLDS
"""Rows to fit on; from a few hundred on a chooser begins to know something."""
INNER = 0.05
"""Share of predicted gains at either end that does not count toward their spread."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A chooser on rows that it was not fitted on."""

    rows: int
    figures: list[Figure]
    weighed: list[tuple[float, float, float]]
    """Weight of quality, mean score, mean cost in USD; empty where costs are not recorded."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A chooser, and what is known of it."""

    predictor: Predictor
    """Fitted on all rows."""
    penalty: float
    orderings: dict[float, float]
    """For each penalty that was tried, how well predicted gains order held-out questions, in the unit of the scores."""
    measured: Measured | None
    """Of one that was fitted on the other rows in the same way; None where none were held out."""


def train(outcomes: Outcomes, held_out: float = HELD_OUT, tell: Callable[[str], None] = lambda _: None) -> Trained:
    """Train a chooser.

    Args:
        outcomes: Recorded scores.
        held_out: Share of the rows to measure on, 0 to 0.9; the chooser that is returned is fitted on all of them.
        tell: Told of each step, in a few words.

    Raises:
        DataError: There are too few rows, or all LLMs have the same scores.
        ConfigError: Scikit-learn is not installed.
    """
    rest, held = outcomes.parted(held_out)
    _check(rest)
    measured = None
    if held.questions:
        tell(f"fitting {len(rest.questions):,} of {len(outcomes.questions):,} rows, to measure on the others")
        measured = measured_on(held, _fitted(rest, tell)[0])
        tell("fitting all rows")
    predictor, penalty, orderings = _fitted(outcomes, tell)
    return Trained(predictor, penalty, orderings, measured)


def measured_on(outcomes: Outcomes, predictor: Predictor) -> Measured:
    """Measure a chooser.

    Raises:
        DataError: An LLM that it knows has no scores.
    """
    outcomes = outcomes.of(predictor.llms)
    predicted = np.array([predictor.quality(text) for text in outcomes.questions])
    figures = measure(
        outcomes.scores,
        outcomes.llms,
        lengths=[len(text) for text in outcomes.questions],
        best=int(predictor.means.argmax()),
        costs=outcomes.costs,
        predicted=predicted,
    )
    costs = outcomes.costs
    at_weights = [] if costs is None else weighed(predictor, predicted, outcomes.scores, costs)
    return Measured(len(outcomes.questions), figures, at_weights)


def _check(outcomes: Outcomes) -> None:
    if len(outcomes.questions) < FEWEST:
        raise DataError(f"{len(outcomes.questions)} rows to fit on; at least {FEWEST} are needed")
    if not np.ptp(outcomes.scores, axis=1).any():
        raise DataError("all LLMs have the same scores in every row, so there is nothing to learn")


def _fitted(outcomes: Outcomes, tell: Callable[[str], None]) -> tuple[Predictor, float, dict[float, float]]:
    fitted = fit(outcomes.questions, outcomes.scores, tell)
    off = gains_of(outcomes.scores) - fitted.predicted
    predictor = Predictor(
        llms=outcomes.llms,
        means=outcomes.scores.mean(axis=0),
        covariance=np.cov(off, rowvar=False),
        spread=_spread(fitted.predicted),
        model=fitted.model,
        digest=outcomes.digest,
    )
    return predictor, fitted.penalty, fitted.orderings


def _spread(predicted: Floats) -> float:
    low, high = np.quantile(predicted, [INNER, 1.0 - INNER])
    return float(high - low) or 1.0
