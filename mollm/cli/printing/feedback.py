"""Answers that are kept, with what people said of them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from mollm.cli.printing.layout import clipped, console
from mollm.printable import STEERING, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mollm.feedback.base import Entry

PREVIEW = 400
"""Characters of a question that may be shown; a line has fewer columns."""


def print_entries(entries: Sequence[Entry]) -> None:
    """Print an answer in two lines: its id, when it was given, by what, and its rating; and the question."""
    screen = console()
    for entry in entries:
        when = f"{datetime.fromtimestamp(entry.time).astimezone():%Y-%m-%d %H:%M}"
        score = "not rated" if entry.rating is None else f"rated {entry.rating.score:g}"
        arm = f", {entry.route['arm']}" if entry.route.get("arm") else ""
        key = f", key {entry.key}" if entry.key else ""
        beside = printable(f"  {when}, {entry.mixture}{arm}{key}, {score}")
        screen.print(Text(printable(entry.id), style="bold") + Text(beside, style="not bold dim"))
        screen.print(clipped(Text(f"  {printable(' '.join(entry.question[:PREVIEW].split()))}")))


def print_lines(entries: Iterable[Entry]) -> None:
    """Print each answer as a line of JSON."""
    for entry in entries:
        line = json.dumps(plain(entry), ensure_ascii=False)
        sys.stdout.write(STEERING.sub(lambda found: json.dumps(found[0])[1:-1], line) + "\n")


def plain(entry: Entry) -> dict[str, Any]:
    """Turn an answer that is kept into plain data, times as ISO 8601 writes them."""
    found = asdict(entry)
    rating = found.pop("rating") or {"score": None, "better": None, "note": None}
    times = {name: _iso(found[name]) for name in ("time", "rated")}
    return {**found, **rating, **times}


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
