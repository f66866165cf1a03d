"""Names beside points: where each stands so that none lies on another, on a point or outside of the drawing."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.page.words import squeezed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FONT = 12
"""Pixels."""
HEIGHT = 16
BOLD = 1.1
"""How much wider a name is in bold."""
_NARROW, _WIDE = "iIjl.,:;'|!()[] ", "mwMW@%\u2026"
_NEAR = 15
"""A label further from its point than this has a line that leads to it."""
_CROSSES, _COVERS, _CONFUSES = 60, 20, 20
"""What a leading line across another label, a label on a line, and one that is nearer to another point, are worth, in
pixels of distance."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """They have a point in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def holds(self, other: Box) -> bool:
        """All of the other lies in it."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Its point that is nearest to another."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)

    def is_crossed(self, line: Line) -> bool:
        """A line goes through it."""
        x, y, to_x, to_y = line
        if (
            max(x, to_x) < self.left
            or self.right < min(x, to_x)
            or max(y, to_y) < self.top
            or self.bottom < min(y, to_y)
        ):
            return False
        corners = [(a, b) for a in (self.left, self.right) for b in (self.top, self.bottom)]
        sides = [(to_x - x) * (b - y) - (to_y - y) * (a - x) for a, b in corners]
        return min(sides) <= 0 <= max(sides)


Line = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a label stands, and the line that leads to it from its point, if it is far."""

    box: Box
    leader: Line | None


def width_of(text: str) -> float:
    """How wide a text is at most in the fonts that browsers have, in pixels."""
    return FONT * sum(map(_width, text)) + 2


def fitted(text: str, pixels: float, most: int = 28) -> str:
    """A name of one line with `most` characters at most, as much of it as fits; it is cut in the middle."""
    while most > 2 and width_of(squeezed(text, most)) > pixels:
        most -= 1
    return squeezed(text, most)


def _width(letter: str) -> float:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0.0
    if letter in _WIDE:
        return 1.02
    if letter in _NARROW:
        return 0.42
    if not letter.isascii():
        return 1.1
    return 0.78 if letter.isupper() or letter in "&<>=+~#$" else 0.65


def place(
    points: Sequence[tuple[float, float]], widths: Sequence[float], inside: Box, lines: Sequence[Line] = ()
) -> list[Placed] | None:
    """A place for the label of each point; None where there is no room for all of them.

    Args:
        points: Where they are drawn, the one that matters most first.
        widths: Of the labels.
        inside: Where labels may stand.
        lines: What else is drawn, on which a label lies only where it has to.
    """
    placed: list[Placed] = []
    for point, width in zip(points, widths, strict=True):
        best = _best(point, width, inside, points, placed, lines)
        if best is None:
            return None
        placed.append(best)
    return placed


def _best(
    point: tuple[float, float],
    width: float,
    inside: Box,
    points: Sequence[tuple[float, float]],
    placed: Sequence[Placed],
    lines: Sequence[Line],
) -> Placed | None:
    taken = [*(Box(x - 7, y - 7, x + 7, y + 7) for x, y in points), *(other.box for other in placed)]
    found: tuple[float, Placed] | None = None
    for least, box in _near(point, width, inside):
        if found and least >= found[0]:
            break
        far = math.dist(point, box.nearest(*point))
        if (found and far >= found[0]) or not inside.holds(box) or any(box.meets(other) for other in taken):
            continue
        candidate = Placed(box, (*point, *box.nearest(*point)) if far > _NEAR else None)
        worth = far + _spoils(candidate, point, points, placed)
        if found and worth >= found[0]:
            continue
        worth += _COVERS * sum(1 for _ in islice(filter(box.is_crossed, lines), 2))
        if found is None or worth < found[0]:
            found = worth, candidate
    return found[1] if found else None


def _spoils(
    candidate: Placed, point: tuple[float, float], points: Sequence[tuple[float, float]], placed: Sequence[Placed]
) -> float:
    """How far it crosses other names, or might be taken for that of another point, as a distance."""
    box, leader = candidate.box, candidate.leader
    far = math.dist(point, box.nearest(*point))
    worth = 0.0
    if any(other != point and math.dist(other, box.nearest(*other)) < far + 4 for other in points):
        worth += _CONFUSES
    if any(other.leader is not None and box.is_crossed(other.leader) for other in placed):
        worth += _CROSSES
    if leader and any(other.box.is_crossed(leader) for other in placed):
        worth += _CROSSES
    return worth


def _near(point: tuple[float, float], width: float, inside: Box) -> Iterator[tuple[float, Box]]:
    """Places around a point, each with how far it is at least, the near ones first; in the end all of the drawing."""
    x, y = point
    for far in (9, 12, 18, 26, 36, 48, 64, 84, 108):
        beside = (x + far, x - far - width)
        above = (x - width / 2, x - width * 0.25, x - width * 0.75)
        places = [
            *((left, top) for top in (y - HEIGHT / 2, y - far - HEIGHT, y + far) for left in beside),
            *((left, top) for top in (y - far - HEIGHT, y + far) for left in above),
        ]
        yield from ((far, Box(left, top, left + width, top + HEIGHT)) for left, top in places)
    rows = ((math.dist(point, box.nearest(x, y)), box) for box in _rows(width, inside))
    yield from sorted(rows, key=lambda row: row[0])


def _rows(width: float, inside: Box) -> Iterator[Box]:
    for row in range(int((inside.bottom - inside.top) / HEIGHT)):
        top = inside.top + row * HEIGHT
        for column in range(1 + int(max(0.0, inside.right - inside.left - width) / 24)):
            left = inside.left + column * 24
            yield Box(left, top, left + width, top + HEIGHT)
