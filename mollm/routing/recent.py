"""The threshold that leaves a wanted share of recent questions in doubt."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, insort
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.routing.decision import Decision

LEAST = 50
"""Questions before which nothing is moved."""


class Recent:
    """What a router thought likeliest of its last questions, in this process, since it was built.

    Safe from several threads. The same questions in the same order bring the same thresholds.
    """

    def __init__(self, rate: float, bounds: tuple[float, float], most: int) -> None:
        """Know no question yet.

        Args:
            rate: The share of questions that is to be in doubt, above 0 and below 1.
            bounds: The least and the highest threshold, 0 to 1.
            most: How many questions are recent, at least `LEAST`.

        Raises:
            ConfigError: One of them is out of range.
        """
        if not 0.0 < rate < 1.0 or not 0.0 <= bounds[0] <= bounds[1] <= 1.0 or most < LEAST:
            raise ConfigError(f"no threshold can be moved for a share of {rate!r} within {bounds!r} over {most!r}")
        self.rate, self.bounds = rate, bounds
        self.enough = min(most, max(LEAST, math.ceil(1.0 / rate)))
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []
        self._most = most
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._latest)

    def note(self, weight: float) -> None:
        """Add a question: the probability that was held against the threshold, 0 to 1, or 0 for one not known."""
        weight = weight if weight == weight else 0.0  # NaN has no place in an order
        with self._lock:
            if len(self._latest) == self._most:
                del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
            self._latest.append(weight)
            insort(self._sorted, weight)

    def threshold(self) -> float | None:
        """The highest threshold, within the bounds, that leaves at most the wanted share in doubt.

        None until enough questions were noted.
        """
        with self._lock:
            if len(self._sorted) < self.enough:
                return None
            at = self._sorted[int(self.rate * len(self._sorted))]
        return min(max(at, self.bounds[0]), self.bounds[1])

    def applied(self, decision: Decision) -> Decision:
        """Return `decision` with the threshold that recent questions bring."""
        threshold = self.threshold()
        if threshold is None:
            return decision
        return replace(decision, threshold=threshold, why=f" ({len(self)} recent questions set it)")


def moved(router: object, where: str = "router") -> Iterator[tuple[str, float]]:
    """The thresholds, 0 to 1, that recent questions set in a router and the members of a chain, by where they stand."""
    recent = getattr(router, "recent", None)
    threshold = recent.threshold() if isinstance(recent, Recent) else None
    if threshold is not None:
        yield where, threshold
    for index, member in enumerate(getattr(router, "members", ())):
        yield from moved(member, f"{where}.members[{index}]")
