"""A router learned from labelled questions: measured on some of them, then fitted on all, as a new version."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mollm.errors import ConfigError
from mollm.evaluation.cost import Stopwatch, keep
from mollm.routing import versions
from mollm.training.figures import HeldOut, held_out
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

DRAFT = ".draft."
"""How the names of folders begin in which a version is made."""
ABANDONED = 86_400.0
"""Seconds after which nobody works on a draft any more."""
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
    if (out / versions.CURRENT).exists() and not (out / versions.VERSIONS).is_dir():
        raise ConfigError(f"{out}: its {versions.CURRENT} is not that of trained routers; name another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        _sweep(out)
        lessons, regret = (None, None) if ratings is None else updated(data, ratings, how, out, step)
        measured = _measure(data, lessons, how, step)
        report = _added(data if lessons is None else joined(data, lessons), how, out, measured, regret, step)
        if ratings is None:
            versions.use(out, report.version)
    except OSError as error:
        raise ConfigError(f"{error.filename or out}: cannot be written: {error.strerror}") from error
    return report


def _sweep(out: Path) -> None:
    """Delete the drafts of trainings that were killed, and so could not do it themselves."""
    for draft in out.glob(f"{DRAFT}*"):
        if time.time() - draft.stat().st_mtime > ABANDONED:
            shutil.rmtree(draft, ignore_errors=True)


def _measure(data: Labelled, lessons: Lessons | None, how: Training, step: Step) -> Measured | None:
    """Fit on a part of the questions, and ask about the others; None if none are held out."""
    seen, unseen = split(data, how.held_out, how.seed)
    if not unseen.texts:
        return None
    seen = seen if lessons is None else joined(seen, lessons)

    def tried(method: Method) -> tuple[HeldOut, LearnedScorer]:
        with tempfile.TemporaryDirectory() as folder:
            with step(f"{method}: fitting on {len(seen.texts):,} questions") as tell:
                scorer = fitted(seen, how, method, Path(folder), tell)
            with step(f"{method}: asking about the {len(unseen.texts):,} others"):
                return held_out(scorer, unseen), scorer

    baseline, scorer = tried(BASELINE)
    chosen = baseline
    if how.method != BASELINE:
        chosen, scorer = tried(how.method)
    return Measured(seen, unseen, chosen, baseline, scorer.threshold, scorer.familiarity)


def _added(
    data: Labelled, how: Training, out: Path, measured: Measured | None, regret: Regret | None, step: Step
) -> Report:
    """Fit on all questions, and add the router with its report to the versions."""
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(dir=out, prefix=DRAFT) as draft:
        folder = Path(draft) / "router"
        with step(f"{how.method}: fitting on all {len(data.texts):,} questions") as tell:
            watch = Stopwatch()
            scorer = fitted(data, how, how.method, folder, tell)
            fit = watch.read()
        if measured and measured.chosen.joined:
            scorer = replace(scorer, second=measured.chosen.joined.bound)
            scorer.save(folder)
        keep(folder, fit)
        version = versions.free(out, f"{now:%Y-%m-%dT%H-%M-%S}-{how.method}-{scorer.digest[:4]}")
        report = Report(version, now, data, how, scorer, fit, measured, regret)
        write(report, folder)
        versions.add(out, report.version, folder)
    return report
