"""A router learned from labelled questions: measured on some of them, then fitted on all, as a new version."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mollm.errors import ConfigError
from mollm.routing import versions
from mollm.training.figures import Said, said
from mollm.training.lessons import joined
from mollm.training.methods import fitted, quiet
from mollm.training.report import Measured, Report, write
from mollm.training.splitting import split
from mollm.training.updating import updated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.routing.learned import LearnedScorer, Method
    from mollm.training.data import Labelled
    from mollm.training.lessons import Lessons, Rating
    from mollm.training.methods import Step, Training
    from mollm.training.regret import Regret

BASELINE: Method = "naive-bayes"
"""What every report shows beside the method that was chosen."""


def train(
    data: Labelled, how: Training, out: Path, *, ratings: Sequence[Rating] | None = None, step: Step = quiet
) -> Report:
    """Train a router as a new version of a folder. It is put in force, unless it learned from ratings.

    If it fails or is interrupted, the folder is as it was.

    Args:
        data: The questions, as `checked` returns them.
        how: Method and settings.
        out: Folder of the versions, made if missing.
        ratings: Of answers, to learn from as well.
        step: Is told of the progress.

    Raises:
        ConfigError: The method cannot be had here, there are no ratings, or the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lessons, regret = (None, None) if ratings is None else updated(data, ratings, how, out, step)
        measured = _measure(data, lessons, how, step)
        report = _added(data if lessons is None else joined(data, lessons), how, out, measured, regret, step)
        if ratings is None:
            versions.use(out, report.version)
    except OSError as error:
        raise ConfigError(f"{error.filename or out}: cannot be written: {error.strerror}") from error
    return report


def _measure(data: Labelled, lessons: Lessons | None, how: Training, step: Step) -> Measured | None:
    """Fit on a part of the questions, and ask about the others; None if none are held out."""
    seen, held_out = split(data, how.held_out, how.seed)
    if not held_out.texts:
        return None
    seen = seen if lessons is None else joined(seen, lessons)

    def tried(method: Method) -> tuple[Said, LearnedScorer]:
        with tempfile.TemporaryDirectory() as folder:
            with step(f"{method}: fitting on {len(seen.texts):,} questions") as tell:
                scorer = fitted(seen, how, method, Path(folder), tell)
            with step(f"{method}: asking about the {len(held_out.texts):,} others"):
                return said(scorer, held_out), scorer

    baseline, scorer = tried(BASELINE)
    chosen = baseline
    if how.method != BASELINE:
        chosen, scorer = tried(how.method)
    return Measured(seen, held_out, chosen, baseline, scorer.threshold, scorer.familiarity)


def _added(
    data: Labelled, how: Training, out: Path, measured: Measured | None, regret: Regret | None, step: Step
) -> Report:
    """Fit on all questions, and add the router with its report to the versions."""
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(dir=out, prefix=".draft.") as draft:
        folder = Path(draft) / "router"
        with step(f"{how.method}: fitting on all {len(data.texts):,} questions") as tell:
            scorer = fitted(data, how, how.method, folder, tell)
        report = Report(
            f"{now:%Y-%m-%dT%H-%M-%S}-{how.method}-{scorer.digest[:4]}", now, data, how, scorer, measured, regret
        )
        write(report, folder)
        versions.add(out, report.version, folder)
    return report
