"""How far a training in batches is, and how long the rest of it takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

Tell: TypeAlias = Callable[[str], object]
"""Is told how far something is, in a line that takes the place of the one before."""

RECENT = 32
"""Batches whose mean loss is told: a single one says little."""


def unheard(line: str) -> None:
    """A `Tell` of which nothing is shown."""


class Course:
    """Counts the batches of a training that has just begun."""

    def __init__(self, epochs: int, batches: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin; the time counts from here.

        Args:
            epochs: How often all examples are seen.
            batches: Of each epoch.
            clock: Counts seconds.
        """
        self._epochs, self._batches, self._clock = epochs, batches, clock
        self._begun, self._done = clock(), 0
        self._losses: deque[float] = deque(maxlen=RECENT)

    def after(self, loss: float) -> str:
        """Count a batch, and say how far the training is, at the pace so far."""
        self._done += 1
        self._losses.append(loss)
        epoch, batch = divmod(self._done - 1, self._batches)
        left = (self._clock() - self._begun) / self._done * (self._epochs * self._batches - self._done)
        return (
            f"epoch {epoch + 1} of {self._epochs}, batch {batch + 1:,} of {self._batches:,}, "
            f"{left:.0f} s left, log loss {sum(self._losses) / len(self._losses):.3f}"
        )
