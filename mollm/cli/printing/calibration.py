"""What a calibration was fitted on, how far it is off, and where it goes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mollm.cli.printing.output import say
from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.calibrating import FEWEST

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.final.calibration import Calibration


def print_calibration(calibration: Calibration, out: Path, mixture: str, score: float, config: Path | None) -> None:
    """Say what is in a file that was written, on standard error.

    Args:
        calibration: What was fitted.
        out: Where it is.
        mixture: Whose it is.
        score: Mean of its answers, 0 to 1.
        config: The file that the mixture stands in; None: in none.
    """
    questions = count(calibration.questions, "question")
    say(f"{out} is written: fitted on {questions}, on which the mean score of {mixture} is {100 * score:.1f} %")
    if calibration.error is None:
        say(f"no calibration error can be told: that takes {FEWEST} questions or more")
    else:
        say(f"calibration error: {100 * calibration.error:.1f} percentage points (expected, cross-validated)")
    place = f"in {config}" if config else "of a configuration that has these workers"
    path = os.path.relpath(out, config.parent) if config else str(out)
    say(f"put `calibration: {path}` into `mixtures.{mixture}` {place}; `agree: 0.9` then stops where it is as sure")
