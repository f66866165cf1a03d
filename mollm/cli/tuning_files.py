"""The files that `mollm tune` writes: whole or not at all, never over others, and only if they can be loaded."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mollm.cli.checks import check_config
from mollm.cli.printing.output import say
from mollm.config.load import load_config
from mollm.config.members import members_digest
from mollm.config.mixtures import MixtureConfig
from mollm.config.names import NAME as FORM
from mollm.config.names import NAMING, RESERVED_NAMES
from mollm.errors import DataError
from mollm.evaluation.files import digest_of
from mollm.evaluation.mixtures.calibrating import write_calibration
from mollm.evaluation.mixtures.subject import recorded_alone
from mollm.evaluation.tuning import yaml_text
from mollm.evaluation.tuning.calibrated import calibration_of, told
from mollm.evaluation.tuning.candidates import served_names
from mollm.evaluation.tuning.evidence import Source, comments
from mollm.evaluation.tuning.tune import section_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.cli.tuning import Done
    from mollm.config.config import Config
    from mollm.final.calibration import Calibration

NAME = "tuned"
"""Of the mixture in a file of its own, unless an LLM has it: then with a number behind it."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where it is written."""

    out: Path
    into: str | None = None
    """The whole file is kept, and has the mixture under this name."""
    force: bool = False
    """Files are written over."""
    calibrates: bool = False
    """A calibration may be written beside it."""

    @property
    def calibration(self) -> Path:
        """The file of the calibration, beside the other one."""
        return self.out.with_name(f"{self.out.stem}.calibration.json")


def check_files(files: Files, config: Path | None, replay: Path | None = None) -> None:
    """Refuse, before anybody is asked, to write where that cannot be, over a file, or under a name that is none.

    Raises:
        DataError: There is a file, and it is not to be written over; or a folder, or none to write to.
        typer.BadParameter: A mixture cannot have that name.
    """
    for path in (files.out, *([files.calibration] if files.calibrates else [])):
        if path.is_dir():
            raise DataError(f"{path}: is a folder; name a file by --out")
        if path.exists() and not files.force:
            raise DataError(f"{path}: is there already; name another file by --out, or add --force")
    if not files.out.parent.is_dir():
        raise DataError(f"{files.out}: there is no folder {files.out.parent}")
    _draft(files.out).unlink()
    if files.into is None:
        return
    if not FORM.fullmatch(files.into) or files.into in RESERVED_NAMES:
        raise typer.BadParameter(f"{files.into!r} cannot be a mixture: a name has {NAMING}", param_hint="--into")
    if recorded_alone(config, replay):
        raise typer.BadParameter("puts it into a file, and there is none without a configuration", param_hint="--into")
    if files.into in load_config(config).llms:
        raise typer.BadParameter(
            f"{files.into!r} is an LLM; LLMs and mixtures share one namespace", param_hint="--into"
        )


def source_of(data: Path, score: str) -> Source:
    """What was done, and when."""
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    return Source(now, str(data), digest_of(data), shlex.join(["mollm", *sys.argv[1:]]), score)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    path: Path
    calibration: Path | None = None
    """None: the mixture needs none."""
    notes: tuple[str, ...] = ()
    """On calls that failed, and on the calibration if there could be one."""
    error: float | None = None
    """Calibration error, 0 to 1; None where none can be told."""


def write(files: Files, done: Done, source: Source) -> Written:
    """Write the mixture, and the calibration that it needs, if any.

    Raises:
        ConfigError: It could not be loaded there, as where a prompt is named by a path from another folder.
        DataError: It cannot be written.
    """
    calibration = _calibration(done) if done.tuned.chosen.sure is not None else None
    beside = files.calibration if calibration else None
    notes = (*done.failures, *([told(calibration)] if files.calibrates else []))
    text = _yaml_of(files, done, source, beside, notes)
    drafts = [_draft(files.out)]
    try:
        if beside is not None and calibration is not None:
            drafts.append(_draft(beside))
            write_calibration(drafts[1], calibration, members=calibration.digest, data=done.data)
            # What is checked loads the draft, and what stands in the end the file.
            text_now = text.replace(beside.name, drafts[1].name)
        else:
            text_now = text
        drafts[0].write_text(text_now, "utf-8")
        load_config(drafts[0])
        problems = check_config(drafts[0]).problems
        drafts[0].write_text(text, "utf-8")
        written = [files.out, *([beside] if beside else [])]
        for draft, path in reversed(list(zip(drafts, written, strict=True))):
            draft.chmod(0o644)
            draft.replace(path)
    except OSError as error:
        raise DataError(f"{files.out}: cannot be written: {error.strerror}") from error
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
    for problem in problems:  # a variable that is not set here may be where it is served
        say(f"warning: {problem.replace(str(drafts[0]), str(files.out))}")
    return Written(files.out, beside, notes, calibration.error if calibration else None)


def _draft(path: Path) -> Path:
    """An empty file beside the one that is to be written."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix or ".yaml", dir=path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written in {path.parent}: {error.strerror}") from error
    os.close(descriptor)
    return Path(name)


def _calibration(done: Done) -> Calibration:
    """The calibration of the mixture as it is served."""
    workers = [done.candidates.by_name[name].worker for name in done.tuned.chosen.members]
    calibration = calibration_of(done.tuned, done.table, served_names([worker.llm for worker in workers]))
    section = MixtureConfig(description=NAME, workers=workers)
    return replace(calibration, digest=members_digest(done.candidates.subject.original, section))


def _yaml_of(files: Files, done: Done, source: Source, calibration: Path | None, notes: Sequence[str]) -> str:
    """The text of the file that is written."""
    config: Config = done.candidates.subject.original
    described = f"Tuned on {Path(source.data).name}."
    beside = calibration.name if calibration else None
    section = section_of(done.tuned, done.candidates.entries, described, beside)
    above = [*comments(done.tuned, source), *notes]
    if config.path is None:
        text = yaml_text.recorded({name: llm.model for name, llm in config.llms.items()})
        above += ["", yaml_text.RECORDED, *([yaml_text.TUNE_AGAIN] if calibration else [])]
    else:
        text = config.path.read_text("utf-8-sig")
    if files.into is not None:
        return yaml_text.into(text, files.into, section, above)
    free = (NAME if number == 1 else f"{NAME}-{number}" for number in itertools.count(1))
    return yaml_text.fresh(text, next(name for name in free if name not in config.llms), section, above)
