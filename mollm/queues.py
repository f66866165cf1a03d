"""One question at a time for each conversation, whichever thread or event loop asks it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
import weakref
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mollm.errors import RequestError, interpreter_ends

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


LEFT_SECONDS = 1.0
"""The time in which a stream that was left gives up its turn."""


@dataclass(eq=False, slots=True)
class _Ticket:
    """A place in the queue of a conversation."""

    owner: asyncio.Task[Any] | int | None
    """The task that waits, or the number of the thread that blocks."""
    loop: asyncio.AbstractEventLoop | None
    turn: concurrent.futures.Future[None] = field(default_factory=concurrent.futures.Future)


class _Lines:
    """Who waits for which conversation."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: dict[str, deque[_Ticket]] = {}


_KNOWN: weakref.WeakKeyDictionary[Any, _Lines] = weakref.WeakKeyDictionary()
_KNOWN_LOCK = threading.Lock()


def _lines_of(store: object) -> _Lines:
    with _KNOWN_LOCK:
        found = _KNOWN.get(store)
        if found is None:
            found = _KNOWN[store] = _Lines()
        return found


class Queues:
    """Queues of those who wait for their turn, first come, first served.

    Two runs on one thread of a checkpointer read the same state, and the one that writes last undoes the other.
    """

    def __init__(self, seconds: float, store: object = None) -> None:
        """Let everybody wait for `seconds` at most.

        Args:
            seconds: Until a turn that has not come is given up.
            store: Where the conversations are kept; everybody who keeps them there stands in the same queues.
        """
        self._seconds = seconds
        self._lines = _Lines() if store is None else _lines_of(store)

    @contextmanager
    def turn(self, conversation: str) -> Iterator[None]:
        """Wait for the turn, and keep it for the block.

        Raises:
            RequestError: The turn did not come in time, or never could: whoever has it would have to go on meanwhile.
            RunError: The turn cannot come, as the interpreter ends.
        """
        loop = asyncio._get_running_loop()  # noqa: SLF001 - None, not an error
        ticket, ahead = self._enter(conversation, threading.get_ident(), loop)
        try:
            if any(other.owner == ticket.owner for other in ahead):
                raise _unread(conversation)
            if loop and any(other.loop is loop for other in ahead):
                raise RequestError(f"thread {conversation!r} answers a question on this event loop; use `ainvoke` here")
            if not ticket.turn.done() and sys.is_finalizing():  # the thread that has the turn stands still
                raise interpreter_ends()
            ticket.turn.result(self._seconds)
            yield
        except concurrent.futures.TimeoutError:
            if ticket.turn.done():
                raise
            raise self._busy(conversation) from None
        finally:
            self._leave(conversation, ticket)

    @asynccontextmanager
    async def aturn(self, conversation: str) -> AsyncIterator[None]:
        """Wait for the turn without blocking the event loop, and keep it for the block. Raises as `turn`."""
        ticket, ahead = self._enter(conversation, asyncio.current_task(), asyncio.get_running_loop())
        # A stream that was left by `break` gives up its turn when the event loop next runs, one being read does not.
        has_it = any(other.owner == ticket.owner for other in ahead)
        seconds = min(self._seconds, LEFT_SECONDS) if has_it else self._seconds
        try:
            if not ticket.turn.done():
                waiting = asyncio.wrap_future(ticket.turn)
                # Not `wait_for`, which would cancel the ticket that another thread may be handing out.
                await asyncio.wait([waiting], timeout=seconds)
                if not waiting.done():
                    raise _unread(conversation) if has_it else self._busy(conversation)
            yield
        finally:
            self._leave(conversation, ticket)

    def _busy(self, conversation: str) -> RequestError:
        return RequestError(
            f"thread {conversation!r} is still answering another question after {self._seconds:g} s (limits.seconds); "
            "one thread is one conversation: ask again later, or use another thread_id"
        )

    def _enter(
        self, conversation: str, owner: asyncio.Task[Any] | int | None, loop: asyncio.AbstractEventLoop | None
    ) -> tuple[_Ticket, list[_Ticket]]:
        ticket = _Ticket(owner, loop)
        with self._lines.lock:
            queue = self._lines.waiting.setdefault(conversation, deque())
            ahead = list(queue)
            queue.append(ticket)
            if not ahead:
                ticket.turn.set_result(None)
        return ticket, ahead

    def _leave(self, conversation: str, ticket: _Ticket) -> None:
        with self._lines.lock:
            queue = self._lines.waiting[conversation]
            queue.remove(ticket)
            if not queue:
                del self._lines.waiting[conversation]
            elif not queue[0].turn.done():
                queue[0].turn.set_result(None)


def _unread(conversation: str) -> RequestError:
    return RequestError(f"thread {conversation!r}: the stream of another question has to be read to its end first")
