"""Names beside points: where each stands so that none lies on another, on a point or outside of the drawing."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
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
_CROSSES, _COVERS, _CONFUSES = 80, 30, 6
"""What a leading line across another label, point or leading line, a label on a line, and one that is as near to
another point, and so has a leading line, are worth, in pixels of distance."""
_POINT = 7
"""Around each point so much is kept free of labels, and a little less of leading lines."""
_ASIDE = (9, 16, 30, 50, 80)
_UP = (*range(-112, -40, 12), *range(-40, 41, 4), *range(52, 113, 12))
"""How far to the side and up or down of a point a label is tried."""
_ABOVE = (9, 12, 18, 26, 36)
"""How far above or below it is tried in the middle."""
_ROUNDS, _FEW = 2, 24
"""In which labels are placed again, now that the others are known, if these are no more."""


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
    is_clear: bool = True
    """Its leading line crosses nothing."""


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
    room = _Room(points, inside, lines)
    placed: list[Placed] = []
    for point, width in zip(points, widths, strict=True):
        best = room.best(point, width, placed)
        if best is None:
            return None
        placed.append(best)
    for _ in range(_ROUNDS if len(points) <= _FEW else 0):
        before = list(placed)
        for n, (point, width) in enumerate(zip(points, widths, strict=True)):
            if placed[n].leader is None:
                continue
            placed[n] = room.best(point, width, [*placed[:n], *placed[n + 1 :]]) or placed[n]
        if placed == before:
            break
    return placed


@dataclass(frozen=True, slots=True)
class _Room:
    """What labels are placed among."""

    points: Sequence[tuple[float, float]]
    inside: Box
    lines: Sequence[Line]

    def best(self, point: tuple[float, float], width: float, placed: Sequence[Placed]) -> Placed | None:
        """The nearest place that spoils the least; None where all is taken."""
        taken = [*(_around(other, _POINT) for other in self.points), *(other.box for other in placed)]
        sides = [(box.left, box.top, box.right, box.bottom) for box in taken]
        most, found = math.inf, None
        for far, left, top in _near(point, width, self.inside):
            if far >= most:
                break
            right, bottom = left + width, top + HEIGHT
            if any(left < r and le < right and top < b and t < bottom for le, t, r, b in sides):
                continue
            if better := self._weighed(point, Box(left, top, right, bottom), far, placed, most):
                most, found = better
        return found

    def _weighed(
        self, point: tuple[float, float], box: Box, far: float, placed: Sequence[Placed], most: float
    ) -> tuple[float, Placed] | None:
        """What a place is worth, as a distance, and the label there; None if that is no less than `most`."""
        others = [other for other in self.points if other != point]
        is_unclear = any(math.dist(other, box.nearest(*other)) < far + 4 for other in others)
        leader = (*point, *box.nearest(*point)) if far > _NEAR or is_unclear else None
        worth = far + _CONFUSES * is_unclear
        if worth >= most:
            return None
        bearable = 1 + int(min(9.0, (most - worth) / _CROSSES))
        crossed = sum(1 for _ in islice(self._crossings(point, box, leader, placed), bearable))
        worth += _CROSSES * crossed
        if worth < most:
            worth += _COVERS * sum(1 for _ in islice(filter(box.is_crossed, self.lines), 2))
        return (worth, Placed(box, leader, crossed == 0)) if worth < most else None

    def _crossings(
        self, point: tuple[float, float], box: Box, leader: Line | None, placed: Sequence[Placed]
    ) -> Iterator[bool]:
        """Once for each leading line on a label or on another one, or on a point."""
        leaders = [other.leader for other in placed if other.leader]
        yield from filter(None, map(box.is_crossed, leaders))
        if leader is None:
            return
        yield from (True for other in self.points if math.dist(other, point) > _POINT and _is_on(leader, other))
        yield from (True for other in leaders if _cross(leader, other))
        yield from (True for other in placed if other.box.is_crossed(leader))


def _around(point: tuple[float, float], far: float) -> Box:
    x, y = point
    return Box(x - far, y - far, x + far, y + far)


def _is_on(line: Line, point: tuple[float, float]) -> bool:
    return _around(point, _POINT - 3).is_crossed(line)


def _cross(one: Line, other: Line) -> bool:
    """Two lines have a point in common, other than where both begin."""
    return one[:2] != other[:2] and _parts(one, other) and _parts(other, one)


def _parts(line: Line, other: Line) -> bool:
    """The ends of the other lie on different sides of a line."""
    x, y, to_x, to_y = line
    sides = [(to_x - x) * (b - y) - (to_y - y) * (a - x) for a, b in (other[:2], other[2:])]
    return min(sides) < 0 < max(sides)


def _near(point: tuple[float, float], width: float, inside: Box) -> Iterator[tuple[float, float, float]]:
    """Places around a point, the near ones first, and in the end all of the drawing: how far each is, its left side and
    its top."""
    x, y = point
    right, bottom = inside.right - width, inside.bottom - HEIGHT
    for far, across, up in _beside(width):
        left, top = x + across, y + up
        if inside.left <= left <= right and inside.top <= top <= bottom:
            yield far, left, top
    rows = ((math.dist(point, Box(*at, at[0] + width, at[1] + HEIGHT).nearest(x, y)), *at) for at in _rows(width, inside))
    yield from sorted(rows)


@lru_cache(maxsize=64)
def _beside(width: float) -> list[tuple[float, float, float]]:
    """Where a label may stand around a point at (0, 0): how far, its left side and its top."""
    places = [(left, up - HEIGHT / 2) for wide in _ASIDE for left in (wide, -wide - width) for up in _UP]
    middle = (-width / 2, -width * 0.25, -width * 0.75)
    places += [(left, top) for far in _ABOVE for top in (-far - HEIGHT, far) for left in middle]
    boxes = (Box(left, top, left + width, top + HEIGHT) for left, top in places)
    return sorted(((math.hypot(*box.nearest(0, 0)), box.left, box.top) for box in boxes), key=lambda row: row[0])


def _rows(width: float, inside: Box) -> Iterator[tuple[float, float]]:
    for row in range(int((inside.bottom - inside.top) / HEIGHT)):
        for column in range(1 + int(max(0.0, inside.right - inside.left - width) / 24)):
            yield inside.left + column * 24, inside.top + row * HEIGHT
