"""Names beside points: where each stands so that none lies on another, on a point or outside of the drawing."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.page.boxes import HEIGHT, POINT, Box, Placed, around, cross, is_on
from mollm.evaluation.mixtures.page.columns import stacked
from mollm.evaluation.mixtures.page.words import squeezed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.evaluation.mixtures.page.boxes import Line, Point

FONT = 12
"""Pixels."""
BOLD = 1.1
"""How much wider a name is in bold."""
_NARROW, _WIDE = "iIjl.,:;'|!()[] ", "mwMW@%\u2026"
_NEAR = 15
"""A label further from its point than this has a line that leads to it."""
_CROSSES, _COVERS, _CONFUSES = 80, 30, 6
"""What a leading line across another label, point or leading line, a label on a line, and one that is as near to
another point, and so has a leading line, are worth, in pixels of distance."""
_ASIDE = (11, 17, 30, 50, 80)
_UP = (*range(-112, -40, 12), *range(-40, 41, 4), *range(52, 113, 12))
"""How far to the side and up or down of a point a label is tried."""
_ABOVE = (11, 14, 18, 26, 36)
"""How far above or below it is tried in the middle."""


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
    points: Sequence[Point], widths: Sequence[float], inside: Box, lines: Sequence[Line] = ()
) -> list[Placed] | None:
    """A place for the label of each point; None where there is no room for all of them.

    Args:
        points: Where they are drawn, the one that matters most first.
        widths: Of the labels.
        inside: Where labels may stand.
        lines: What else is drawn, on which a label lies only where it has to.
    """
    room = _Room(points, inside, lines)
    placed = stacked(points, widths, inside)
    for n, (point, width) in enumerate(zip(points, widths, strict=True)):
        if n in placed:
            continue
        best = room.best(point, width, list(placed.values()))
        if best is None:
            return None
        placed[n] = best
    return [placed[n] for n in range(len(points))]


@dataclass(frozen=True, slots=True)
class _Room:
    """What labels are placed among."""

    points: Sequence[Point]
    inside: Box
    lines: Sequence[Line]

    def best(self, point: Point, width: float, placed: Sequence[Placed]) -> Placed | None:
        """The nearest place that spoils the least; None where all is taken."""
        taken = [*(around(other) for other in self.points), *(other.box for other in placed)]
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
        self, point: Point, box: Box, far: float, placed: Sequence[Placed], most: float
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

    def _crossings(self, point: Point, box: Box, leader: Line | None, placed: Sequence[Placed]) -> Iterator[bool]:
        """Once for each leading line on a label or on another one, or on a point."""
        leaders = [other.leader for other in placed if other.leader]
        yield from filter(None, map(box.is_crossed, leaders))
        if leader is None:
            return
        yield from (True for other in self.points if math.dist(other, point) > POINT and is_on(leader, other))
        yield from (True for other in leaders if cross(leader, other))
        yield from (True for other in placed if other.box.is_crossed(leader))


def _near(point: Point, width: float, inside: Box) -> Iterator[tuple[float, float, float]]:
    """Places around a point, the near ones first, and in the end all of the drawing: how far each is, its left side and
    its top."""
    x, y = point
    right, bottom = inside.right - width, inside.bottom - HEIGHT
    for far, across, up in _beside(width):
        left, top = x + across, y + up
        if inside.left <= left <= right and inside.top <= top <= bottom:
            yield far, left, top
    rows = (
        (math.dist(point, Box(*at, at[0] + width, at[1] + HEIGHT).nearest(x, y)), *at) for at in _rows(width, inside)
    )
    yield from sorted(rows)


@lru_cache(maxsize=64)
def _beside(width: float) -> list[tuple[float, float, float]]:
    """Where a label may stand around a point at (0, 0): how far, its left side and its top."""
    places = [(left, up - HEIGHT / 2) for wide in _ASIDE for left in (wide, -wide - width) for up in _UP]
    middle = (-width / 2, -width * 0.25, -width * 0.75)
    places += [(left, top) for far in _ABOVE for top in (-far - HEIGHT, far) for left in middle]
    boxes = (Box(left, top, left + width, top + HEIGHT) for left, top in places)
    return sorted(((math.hypot(*box.nearest(0, 0)), box.left, box.top) for box in boxes), key=lambda row: row[0])


def _rows(width: float, inside: Box) -> Iterator[Point]:
    for row in range(int((inside.bottom - inside.top) / HEIGHT)):
        for column in range(1 + int(max(0.0, inside.right - inside.left - width) / 24)):
            yield inside.left + column * 24, inside.top + row * HEIGHT
