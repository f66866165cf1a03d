"""Labels of points that lie above one another: stacked beside them in the order of the points, so that no two of the
lines that lead to them cross."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.page.boxes import HEIGHT, Box, Placed, around

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.evaluation.mixtures.page.boxes import Point

_BROAD = 12
"""Points that are no further apart across, in pixels, lie above one another."""
_ASIDE = 22
"""From the points to their labels."""
_LEAST = 3


def stacked(points: Sequence[Point], widths: Sequence[float], inside: Box) -> dict[int, Placed]:
    """Labels of those points that crowd above one another, by the numbers of the points; of the others there are none.

    Args:
        points: Where they are drawn.
        widths: Of their labels.
        inside: Where labels may stand.
    """
    found: dict[int, Placed] = {}
    for group in _groups(points):
        others = [point for n, point in enumerate(points) if n not in group]
        taken = [*(around(point) for point in others), *(label.box for label in found.values())]
        for sides in ((1, -1), (1,), (-1,)):
            made = dict(_columns(points, widths, inside, group, sides))
            boxes = [label.box for label in made.values()]
            if all(inside.holds(box) and not any(map(box.meets, taken)) for box in boxes):
                found |= made
                break
    return found


def _groups(points: Sequence[Point]) -> Iterator[list[int]]:
    """Numbers of points that have no room for their labels right beside them, from top to bottom."""
    left = sorted(range(len(points)), key=lambda n: points[n])
    while left:
        group = [n for n in left if points[n][0] - points[left[0]][0] <= _BROAD]
        left = [n for n in left if n not in group]
        group.sort(key=lambda n: points[n][1])
        gaps = [points[lower][1] - points[upper][1] for upper, lower in pairwise(group)]
        if len(group) >= _LEAST and min(gaps) < HEIGHT:
            yield group


def _columns(
    points: Sequence[Point], widths: Sequence[float], inside: Box, group: Sequence[int], sides: Sequence[int]
) -> Iterator[tuple[int, Placed]]:
    ends = [points[n][0] for n in group]
    for number, side in enumerate(sides):
        column = group[number :: len(sides)]
        middles = _spread([points[n][1] for n in column], inside.top + HEIGHT / 2, inside.bottom - HEIGHT / 2)
        for n, middle in zip(column, middles, strict=True):
            edge = max(ends) + _ASIDE if side > 0 else min(ends) - _ASIDE
            left = edge if side > 0 else edge - widths[n]
            box = Box(left, middle - HEIGHT / 2, left + widths[n], middle + HEIGHT / 2)
            yield n, Placed(box, (*points[n], edge, middle))


def _spread(wanted: Sequence[float], low: float, high: float) -> list[float]:
    """Places at least the height of a label apart, in the same order and as near to the wanted ones as can be (least
    squares, by pooling adjacent violators)."""
    pools: list[tuple[float, int]] = []
    for n, value in enumerate(wanted):
        total, many = value - n * HEIGHT, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / many:
            before, of = pools.pop()
            total, many = total + before, many + of
        pools.append((total, many))
    most = high - (len(wanted) - 1) * HEIGHT
    firsts = [max(low, min(total / many, most)) for total, many in pools for _ in range(many)]
    return [first + n * HEIGHT for n, first in enumerate(firsts)]
