"""From answers that were gathered to a report, its page, or a calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mollm.cli.gathering import evaluated, interruptible, told_of_interruption
from mollm.cli.judging import judging
from mollm.cli.printing.calibration import print_calibration
from mollm.cli.printing.output import say
from mollm.config.members import members_digest
from mollm.errors import DataError
from mollm.evaluation.mixtures.calibrating import calibrate as fitted
from mollm.evaluation.mixtures.calibrating import write_calibration
from mollm.evaluation.mixtures.comparing.compare import About, report_of
from mollm.evaluation.mixtures.comparing.scoring import score_questions, scored
from mollm.evaluation.mixtures.gathering.ceiling import Ceiling
from mollm.evaluation.mixtures.page import page_of
from mollm.evaluation.mixtures.reports import check_folder, write_report, write_whole
from mollm.evaluation.mixtures.rows import data_digest, read_rows
from mollm.evaluation.mixtures.scores.remembered import Remembered
from mollm.evaluation.mixtures.scores.verdicts import beside
from mollm.evaluation.mixtures.subject import subject_of

if TYPE_CHECKING:
    from mollm.cli.gathering import Evaluated, Ways
    from mollm.evaluation.mixtures.report import Report
    from mollm.evaluation.mixtures.scores.base import Score
    from mollm.evaluation.mixtures.subject import Subject

JOURNAL = "journal.jsonl"
"""Name of the journal beside a report."""
PAGE = "report.html"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be evaluated, and by what."""

    data: Path
    config: Path | None = None
    replay: Path | None = None
    mixtures: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    limit: int | None = None
    score: str = "exact"
    judge: str | None = None
    ratings: Path | None = None
    seed: int = 0


async def reported(wanted: Wanted, ways: Ways, out: Path | None, *, calibrate: bool) -> Report:
    """Ask, score and compare, and write what is to be written.

    Args:
        wanted: What is evaluated.
        ways: How it is asked; without a journal, the default one is kept.
        out: Folder of the report and its page, or the file of the calibration; None: nothing is written.
        calibrate: A calibration is written, in place of a report.

    Raises:
        MollmError: Something cannot be read, asked, scored or written.
    """
    rows = read_rows(wanted.data)
    _check_place(out, calibrate=calibrate)
    subject = subject_of(wanted.config, wanted.replay, wanted.mixtures, wanted.workers, logprobs=calibrate)
    if calibrate and len(subject.mixtures) > 1:
        raise typer.BadParameter(
            f"is for one mixture, and there are {', '.join(subject.mixtures)}; name it with --mixture",
            param_hint="--calibrate",
        )
    place = ways.journal or _default_journal(wanted.data, out, calibrate=calibrate)
    # Asking a recording again takes no longer than reading a journal.
    kept = None if subject.is_replayed and ways.journal is None else place
    asked = rows[: wanted.limit]
    ceiling = Ceiling(ways.calls, ways.cost_usd)
    with told_of_interruption(kept, beside(place), is_replayed=subject.is_replayed):
        async with judging(wanted, subject, rows, ceiling, place) as score:
            counted = Remembered(score)
            done = await evaluated(subject, asked, rows, counted, replace(ways, journal=kept), ceiling)
            about = About(
                date=datetime.now(UTC).isoformat(timespec="seconds"),
                data=str(wanted.data),
                data_digest=data_digest(asked),
                config=subject.name,
                is_replayed=subject.is_replayed,
                calls=done.calls,
                cost_usd=done.cost_usd,
                notes=(*subject.notes, *done.notes),
                routes=done.found.routes,
                unrecorded=subject.unrecorded,
            )
            report = await report_of(done.found.gathered, counted, about, seed=wanted.seed)
            if calibrate and out is not None:
                await _write_calibration(out, wanted.data, subject, done, counted)
        if out is not None and not calibrate:
            with interruptible():
                _write(out, report)
    return report


def _check_place(out: Path | None, *, calibrate: bool) -> None:
    """Refuse a place that cannot be written to before anything is asked."""
    if out is not None and out.exists() and out.is_dir() is calibrate:
        what = "a folder, and --calibrate writes a file" if calibrate else "a file, and a report is written to a folder"
        raise DataError(f"{out}: is {what}; name another with --out")
    if out is not None:
        check_folder(out.parent if calibrate else out)


async def _write_calibration(out: Path, data: Path, subject: Subject, done: Evaluated, score: Score) -> None:
    (gathered,) = done.found.gathered
    counted = scored(gathered, await score_questions(gathered, score, {}), score)
    section = subject.original.mixtures[gathered.mixture]
    calibration = fitted(replace(gathered, rows=counted.rows, alone=counted.alone), counted.of_members)
    write_calibration(out, calibration, members=members_digest(subject.original, section), data=data)
    print_calibration(calibration, out, gathered.mixture, float(counted.of_mixture.mean()), subject.original.path)


def _write(folder: Path, report: Report) -> None:
    path = write_report(folder, report)
    page = folder / PAGE
    write_whole(page, page_of(report))
    say(f"{path} and {page.name} are written")


def _default_journal(data: Path, out: Path | None, *, calibrate: bool) -> Path:
    if calibrate:
        return Path(f"{data.stem}.mollm-calibrate.jsonl")  # log-probabilities are asked for: these are other requests
    return out / JOURNAL if out else Path(f"{data.stem}.mollm-eval.jsonl")
