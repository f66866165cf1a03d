"""The body of a response that is sent piece by piece.

What is put in while the event loop does one thing leaves in one write: pieces that came in one read from an upstream
cost one write together, and none of them waits for the next read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mollm.errors import ClientGone
from mollm.server.wire import encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Send

    from mollm.server.admission import Slot

LONGEST_SEND = 60.0
"""Seconds a client may leave unread what was sent to it; then it counts as gone."""
MOST_HELD = 64 * 1024
"""Bytes that are put in before they have to leave."""


class Outlet:
    """Sends what is put in, one message after the other; the first begins the response.

    As a context it watches the time: it says that the response is alive when nothing was sent for a while, and ends
    the slot of a client that reads no more.

    Attributes:
        has_begun: Something was put in, so the status can be taken back no more.
    """

    def __init__(
        self,
        send: Send,
        slot: Slot,
        *,
        headers: Callable[[], Mapping[str, str]],
        sign_of_life: Callable[[], None],
        patience: float,
    ) -> None:
        """Send nothing yet.

        Args:
            send: Of ASGI.
            slot: Is ended when the client has gone.
            headers: Gives those of the response when it begins.
            sign_of_life: Puts one in.
            patience: Seconds without anything sent after which it is asked to.
        """
        self._send, self._slot, self._headers = send, slot, headers
        self._sign_of_life, self._patience = sign_of_life, patience
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []
        self._size = 0
        self._sending = asyncio.Lock()
        self._leaving: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_since = self._loop.time()
        self._has_status = self._is_gone = False
        self.has_begun = False

    def __enter__(self) -> None:
        self._look()

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()

    def put(self, data: bytes) -> bool:
        """Let `data` leave, with all that is put in before the event loop goes on.

        Returns:
            False where the client does not read as fast as there is something for it, so `flush` comes next.
        """
        self._held.append(data)
        self._size += len(data)
        if self._leaving is None:
            self.has_begun = True
            self._leaving = self._loop.create_task(self._leave())
        return self._size <= MOST_HELD and not self._sending.locked()

    async def flush(self, *, more: bool = True) -> None:
        """Send what was put in, after what is being sent; without `more` that is the end of the response."""
        async with self._sending:
            held, self._held, self._size = self._held, [], 0
            if self._is_gone or (more and not held):
                return
            self._quiet_since = self._loop.time()
            try:
                if not self._has_status:
                    headers = encoded(self._headers())
                    await self._send({"type": "http.response.start", "status": 200, "headers": headers})
                    self._has_status = True
                await self._send({"type": "http.response.body", "body": b"".join(held), "more_body": more})
            except OSError:  # how ASGI says that the client has gone
                self._is_gone = True
                self._slot.end(ClientGone("the client closed its connection"))
        if self._is_gone:
            await asyncio.sleep(0)  # the block is left here

    async def end(self, data: bytes) -> None:
        """Send `data` with what was put in, and end the response."""
        self.has_begun = True
        self._held.append(data)
        await self.flush(more=False)

    def close(self) -> None:
        """Drop what nobody takes."""
        if self._leaving:
            self._leaving.cancel()

    async def _leave(self) -> None:
        try:
            await self.flush()
        except Exception as error:  # noqa: BLE001 - raised by the block
            self._slot.end(error)
        finally:
            self._leaving = None

    def _look(self) -> None:
        # One timer that looks now and then costs less than one that is set again for every piece.
        quiet, is_sending = self._loop.time() - self._quiet_since, self._sending.locked()
        if is_sending and quiet >= LONGEST_SEND:
            self._slot.end(ClientGone("the client reads no more"))
            return
        if not is_sending and quiet >= self._patience:
            self._sign_of_life()
            quiet = 0.0
        left = (LONGEST_SEND if is_sending else self._patience) - quiet
        self._timer = self._loop.call_later(max(0.01, min(left, self._patience, LONGEST_SEND)), self._look)
