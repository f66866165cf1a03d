"""What sways reviewers, as a table."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mollm.evaluation.counting import count
from mollm.evaluation.review import MOST_CORRELATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.review import Figure, ReviewReport

HEAD = ("", "value", "95 % interval", "ballots", "answers", "")
OF_POSITIONS = ("position", "mean rank", "ballots")


def print_review(report: ReviewReport) -> None:
    """Print each figure with what it was measured on, and the mean rank by position."""
    limit = f"flagged: beyond {MOST_CORRELATION:g}"
    rows = [
        HEAD,
        _row("longer is ranked ahead (Spearman)", report.length, limit),
        _row("read before is ranked ahead (Spearman)", report.position, limit),
        _row("own LLM gets more points", report.own, "flagged: above 0"),
        _row("two reviewers (Kendall's tau)", report.agreement),
        _row("one reviewer in both orders (tau)", report.both_orders),
    ]
    positions = [OF_POSITIONS, *((str(p.position), f"{p.rank:.2f}", str(p.ballots)) for p in report.positions)]
    counted = f"{count(report.ballots, 'ballot')} of {count(report.answers, 'answer')} with a ranking"
    lines = [f"{counted}, {report.failed} more that do not count", "", *_table(rows)]
    sys.stdout.write("\n".join([*lines, *(["", *_table(positions)] if report.positions else [])]) + "\n")


def _row(name: str, found: Figure, flagged: str = "") -> tuple[str, ...]:
    value = "-" if found.value is None else f"{found.value:.2f}"
    between = "-" if found.interval is None else f"{found.interval[0]:.2f} to {found.interval[1]:.2f}"
    said = {"flagged": flagged, "cannot be told": "cannot be told"}.get(found.verdict, "")
    return (name, value, between, str(found.ballots), str(found.answers), said)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
