"""Rectangles, lines and points in pixels: what labels are placed with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

HEIGHT = 16
"""Of a label."""
POINT, _SIGN = 10, 4
"""Around each point so much is kept free of labels, and so much of leading lines."""
_SLACK = 1e-6
"""Of edges that are the same but for rounding."""
Point: TypeAlias = tuple[float, float]
Line: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """They have more than an edge in common."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across > _SLACK and down > _SLACK

    def holds(self, other: Box) -> bool:
        """All of the other lies in it."""
        across = self.left - _SLACK <= other.left and other.right <= self.right + _SLACK
        return across and self.top - _SLACK <= other.top and other.bottom <= self.bottom + _SLACK

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


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a label stands, and the line that leads to it from its point, if it is far."""

    box: Box
    leader: Line | None
    is_clear: bool = True
    """Its leading line crosses nothing."""


def around(point: Point, far: float = POINT) -> Box:
    """The square around a point that is kept free."""
    x, y = point
    return Box(x - far, y - far, x + far, y + far)


def is_on(line: Line, point: Point) -> bool:
    """A line goes through the sign of a point."""
    return around(point, _SIGN).is_crossed(line)


def cross(one: Line, other: Line) -> bool:
    """Two lines have a point in common, other than where both begin."""
    return one[:2] != other[:2] and _parts(one, other) and _parts(other, one)


def _parts(line: Line, other: Line) -> bool:
    """The ends of the other lie on different sides of a line."""
    x, y, to_x, to_y = line
    sides = [(to_x - x) * (b - y) - (to_y - y) * (a - x) for a, b in (other[:2], other[2:])]
    return min(sides) < 0 < max(sides)
