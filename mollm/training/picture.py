"""A confusion matrix as a picture: SVG that needs nothing else, in the colors of a light or a dark page."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.evaluation.metrics import Ints

MOST = 150
"""Labels that are drawn; of more, those that are confused most."""
LONGEST = 28
"""Characters of a label that are written; all of it is in the tooltip."""
NUMBERED = 30
"""Up to so many labels, numbers stand in the cells."""
STYLE = """
.page { fill: #ffffff } .frame { fill: none; stroke: #c8ccd2 } .line { stroke: #eceef1 }
text { fill: #24292f; font-family: system-ui, "DejaVu Sans", sans-serif }
.quiet { fill: #656d76 } .right { fill: #1f6feb } .wrong { fill: #d1242f } .on { fill: #ffffff }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } .frame { stroke: #484f58 } .line { stroke: #21262d }
text { fill: #e6edf3 } .quiet { fill: #9198a1 } .right { fill: #58a6ff } .wrong { fill: #ff7b72 } .on { fill: #0d1117 }
}"""


def picture(labels: Sequence[str], confusion: Ints) -> str:
    """Draw a confusion matrix.

    Args:
        labels: Their names, K of them.
        confusion: Shape (K, K): how often a label (row) was taken for another (column).
    """
    total = len(labels)
    if total > MOST:
        wrong = confusion - np.diag(np.diag(confusion))
        kept = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:MOST])
        labels, confusion = [labels[index] for index in kept], confusion[np.ix_(kept, kept)]
    cell, font = _sizes(len(labels))
    names = [_short(label) for label in labels]
    margin = math.ceil(max(map(_columns, names)) * font * 0.62) + 14
    left, top = margin + 22, margin + 44
    side = cell * len(labels)
    width, height = max(left + side + 24, 380), top + side + 24
    note = f" (the {MOST} of {total} labels that are confused most)" if total > MOST else ""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-label="Confusion matrix">',
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            f'<text x="12" y="20" font-size="13">Held-out questions: rows as labeled, columns as routed{note}</text>',
            '<text class="quiet" x="12" y="36" font-size="11">Blue: right. Red: confused. '
            "Stronger: a larger share of the row.</text>",
            *_grid(left, top, side, cell, len(labels)),
            *_names(names, labels, left, top, cell, font),
            *_cells(labels, confusion, left, top, cell, font),
            f'<rect class="frame" x="{left}" y="{top}" width="{side}" height="{side}"/>',
            "</svg>\n",
        ]
    )


def _sizes(labels: int) -> tuple[int, int]:
    """Side of a cell and size of a letter, in pixels: a cell is never lower than a line of text."""
    if labels <= 12:
        return 44, 13
    if labels <= NUMBERED:
        return 28, 12
    return (16, 11) if labels <= 80 else (11, 9)


def _grid(left: int, top: int, side: int, cell: int, labels: int) -> Iterator[str]:
    for index in range(1, labels):
        at = index * cell
        yield f'<path class="line" d="M{left} {top + at}h{side}M{left + at} {top}v{side}"/>'


def _names(names: Sequence[str], labels: Sequence[str], left: int, top: int, cell: int, font: int) -> Iterator[str]:
    """Each name beside its row and, standing upright, above its column."""
    for index, (name, label) in enumerate(zip(names, labels, strict=True)):
        middle, text = index * cell + cell / 2 + font * 0.35, f"<title>{_xml(label)}</title>{_xml(name)}"
        yield f'<text x="{left - 6}" y="{top + middle:.1f}" font-size="{font}" text-anchor="end">{text}</text>'
        x, y = left + middle, top - 6
        turned = f'transform="rotate(-90 {x:.1f} {y})"'
        yield f'<text x="{x:.1f}" y="{y}" font-size="{font}" {turned}>{text}</text>'


def _cells(labels: Sequence[str], confusion: Ints, left: int, top: int, cell: int, font: int) -> Iterator[str]:
    sums = np.maximum(confusion.sum(axis=1), 1)
    for row, column in np.argwhere(confusion):
        count = int(confusion[row, column])
        share = count / sums[row]
        # The root: one of a hundred would hardly be seen otherwise.
        shade = 0.12 + 0.88 * math.sqrt(share)
        x, y = left + column * cell, top + row * cell
        kind = "right" if row == column else "wrong"
        told = f"{labels[row]} as {labels[column]}: {count} of {sums[row]}"
        yield (
            f'<rect class="{kind}" fill-opacity="{shade:.2f}" x="{x}" y="{y}" width="{cell}" height="{cell}">'
            f"<title>{_xml(told)}</title></rect>"
        )
        if len(labels) <= NUMBERED:
            size = min(font, cell * 1.5 / len(str(count)))
            on = ' class="on"' if shade > 0.6 else ""
            at = f'x="{x + cell / 2:.1f}" y="{y + cell / 2 + size * 0.35:.1f}" font-size="{size:.1f}"'
            yield f'<text{on} {at} text-anchor="middle" pointer-events="none">{count}</text>'


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}\u2026"


def _columns(text: str) -> float:
    """How wide a text is, in letters."""
    return sum(1.7 if unicodedata.east_asian_width(letter) in "WF" else 1.0 for letter in text)


def _xml(text: str) -> str:
    return escape(printable(text).replace("\ufffe", "").replace("\uffff", ""))
