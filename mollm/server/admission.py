"""How many HTTP requests are worked on, how many wait, and what ends one before its time."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from mollm.errors import ClientGone, Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive

log = logging.getLogger("mollm.server")

LONGEST_END = 5.0
"""Seconds that an HTTP request may take to end once it is told to."""
LONGEST_WAIT = 60.0
"""Seconds a client is told to wait at most before it tries again."""
AT_ONCE = 4
"""HTTP requests that are let in during one turn of the event loop. A turn is what everybody waits for, `/health` too,
and who has just been let in takes most of it."""
STOPPING = "the server is about to stop"
LOG_SECONDS = 1.0
"""Between two lines in the log about HTTP requests that were refused."""


class _Waiting(NamedTuple):
    """Who waits."""

    since: float
    is_gone: Callable[[], bool]


class Admission:
    """Lets in so many HTTP requests at once, and so many more wait in the order in which they came, but not for ever.

    Attributes:
        inside: Those that are worked on or wait.
        in_flight: HTTP requests that are worked on.
        is_draining: No more are let in; those inside may finish.
    """

    def __init__(
        self,
        max_in_flight: int,
        queue: int,
        queue_seconds: float = 30.0,
        *,
        on_refusal: Callable[[], None] = lambda: None,
    ) -> None:
        """Let nobody in yet.

        Args:
            max_in_flight: HTTP requests that are worked on at once.
            queue: Those that wait.
            queue_seconds: How long they wait at most.
            on_refusal: Is called for every one that is refused.
        """
        self._room, self._queue, self._queue_seconds = max_in_flight, queue, queue_seconds
        self._waiting: OrderedDict[asyncio.Future[None], _Waiting] = OrderedDict()
        self._oldest_timer: asyncio.TimerHandle | None = None
        self._let_in_this_turn = 0
        self._on_refusal = on_refusal
        self._unlogged: int | None = None
        self.inside: set[Slot] = set()
        self._seconds = 1.0
        self.in_flight = 0
        self.is_draining = False

    @property
    def waiting(self) -> int:
        """HTTP requests in the queue."""
        return len(self._waiting)

    @property
    def room(self) -> int:
        """How many HTTP requests more would be let in or wait; 0 while the server is about to stop."""
        free = max(0, self._room - self.in_flight)
        return 0 if self.is_draining else max(0, free + self._queue - len(self._waiting))

    @property
    def oldest_seconds(self) -> float:
        """How long the first in the queue has waited; 0 if nobody waits."""
        if not self._waiting:
            return 0.0
        return asyncio.get_running_loop().time() - next(iter(self._waiting.values())).since

    def resize(self, max_in_flight: int, queue: int, queue_seconds: float = 30.0) -> None:
        """Change the bounds; those inside stay."""
        self._room, self._queue, self._queue_seconds = max_in_flight, queue, queue_seconds
        self._look_at_oldest()
        self._let_in()

    def check(self) -> None:
        """Raise `Overloaded` if there is no room; that costs least before anything of an HTTP request is read."""
        if not self.room:
            raise self.refused()

    def refused(self, coming: int = 0) -> Overloaded:
        """Count an HTTP request that finds no room behind `coming` others, and return what it is told."""
        if self.is_draining:
            return self._refused(STOPPING)
        let_in = min(coming, max(0, self._room - self.in_flight))
        waiting = len(self._waiting) + coming - let_in
        found = f"{self.in_flight + let_in} HTTP requests are in flight and {waiting} waiting"
        return self._refused(f"{found}, which is all there is room for")

    def slot(self, receive: Receive) -> Slot:
        """Wait for room, and hold it while the block runs.

        The block is cancelled when the client goes away, or when draining takes too long.

        Args:
            receive: Of ASGI, after the body was read: what comes next is the end of the connection. Where it has a
                method `is_gone`, that is asked before the block is let in.

        Raises:
            Overloaded: The queue is full, the wait took too long, or the server is about to stop.
            ClientGone: The client went away.
        """
        return Slot(self, receive)

    async def drained(self, seconds: float) -> None:
        """Let nobody in any more, wait for those inside, and end what still runs after `seconds`."""
        self.is_draining = True
        while self._waiting:
            place, _ = self._waiting.popitem(last=False)
            if not place.done():
                place.set_exception(self.refused())
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.inside and loop.time() < until:  # noqa: ASYNC110 - a server stops once; not worth an event
            await asyncio.sleep(0.05)
        self.end()
        until = loop.time() + LONGEST_END
        while self.inside and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if self.inside:
            log.error("%d HTTP requests did not end when they were told to", len(self.inside))

    def end(self) -> None:
        """End those inside, now."""
        for slot in self.inside:
            slot.end(self._overloaded(STOPPING))

    async def enter(self, is_gone: Callable[[], bool]) -> None:
        """Wait for room, after `check`. Raises `Overloaded`, and `ClientGone` if its client is gone by then."""
        if not self._waiting and self._has_room():
            if is_gone():
                raise _gone()
            self._take()
            return
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._waiting[place] = _Waiting(loop.time(), is_gone)
        if self._oldest_timer is None:
            self._look_at_oldest()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.in_flight -= 1  # it was let in at the moment at which it gave up
                self._let_in()
            raise
        finally:
            self._waiting.pop(place, None)

    def leave(self, seconds: float) -> None:
        """Make room again after so many seconds."""
        self._seconds += (seconds - self._seconds) / 16
        self.in_flight -= 1
        self._let_in()

    def _has_room(self) -> bool:
        return self.in_flight < self._room and self._let_in_this_turn < AT_ONCE

    def _take(self) -> None:
        self.in_flight += 1
        if not self._let_in_this_turn:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._let_in_this_turn += 1

    def _next_turn(self) -> None:
        self._let_in_this_turn = 0
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._has_room():
            place, waiting = self._waiting.popitem(last=False)
            if place.done():
                continue
            if waiting.is_gone():
                place.set_exception(_gone())
                continue
            self._take()
            place.set_result(None)

    def _look_at_oldest(self) -> None:
        # One timer for the first of them: whoever stands behind has waited less.
        if self._oldest_timer is not None:
            self._oldest_timer.cancel()
            self._oldest_timer = None
        loop = asyncio.get_running_loop()
        while self._waiting:
            place, waiting = next(iter(self._waiting.items()))
            until = waiting.since + self._queue_seconds
            if not place.done() and until > loop.time():
                self._oldest_timer = loop.call_at(until, self._look_at_oldest)
                return
            del self._waiting[place]
            if not place.done():
                text = f"no room within {self._queue_seconds:g} s, which is as long as an HTTP request may wait"
                place.set_exception(self._refused(text))

    def _refused(self, text: str) -> Overloaded:
        self._on_refusal()
        if self._unlogged is None:
            log.warning("an HTTP request was refused: %s", text)
            self._unlogged = 0
            asyncio.get_running_loop().call_later(LOG_SECONDS, self._log_refusals)
        else:
            self._unlogged += 1
        return self._overloaded(text)

    def _overloaded(self, text: str) -> Overloaded:
        return Overloaded(text, retry_after_seconds=self._retry_after())

    def _log_refusals(self) -> None:
        if not self._unlogged:
            self._unlogged = None
            return
        log.warning("%d more HTTP requests were refused within %g s", self._unlogged, LOG_SECONDS)
        self._unlogged = 0
        asyncio.get_running_loop().call_later(LOG_SECONDS, self._log_refusals)

    def _retry_after(self) -> float:
        # The time until those who wait have been served, at the recent rate.
        return min(LONGEST_WAIT, self._seconds * (1 + len(self._waiting) / self._room))


def _gone() -> ClientGone:
    return ClientGone("the client closed its connection")


def _is_not_known() -> bool:
    return False


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
        self._admission.check()
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelled = self._task.cancelling()
        self._watcher = loop.create_task(self._watch())
        self._admission.inside.add(self)
        try:
            await self._admission.enter(getattr(self._receive, "is_gone", _is_not_known))
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
            self.end(_gone())
