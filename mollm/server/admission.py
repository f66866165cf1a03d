"""How many HTTP requests are worked on, how many wait, and what ends one before its time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Self, cast

from mollm.errors import ClientGone, Overloaded

if TYPE_CHECKING:
    from starlette.types import Receive

log = logging.getLogger("mollm.server")

LONGEST_END = 5.0
"""Seconds that an HTTP request may take to end once it is told to."""
LONGEST_WAIT = 60.0
"""Seconds a client is told to wait at most before it tries again."""


class Admission:
    """Lets in so many HTTP requests at once, and so many more wait in the order in which they came.

    Attributes:
        inside: Those that are worked on or wait.
        in_flight: HTTP requests that are worked on.
        is_draining: No more are let in; those inside may finish.
    """

    def __init__(self, max_in_flight: int, queue: int) -> None:
        self._room, self._queue = max_in_flight, queue
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._came: dict[asyncio.Future[None], float] = {}
        self.inside: set[Slot] = set()
        self._seconds = 1.0
        self.in_flight = 0
        self.is_draining = False

    @property
    def waiting(self) -> int:
        """HTTP requests in the queue."""
        return len(self._waiting)

    @property
    def oldest_seconds(self) -> float:
        """For how long the first one in the queue has waited; 0 where nobody waits."""
        return asyncio.get_running_loop().time() - self._came[self._waiting[0]] if self._waiting else 0.0

    def resize(self, max_in_flight: int, queue: int) -> None:
        """Change the bounds; those inside stay."""
        self._room, self._queue = max_in_flight, queue
        self._let_in()

    def slot(self, receive: Receive) -> Slot:
        """Wait for room, and hold it while the block runs.

        The block is cancelled when the client goes away, or when draining takes too long.

        Args:
            receive: Of ASGI, after the body was read: what comes next is the end of the connection.

        Raises:
            Overloaded: The queue is full, or the server is about to stop.
            ClientGone: The client went away.
        """
        return Slot(self, receive)

    async def drained(self, seconds: float) -> None:
        """Let nobody in any more, wait for those inside, and end what still runs after `seconds`."""
        self.is_draining = True
        while self._waiting:
            if not (place := self._waiting.popleft()).done():
                place.set_exception(self._stopping())
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.inside and loop.time() < until:  # noqa: ASYNC110 - a server stops once; not worth an event
            await asyncio.sleep(0.05)
        for slot in self.inside:
            slot.end(self._stopping())
        until = loop.time() + LONGEST_END
        while self.inside and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if self.inside:
            log.error("%d HTTP requests did not end when they were told to", len(self.inside))

    async def enter(self) -> None:
        """Wait for room. Raises `Overloaded`."""
        if self.is_draining:
            raise self._stopping()
        if self.in_flight < self._room and not self._waiting:
            self.in_flight += 1
            return
        if len(self._waiting) >= self._queue:
            raise Overloaded(
                f"{self.in_flight} HTTP requests are in flight and {len(self._waiting)} waiting, which is all there is "
                "room for",
                retry_after_seconds=self._retry_after(),
            )
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.append(place)
        self._came[place] = loop.time()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.in_flight -= 1  # it was let in at the moment at which it gave up
                self._let_in()
            raise
        finally:
            del self._came[place]
            if place in self._waiting:
                self._waiting.remove(place)

    def leave(self, seconds: float) -> None:
        """Make room again after so many seconds."""
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
        # The time until those who wait have been served, at the recent rate.
        return min(LONGEST_WAIT, self._seconds * (1 + len(self._waiting) / self._room))


class Slot:
    """A block of the current task that can be ended for a reason: the client's going, or ours.

    Attributes:
        reason: Why it was ended; None as long as it was not.
    """

    __slots__ = ("_admission", "_begun", "_cancelled", "_is_over", "_receive", "_task", "_watcher", "reason")

    def __init__(self, admission: Admission, receive: Receive) -> None:
        self._admission, self._receive = admission, receive
        self.reason: Exception | None = None
        self._is_over = False

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelled = self._task.cancelling()
        self._watcher = loop.create_task(self._watch())
        self._admission.inside.add(self)
        try:
            await self._admission.enter()
        except BaseException as error:
            self._close(error)
            raise
        self._begun = loop.time()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._admission.leave(asyncio.get_running_loop().time() - self._begun)
        self._close(error)

    def end(self, reason: Exception) -> None:
        """Cancel the block; it raises `reason`."""
        if self.reason is None and not self._is_over:
            self.reason = reason
            self._task.cancel()

    def _close(self, error: BaseException | None) -> None:
        self._watcher.cancel()
        self._admission.inside.discard(self)
        self._is_over = True
        if self.reason is None:
            return
        # As `asyncio.timeout` does it: our cancellation is taken back, somebody else's goes on.
        is_ours = self._task.uncancel() <= self._cancelled
        if is_ours and isinstance(error, asyncio.CancelledError):
            raise self.reason from None

    async def _watch(self) -> None:
        # Asked once: what follows a body is the end of the connection, and an application in front of this one may
        # answer at once with the body again, for ever.
        if (await self._receive())["type"] == "http.disconnect":
            self.end(ClientGone("the client closed its connection"))
