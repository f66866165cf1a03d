"""A connection that bounds the head of an HTTP request in size and time, and says that its client has gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mollm.server.gate import Gated

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
"""Until the head of an HTTP request must be there, counted from the connection or from its first byte."""


class Connection(Gated):
    """uvicorn's connection, closed where a head is too large or too late: no key has been asked for by then."""

    _head_bytes = 0
    _is_in_head = False
    _timer: asyncio.TimerHandle | None = None
    _answering: RequestResponseCycle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first HTTP request."""
        super().connection_made(transport)
        self._begin_head()

    def data_received(self, data: bytes) -> None:
        """Take what came, if a head does not get too large by it."""
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._end_head()
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """An HTTP request begins."""
        super().on_message_begin()
        self._begin_head()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._end_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        self._end_head()
        # uvicorn tells the latest HTTP request only, which a client that sends several at once has not come to yet.
        answering = self._answering
        if answering is not None and answering is not self.cycle and not answering.response_complete:
            answering.disconnected = True
            answering.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _begin_head(self) -> None:
        self._is_in_head, self._head_bytes = True, 0
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _end_head(self) -> None:
        self._is_in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
