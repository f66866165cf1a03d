"""Fit the confidence of a mixture: logistic regression on what its members said, shrunk toward the base rate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mollm.errors import DataError
from mollm.evaluation.files import digest_of
from mollm.evaluation.metrics import calibration_error
from mollm.evaluation.mixtures.reports import write_whole
from mollm.evaluation.mixtures.scores.base import RIGHT
from mollm.evaluation.mixtures.table import Table
from mollm.final.calibration import SIGNALS, VOTES, Calibration, Member, features
from mollm.final.calibration_file import text_of
from mollm.final.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.records import Gathered
    from mollm.final.calibration import Said

SHRINKAGE = {"votes": 10.0, "signals": 10.0, "members": 450.0}
"""Penalty on the squared weights of features of variance 1. With few questions it decides, and all answers are about
as probable as the average one; a member takes 45 times the evidence that a count takes to weigh as much. Chosen on
recorded answers to GSM8K and MATH level 5, by likelihood and calibration error on held-out halves."""
PRIOR = 0.5
"""Questions answered right, and as many answered wrong, that are added: nothing is certain (Krichevsky-Trofimov)."""
FOLDS = 5
"""Of the cross-validation by which the calibration error is measured."""
FEWEST = 4 * FOLDS
"""Questions; with fewer no calibration error can be told."""
_STEPS, _CLOSE = 100, 1e-8
_SAME = 1e-9
"""A standard deviation of values that are the same but for rounding."""


def calibrate(gathered: Gathered, scores: Floats) -> Calibration:
    """Fit the confidence of a mixture on what its members answered alone.

    Args:
        gathered: The answers.
        scores: Of the members, 0 to 1, shape (n, m).

    Raises:
        DataError: There are no answers.
    """
    if not gathered.alone or not gathered.rows:
        raise DataError(f"mixture {gathered.mixture!r}: no answers of its members, so nothing can be calibrated")
    return fit(Table.of(gathered.alone, scores))


def write_calibration(path: Path, calibration: Calibration, *, members: str, data: Path) -> None:
    """Write what `mixtures.NAME.calibration` loads.

    Args:
        path: The file, written anew as a whole: a server may read it at any time.
        calibration: As `calibrate` returns it.
        members: Digest of the mixture's members, as `mollm.config.members.members_digest` makes it.
        data: The file of questions.

    Raises:
        DataError: The questions cannot be read, or the file cannot be written.
    """
    whole = replace(calibration, digest=members, data=data.name, data_digest=digest_of(data))
    write_whole(path, text_of(whole))


def fit(table: Table, *, folds: int = FOLDS) -> Calibration:
    """Fit on the answers of every first few members, as asking in listed order comes by them, and measure the error.

    Args:
        table: Who answered what, and what was right.
        folds: Of the cross-validation; 0: the error is not measured.

    Raises:
        DataError: No member answered any question.
    """
    fitted = _fitted(table)
    questions = len(table.ids)
    if questions < FEWEST or not folds:
        return fitted
    probabilities, right = np.full(questions, np.nan), np.zeros(questions, dtype=bool)
    fold = np.arange(questions) % folds
    for number in range(folds):
        inside = fold == number
        held_out = _fitted(table.part(~inside))
        for row in np.flatnonzero(inside):
            *_, (said, leads) = [([], 0), *_states(table, int(row))]
            found = held_out.confidence(said)
            if found is not None:
                probabilities[row], right[row] = found, table.scores[row, leads] >= RIGHT
    told = ~np.isnan(probabilities)
    return replace(fitted, error=calibration_error(probabilities[told], right[told])) if told.any() else fitted


def _states(table: Table, row: int) -> Iterator[tuple[list[Said], int]]:
    """What has been said of a question after each member in turn, and whose answer leads."""
    said: list[Said] = []
    columns: list[int] = []
    for column in range(len(table.members)):
        if (found := table.said(row, column)) is None:
            continue
        said.append(found)
        columns.append(column)
        if leading := Tally(one.final for one in said).leading:
            yield list(said), columns[leading[0]]


def _fitted(table: Table) -> Calibration:
    members = {name: _usual(table, column) for column, name in enumerate(table.members)}
    found: list[list[float]] = []
    scores: list[float] = []
    for row in range(len(table.ids)):
        for said, leads in _states(table, row):
            if (values := features(said, members)) is not None:
                found.append(values)
                scores.append(float(table.scores[row, leads]))
    if not found:
        raise DataError("no member gave a final answer to any question, so nothing can be calibrated")
    matrix = np.array(found)
    if all(member.logprob is None for member in members.values()):
        matrix[:, len(VOTES) + SIGNALS.index("unlikely")] = 0.0
    penalties = np.repeat(
        [SHRINKAGE["votes"], SHRINKAGE["signals"], SHRINKAGE["members"]], [len(VOTES), len(SIGNALS), 2 * len(members)]
    )
    base, weights = regression(matrix, np.array(scores), penalties, PRIOR * len(table.members))
    named = dict(zip((*VOTES, *SIGNALS), weights, strict=False))
    of_members = weights[len(named) :].reshape(-1, 2)
    weighed = {
        name: replace(member, supports=float(supports), contradicts=float(contradicts))
        for (name, member), (supports, contradicts) in zip(members.items(), of_members, strict=True)
    }
    return Calibration(weighed, base, {name: float(value) for name, value in named.items()}, len(table.ids), None)


def _usual(table: Table, column: int) -> Member:
    """What the replies of a member are like."""
    arrived = table.arrived[:, column]
    logprobs = table.logprobs[arrived, column]
    length, logprob = _spread(np.log1p(table.lengths[arrived, column])), _spread(logprobs[np.isfinite(logprobs)])
    return Member(length=length or (0.0, 0.0), logprob=logprob)


def _spread(values: Floats) -> tuple[float, float] | None:
    """Mean and standard deviation; None of no values."""
    if not len(values):
        return None
    deviation = float(values.std())
    return float(values.mean()), deviation if deviation > _SAME else 0.0


def regression(matrix: Floats, right: Floats, penalties: Floats, prior: float) -> tuple[float, Floats]:
    """Logistic regression with a squared penalty and weights of 0 or more, by projected Newton steps.

    Args:
        matrix: Features, shape (n, f).
        right: What is to be predicted, 0 to 1, shape (n,).
        penalties: On the square of the weight of each feature, once its variance is 1, shape (f,).
        prior: Rows of either kind that are added in the middle of all.

    Returns:
        The intercept, and the weights, shape (f,).
    """
    mean, deviation = matrix.mean(axis=0), matrix.std(axis=0)
    used = deviation > _SAME
    deviation = np.where(used, deviation, 1.0)
    rows = np.hstack([np.ones((len(matrix), 1)), (matrix - mean) / deviation * used])
    rows = np.vstack([rows, np.eye(1, rows.shape[1]), np.eye(1, rows.shape[1])])
    right = np.append(right, [1.0, 0.0])
    counts = np.append(np.ones(len(matrix)), [prior, prior])
    penalty = np.append(0.0, penalties)
    is_bound = np.arange(rows.shape[1]) > 0
    found = np.zeros(rows.shape[1])

    def loss(weights: Floats) -> float:
        at = rows @ weights
        return float((counts * (np.logaddexp(0.0, at) - right * at)).sum() + (penalty * weights**2).sum() / 2)

    for _ in range(_STEPS):
        sure = 1.0 / (1.0 + np.exp(-(rows @ found)))
        slope = rows.T @ (counts * (sure - right)) + penalty * found
        curve = (rows * (counts * sure * (1.0 - sure))[:, None]).T @ rows + np.diag(penalty + 1e-9)
        is_free = ~(is_bound & (found <= 0) & (slope > 0))
        step = np.zeros_like(found)
        step[is_free] = np.linalg.solve(curve[np.ix_(is_free, is_free)], slope[is_free])
        size, before = 1.0, loss(found)
        while True:
            after = found - size * step
            after = np.where(is_bound, np.maximum(after, 0.0), after)
            if loss(after) <= before or size < _CLOSE:
                break
            size /= 2
        moved, found = float(np.abs(after - found).max()), after
        if moved < _CLOSE:
            break
    weights = found[1:] / deviation * used
    return float(found[0] - weights @ mean), weights
