"""From values to places on an axis, and the round values that are written beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_BROAD = 10
"""An axis whose values span more than this factor is logarithmic."""
_CLOSE = 0.4
"""An axis of values that are all more than this share of the largest does not start at 0."""
_SLOT = 34
"""Pixels at the start of a logarithmic axis that are kept for 0, which has no logarithm."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from `low` to `high`, drawn from `start` to `end` in pixels."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False
    zero: float | None = None
    """Where 0 is drawn on a logarithmic axis, if it is."""

    def at(self, value: float) -> float:
        """Where a value is drawn."""
        if self.is_log and value <= 0:
            return self.start if self.zero is None else self.zero
        low, high, here = (math.log10(v) if self.is_log else v for v in (self.low, self.high, value))
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Round values, about `most` of them."""
        if not self.is_log:
            return _round_values(self.low, self.high, most)
        shown = _round_decades(self.low, self.high, most)
        return shown if self.zero is None else [0.0, *shown]


def linear(values: Sequence[float], start: float, end: float, bounds: tuple[float, float] | None = None) -> Axis:
    """An axis on which all values have room.

    Args:
        values: At least one.
        start: Where it starts, in pixels.
        end: Where it ends.
        bounds: It does not reach beyond these, if no value does.
    """
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 0.05
    ends = low - room, high + room
    if bounds and bounds[0] <= low and high <= bounds[1]:
        ends = max(ends[0], bounds[0]), min(ends[1], bounds[1])
    return Axis(*ends, start, end)


def of_costs(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis of what is not negative: logarithmic where the values span more than a factor of ten."""
    paid = [value for value in values if value > 0]
    if not paid or max(paid) <= _BROAD * min(paid):
        begin = 0.0 if min(values) < _CLOSE * max(values) else min(values)
        return linear([begin, *values], start, end, (0.0, math.inf))
    is_free = len(paid) < len(values)
    first = start + (2 * _SLOT if is_free else 0)
    room = (max(paid) / min(paid)) ** 0.06
    return Axis(min(paid) / room, max(paid) * room, first, end, True, start + _SLOT / 2 if is_free else None)


def _round_values(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / max(1, most)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * n for n in range(first, first + most + 2) if step * n <= high + step * 1e-9]


def _round_decades(low: float, high: float, most: int) -> list[float]:
    """1, 2, 5, 10, ...; 1, 3, 10, ... or whole powers of ten where there are many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [f * 10.0**n for n in range(first, last + 1) for f in factors if low <= f * 10.0**n <= high]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]
