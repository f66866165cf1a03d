"""How long the next piece of a stream is waited for, without a timer for every piece."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import TypeVar

    T = TypeVar("T")

LOOKS_PER_IDLE = 8
"""How often somebody looks while the reader of a stream is busy with what it got."""


class Patience:
    """Ends a wait that has lasted `idle` seconds, or that is still going on at `until`.

    `asyncio.timeout` sets and cancels a timer for every wait, which costs more than reading a piece of a
    stream. Here one timer looks now and then whether the wait that is going on has lasted too long, and is set
    to the moment at which it would have.
    """

    def __init__(self, idle: float, until: float) -> None:
        """Count in seconds and on the clock of the running loop; waits are those of the running task."""
        self._idle, self._until = idle, until
        self._loop = asyncio.get_running_loop()
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelled = self._task.cancelling()
        self._since: float | None = None
        self._is_over = False
        self._timer = self._loop.call_at(min(until, self._loop.time() + idle), self._look)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    async def next(self, pieces: AsyncIterator[T]) -> T:
        """Return the next of `pieces`.

        Raises:
            TimeoutError: It did not come in time.
            StopAsyncIteration: There is none.
        """
        self._since = self._loop.time()
        try:
            return await anext(pieces)
        except asyncio.CancelledError:
            if self._is_over and self._task.uncancel() <= self._cancelled:
                raise TimeoutError from None
            raise
        finally:
            self._since = None

    def _look(self) -> None:
        now = self._loop.time()
        if self._since is None:  # the reader is busy; that may take as long as it likes
            due = now + self._idle / LOOKS_PER_IDLE
        else:
            due = min(self._until, self._since + self._idle)
            if due <= now:
                self._is_over = True
                self._task.cancel()
                return
        self._timer = self._loop.call_at(due, self._look)
