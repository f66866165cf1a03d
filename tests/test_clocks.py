"""A clock that is set, forwards or back, ends nothing early and keeps nothing waiting."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.reference import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOMS = [ROOT / "mollm", *sorted(path for path in (ROOT / "mollm").iterdir() if (path / "__init__.py").exists())]
WALL = {"time", "time_ns", "now", "utcnow", "today", "localtime", "gmtime", "ctime"}
"""Functions of `time` and `datetime` whose answer changes when somebody sets the clock."""
TOLD = {
    "mollm/calling/waits.py": "a provider may say until when to wait as a date",
    "mollm/cli/reporting.py": "the date of a report",
    "mollm/cli/tuning_files.py": "the date of a file that is written",
    "mollm/feedback/sqlite.py": "when an answer was given, and the days that it is kept",
    "mollm/server/audit.py": "the time of a line",
    "mollm/server/chat/replies.py": "`created` of a completion",
    "mollm/server/chat/streaming.py": "`created` of a chunk",
    "mollm/server/deployment.py": "`created` of a model",
    "mollm/server/ledger.py": "the days that are kept",
    "mollm/logs.py": "the time in front of a line",
    "mollm/server/quotas.py": "the days of UTC that limits of a key begin with",
    "mollm/training/router.py": "the name of a version",
}
"""Modules that read it, and what for: a date that is told, or that was told us."""


def wall_clocks(path: Path) -> Iterator[str]:
    """Places in a module that read the wall clock, called or handed on."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in WALL and isinstance(node.value, ast.Name):
            if node.value.id in ("time", "datetime", "date"):
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time" and WALL & {name.name for name in node.names}:
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.name)
def test_no_deadline_is_counted_on_the_wall_clock(room: Path) -> None:
    """Deadlines, timeouts, breakers, budgets and what is kept count on clocks that nobody can set."""
    modules = room.glob("*.py") if room.name == "mollm" else room.rglob("*.py")
    found = [place for path in modules for place in wall_clocks(path)]

    assert [place for place in found if place.partition(":")[0] not in TOLD] == []


def test_modules_that_tell_a_date_still_do() -> None:
    """What is on the list reads the clock; an entry too many would hide the next deadline there."""
    assert [name for name in TOLD if not list(wall_clocks(ROOT / name))] == []
