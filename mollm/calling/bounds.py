"""How long a call may take, and how many calls an LLM may have in flight."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

from mollm.errors import TimedOut

if TYPE_CHECKING:
    from mollm.errors import LLMError


class Clock:
    """Until when a call may run, on the event loop's clock, and whose limit that is.

    Attributes:
        now: Reads the event loop's clock.
        until: The end of the call, with its retries.
    """

    __slots__ = ("_deadline", "now", "until")

    def __init__(self, seconds: float, deadline: float | None) -> None:
        """Begin now; the call may take so many seconds, and no longer than to the caller's `deadline`."""
        self.now = asyncio.get_running_loop().time
        self._deadline = deadline
        until = self.now() + seconds
        self.until = until if deadline is None else min(until, deadline)

    def ended_by_caller(self, error: LLMError) -> bool:
        """The caller's time ran out, which says nothing about the LLM."""
        return isinstance(error, TimedOut) and self._deadline is not None and self.now() >= self._deadline


class Slots:
    """As many calls in flight on one event loop as `most` says; None: any number."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        # A semaphore belongs to one event loop.
        self._of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]
        self._of_loop = weakref.WeakKeyDictionary()

    def slot(self, clock: Clock, llm: str) -> Slot:
        """A slot for one call to the LLM of that name, waited for no longer than the call may run."""
        semaphore = None
        if self._most is not None:
            loop = asyncio.get_running_loop()
            semaphore = self._of_loop.get(loop)
            if semaphore is None:
                semaphore = self._of_loop[loop] = asyncio.Semaphore(self._most)
        return Slot(semaphore, clock, llm)


class Slot:
    """The right to one call, held inside `async with`. Raises `TimedOut` where none becomes free in time."""

    __slots__ = ("_clock", "_llm", "_semaphore")

    def __init__(self, semaphore: asyncio.Semaphore | None, clock: Clock, llm: str) -> None:
        self._semaphore, self._clock, self._llm = semaphore, clock, llm

    async def __aenter__(self) -> None:
        if self._semaphore is None:
            return
        try:
            async with asyncio.timeout_at(self._clock.until):
                await self._semaphore.acquire()
        except TimeoutError:
            raise TimedOut("its calls in flight left no place in time", llm=self._llm) from None

    async def __aexit__(self, *_: object) -> None:
        if self._semaphore is not None:
            self._semaphore.release()
