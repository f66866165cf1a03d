"""Settings that stop when they are sure: what they are fitted on, and the calibration that is written for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.calibrating import FEWEST, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.mixtures.simulating import Confidence
    from mollm.evaluation.mixtures.table import Table
    from mollm.evaluation.tuning.tune import Tuned
    from mollm.final.calibration import Calibration


def confidence_of(table: Table, members: tuple[str, ...]) -> Confidence:
    """Fit how sure some of the members are, asked in this order; as `search.Fit`."""
    return fit(table.among(members), folds=0).confidence


def calibration_of(tuned: Tuned, table: Table, names: Sequence[str]) -> Calibration:
    """Fit once more what was chosen by, on the half that was searched, with its calibration error.

    Args:
        tuned: What was chosen.
        table: Of all questions that count.
        names: Of the workers of the mixture as it is served, in listed order.

    Raises:
        DataError: No member gave a final answer.
    """
    held_out = set(tuned.held_out)
    searched = table.part(np.array([question not in held_out for question in table.ids]))
    return fit(replace(searched.among(tuned.chosen.members), members=tuple(names)))


def told(calibration: Calibration | None) -> str:
    """Say how far what is stated lies from what holds; None: nothing that was chosen needs a calibration."""
    if calibration is None:
        return "No calibration: nothing that stops at a probability was worth more than what was taken."
    questions = count(calibration.questions, "question")
    if calibration.error is None:
        return f"No calibration error can be told from the {questions} that were searched; it takes {FEWEST}."
    return f"Calibration error: {100 * calibration.error:.1f} points, cross-validated on the {questions} searched."
