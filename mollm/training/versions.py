"""What there is to say of the versions in a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mollm.errors import ConfigError
from mollm.routing import artifacts, versions
from mollm.training.report import JSON

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 64 * 1024 * 1024
"""Of a report."""


@dataclass(frozen=True, slots=True)
class Version:
    """A trained router among others."""

    name: str
    is_current: bool
    """Whether it is in force."""
    told: str
    """How many mixtures it has and how good it was, or why it cannot be used."""


def found(folder: Path) -> list[Version]:
    """Look at all versions of a folder, the oldest first.

    Raises:
        ConfigError: It has none.
    """
    names = versions.listed(folder)
    if not names:
        raise ConfigError(f"{folder}: has no versions; `mollm train router DATA --out {folder}` makes one")
    try:
        current = versions.current(folder)
    except ConfigError:  # a version that is gone is in force; whoever looks here wants to mend that
        current = None
    return [Version(name, name == current, _told(folder / versions.VERSIONS / name)) for name in names]


def _told(folder: Path) -> str:
    try:
        manifest, _ = artifacts.read(folder)
    except ConfigError as error:
        return f"cannot be used: {error}".replace(f"{folder}: ", "")
    mixtures = manifest.get("mixtures")
    told = [f"{len(mixtures)} mixtures"] if isinstance(mixtures, list) else []
    report = _report(folder)
    held_out = report.get("held_out")
    if isinstance(held_out, dict) and isinstance(held_out.get("accuracy"), float):
        told.append(f"{held_out['accuracy']:.1%} right")
    data = report.get("data")
    if isinstance(data, dict) and isinstance(data.get("questions"), int):
        told.append(f"{data['questions']:,} questions")
    return ", ".join(told)


def _report(folder: Path) -> dict[str, Any]:
    """The report, as far as there is one; a router works without."""
    path = folder / JSON
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return {}
        report = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}
