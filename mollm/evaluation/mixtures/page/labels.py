"""Names beside points: where each stands so that none lies on another, on a point or outside of the drawing."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FONT = 12
"""Pixels."""
HEIGHT = 16
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
        steps = max(2, math.ceil(math.hypot(to_x - x, to_y - y) / 6))
        for n in range(steps + 1):
            at_x, at_y = x + (to_x - x) * n / steps, y + (to_y - y) * n / steps
            if self.left <= at_x <= self.right and self.top <= at_y <= self.bottom:
                return True
        return False


Line = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a label stands, and the line that leads to it from its point, if it is far."""

    box: Box
    leader: Line | None


def width_of(text: str, font: float = FONT) -> float:
    """How wide a text is at most in the fonts that browsers have, in pixels."""
    return font * sum(map(_width, text)) + 2


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
        if not inside.holds(box) or any(box.meets(other) for other in taken):
            continue
        candidate = Placed(box, (*point, *box.nearest(*point)) if far > _NEAR else None)
        worth = far + _spoils(candidate, placed, lines) + _CONFUSES * _confuses(box, point, far, points)
        if found is None or worth < found[0]:
            found = worth, candidate
    return found[1] if found else None


def _confuses(box: Box, point: tuple[float, float], far: float, points: Sequence[tuple[float, float]]) -> int:
    """How many other points are about as near to it as its own."""
    return sum(other != point and math.dist(other, box.nearest(*other)) < far + 4 for other in points)


def _spoils(candidate: Placed, placed: Sequence[Placed], lines: Sequence[Line]) -> float:
    """What it covers and crosses, as a distance."""
    covers = sum(candidate.box.is_crossed(line) for line in lines)
    crosses = sum(other.leader is not None and candidate.box.is_crossed(other.leader) for other in placed)
    if candidate.leader:
        crosses += sum(other.box.is_crossed(candidate.leader) for other in placed)
    return covers * _COVERS + crosses * _CROSSES


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
