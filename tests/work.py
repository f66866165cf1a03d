"""How the work on a text grows with it: a ratio of two lengths, whatever machine this is and whatever else it does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES = 4
"""The longer text is so many times the shorter one."""
LINEAR = 2.5 * TIMES
"""Work that is linear grows less than this, and the square of the length gives `TIMES` squared."""
_NEGLIGIBLE = 0.02
"""Seconds of CPU; less says nothing about growth, and harms nobody."""


def growth(work: Callable[[str], object], text: Callable[[int], str], length: int = 8_000) -> float:
    """Return how many times the work on `text(length)` that on `text(TIMES * length)` is; 1 where it is negligible.

    CPU time of this thread, the least of a few: other work on the machine only adds to it.
    """
    small, large = text(length), text(TIMES * length)
    ratio = 1.0
    for _ in range(4):
        longer = _seconds(work, large)
        ratio = longer / max(_seconds(work, small), _NEGLIGIBLE / TIMES) if longer > _NEGLIGIBLE else 1.0
        if ratio < LINEAR:
            break
    return ratio


def repeated(before: str, piece: str, after: str) -> Callable[[int], str]:
    """Texts of a given length that are `piece` again and again between `before` and `after`."""
    return lambda length: before + piece * (length // len(piece)) + after


def _seconds(work: Callable[[str], object], text: str) -> float:
    begun = time.thread_time()
    work(text)
    return time.thread_time() - begun
