"""Until when proposals may be compared, so that time is left for the answer."""

from __future__ import annotations

import asyncio
import math


def latest(deadline: float | None, share: float, seconds: float = math.inf) -> float:
    """Until when to wait, on the event loop's clock.

    Args:
        deadline: Of the question; None: it has none.
        share: How much of the time until then may be taken, 0 to 1.
        seconds: The most that may be taken in any case.
    """
    now = asyncio.get_running_loop().time()
    return now + (seconds if deadline is None else min(seconds, share * (deadline - now)))
