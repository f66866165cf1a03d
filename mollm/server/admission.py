"""How many requests are worked on, how many wait, and what ends one before its time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from mollm.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping

    Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]

log = logging.getLogger("mollm.server")

LONGEST_END = 5.0
"""Seconds that a request may take to end once it is told to."""
LONGEST_WAIT = 60.0
"""Seconds a client is told to wait at most before it tries again."""


class ClientGone(Exception):
    """The client closed the connection; there is nobody to answer."""


class Admission:
    """Lets in so many requests at once, and so many more wait in the order in which they came.

    Attributes:
        in_flight: Requests that are worked on.
        is_draining: No more are let in; those inside may finish.
    """

    def __init__(self, max_in_flight: int, queue: int) -> None:
        self._room, self._queue = max_in_flight, queue
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._inside: set[Slot] = set()
        self._seconds = 1.0
        self.in_flight = 0
        self.is_draining = False

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    def resize(self, max_in_flight: int, queue: int) -> None:
        """Change the bounds; who is inside stays."""
        self._room, self._queue = max_in_flight, queue
        self._let_in()

    @asynccontextmanager
    async def slot(self, receive: Receive) -> AsyncGenerator[Slot, None]:
        """Wait for room, and hold it while the block runs.

        The block is cancelled when the client goes away, or when draining takes too long.

        Args:
            receive: Of ASGI, after the body was read: what comes next is the end of the connection.

        Raises:
            Overloaded: The queue is full, or the server is about to stop.
            ClientGone: The client went away.
        """
        slot = Slot(receive)
        self._inside.add(slot)
        loop = asyncio.get_running_loop()
        try:
            async with slot:
                await self._enter()
                begun = loop.time()
                try:
                    yield slot
                finally:
                    self._leave(loop.time() - begun)
        finally:
            self._inside.discard(slot)

    async def drained(self, seconds: float) -> None:
        """Let nobody in any more, wait for those inside, and after `seconds` end what still runs."""
        self.is_draining = True
        while self._waiting:
            if not (place := self._waiting.popleft()).done():
                place.set_exception(self._stopping())
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self._inside and loop.time() < until:  # noqa: ASYNC110 - a server stops once; not worth an event
            await asyncio.sleep(0.05)
        for slot in self._inside:
            slot.end(self._stopping())
        until = loop.time() + LONGEST_END
        while self._inside and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if self._inside:
            log.error("%d requests did not end when they were told to", len(self._inside))

    async def _enter(self) -> None:
        if self.is_draining:
            raise self._stopping()
        if self.in_flight < self._room and not self._waiting:
            self.in_flight += 1
            return
        if len(self._waiting) >= self._queue:
            raise Overloaded(
                f"{self.in_flight} requests are in flight and {len(self._waiting)} waiting, which is all there is "
                "room for",
                retry_after_seconds=self._retry_after(),
            )
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.in_flight -= 1  # it was let in at the moment at which it gave up
                self._let_in()
            raise
        finally:
            if place in self._waiting:
                self._waiting.remove(place)

    def _leave(self, seconds: float) -> None:
        self._seconds += (seconds - self._seconds) / 16
        self.in_flight -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self.in_flight < self._room:
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)

    def _stopping(self) -> Overloaded:
        return Overloaded("the server is about to stop", retry_after_seconds=self._retry_after())

    def _retry_after(self) -> float:
        # As long as it takes until those who wait have been served, at the pace of late.
        return min(LONGEST_WAIT, self._seconds * (1 + len(self._waiting) / self._room))


class Slot:
    """A block of the current task that can be ended for a reason: the client's going, or ours."""

    __slots__ = ("_cancelled", "_is_over", "_receive", "_task", "_watcher", "reason")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.reason: Exception | None = None
        self._is_over = False

    async def __aenter__(self) -> None:
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelled = self._task.cancelling()
        self._watcher = asyncio.create_task(self._watch())

    async def __aexit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._watcher.cancel()
        self._is_over = True
        if self.reason is None:
            return
        # As `asyncio.timeout` does it: our cancellation is taken back, somebody else's goes on.
        is_ours = self._task.uncancel() <= self._cancelled
        if is_ours and isinstance(error, asyncio.CancelledError):
            raise self.reason from None

    def end(self, reason: Exception) -> None:
        """Cancel the block; it raises `reason`."""
        if self.reason is None and not self._is_over:
            self.reason = reason
            self._task.cancel()

    async def _watch(self) -> None:
        # Asked once: what follows a body is the end of the connection, and an application in front of this one may
        # answer at once with the body again, for ever.
        if (await self._receive())["type"] == "http.disconnect":
            self.end(ClientGone())
