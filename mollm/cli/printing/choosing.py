"""How good a chooser is, as tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mollm.evaluation.choosing import Figure
    from mollm.training.chooser import Measured, Trained

HEAD = ("one LLM for each question", "score", "95 % above best single", "gap recovered", "USD each")


def training_report(trained: Trained) -> str:
    """What was learned, and how good that is on rows that were held out, as Markdown."""
    predictor = trained.predictor
    lines = [f"{len(predictor.llms)} LLMs, penalty {trained.penalty:g} by cross-validation"]
    tried = [(f"{penalty:g}", f"{100 * gained:.3f}") for penalty, gained in trained.orderings.items()]
    lines += ["", *table([("penalty", "order of held-out questions, points"), *tried])]
    if trained.measured is None:
        return "\n".join([*lines, "", "Nothing was held out to measure on."])
    about = f"Fitted on the other rows in the same way, measured on {trained.measured.rows:,} held-out ones:"
    return "\n".join([*lines, "", about, "", measured_report(trained.measured)])


def measured_report(measured: Measured) -> str:
    """How good a chooser is, as Markdown."""
    lines = figures_table(measured.figures)
    if measured.weighed:
        rows = [(f"{weight:g}", f"{100 * score:.1f}", f"{usd:.6f}") for weight, score, usd in measured.weighed]
        lines += ["", *table([("quality weight", "score", "USD each"), *rows])]
    return "\n".join(lines)


def figures_table(figures: Iterable[Figure]) -> list[str]:
    """Figures as the lines of a table, scores in percent; columns that none of them has are left out."""
    rows = [HEAD, *map(_cells, figures)]
    used = [column for column in range(len(HEAD)) if any(row[column] for row in rows[1:])]
    return table([[row[column] for column in used] for row in rows])


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows, the first of them the heads, as lines of Markdown that are columns in a terminal too."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    rule = [f"{'-' * (width - (column > 0))}{':' * (column > 0)}" for column, width in enumerate(widths)]
    lines = [cells[0], rule, *cells[1:]]
    aligned = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in lines]
    return [f"| {' | '.join(row)} |" for row in aligned]


def _cells(figure: Figure) -> tuple[str, ...]:
    low, high = figure.interval or (math.nan, math.nan)
    return (
        figure.name,
        f"{100 * figure.score:.1f}",
        f"{100 * low:+.1f} to {100 * high:+.1f}" if figure.interval else "",
        f"{figure.curve:.3f}" if figure.curve is not None else "",
        f"{figure.cost_usd:.6f}" if figure.cost_usd is not None else "",
    )
