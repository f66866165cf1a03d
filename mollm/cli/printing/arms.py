"""Arms side by side."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.cells import cell_len

from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.arms import ArmsTest, Difference, Interval, Outcome

HEAD = ("arm", "answers", "rated", "score", "95 % interval", "calls", "seconds", "USD")


def print_arms(tests: Sequence[ArmsTest]) -> None:
    """Print a table for each test, and under it whether the arms can be told apart."""
    lines = []
    for test in tests:
        rows = [HEAD, *map(_cells, test.outcomes)]
        widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
        lines += [test.name, *(_line(row, widths) for row in rows), *map(_told, test.differences), ""]
    sys.stdout.write("\n".join(map(printable, lines[:-1])) + "\n" * bool(lines))


def _cells(found: Outcome) -> tuple[str, ...]:
    score = "-" if found.score is None else f"{found.score:.2f}"
    interval = "-" if found.interval is None else _between(found.interval)
    cost = "-" if found.cost_usd is None else f"{found.cost_usd:.6f}"
    counts = (str(found.answers), str(found.rated), score, interval)
    return (printable(found.arm), *counts, f"{found.calls:.1f}", f"{found.seconds:.1f}", cost)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True))
    return f"  {'  '.join(padded)}".rstrip()


def _told(found: Difference) -> str:
    is_told = found.verdict != "cannot be told"
    verdict = f"{found.arm} is {found.verdict}" if is_told else "which is better cannot be told"
    return f"  {found.arm} less current: {found.score:.2f} ({_between(found.interval)}): {verdict}"


def _between(interval: Interval) -> str:
    return f"{interval.low:.2f} to {interval.high:.2f}"
