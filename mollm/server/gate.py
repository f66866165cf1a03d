"""A connection that refuses what finds no room by the head of the HTTP request alone.

Nothing of an application runs for it and no body is kept. What is refused, and with which words, is not known here.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.types import Scope
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from mollm.server.clients import Clients

LEFT_BYTES = 1024 * 1024
"""Of the body of an HTTP request that was refused: so many are dropped as they come, and the connection is kept. Where
there are more it is closed after them, as many clients read nothing before they have sent all."""
LEFT_SECONDS = 5.0
"""Until the rest of such a body must be there; then the connection is closed."""

_HAS_LEFT = getattr(select, "POLLRDHUP", 0)
"""Asks Linux for the end of a connection behind what was not read of it yet."""


Gate: TypeAlias = "Callable[[Scope, Callable[[], bool]], Refusal | None]"
"""Is asked about an HTTP request, and given what says whether its client has gone; None lets it on."""


class Refusal(NamedTuple):
    """The response to an HTTP request that is refused."""

    status: bytes
    """As in `503 Service Unavailable`."""
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def laid_out(self, beside: Sequence[tuple[bytes, bytes]], *, close: bool = False) -> bytes:
        """Return it as it is sent, with headers `beside` its own, and whether it is the last on its connection."""
        lines = b"".join([b"%b: %b\r\n" % header for header in (*beside, *self.headers)])
        end = b"connection: close\r\n\r\n" if close else b"\r\n"
        return b"HTTP/1.1 %b\r\n%b%b%b" % (self.status, lines, end, self.body)


GONE = Refusal(b"", (), b"")
"""In place of one that nobody would read."""


class Gated(HttpToolsProtocol):
    """uvicorn's connection behind a gate."""

    def __init__(self, *given: Any, gate: Gate, clients: Clients, **named: Any) -> None:
        """Ask `gate` about every HTTP request as soon as its head is there; `clients` has the connection already."""
        super().__init__(*given, **named)
        self._gate, self._clients = gate, clients
        self._refused: RequestResponseCycle | None = None
        self._left: asyncio.TimerHandle | None = None
        self._left_bytes = 0

    def on_headers_complete(self) -> None:
        """The head of an HTTP request is there."""
        self._clients.asked(self.transport)
        super().on_headers_complete()
        if not self._clients.are_few and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """An HTTP request was answered."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._clients.answered(self.transport)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, or drop it."""
        super().on_body(body)
        if self._refused is not None and self._refused is self.cycle:
            self._left_bytes -= len(body)
            if self._left_bytes < 0:
                self._end_refused()

    def on_message_complete(self) -> None:
        """The HTTP request is at its end."""
        super().on_message_complete()
        if self._refused is not None and self._refused is self.cycle:
            self._end_refused(keep=self._refused.keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        self._clients.left(self.transport)
        self._forget_refused()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # uvicorn calls this when it is the turn of an HTTP request: its head is there, those before it are answered.
        if self.transport.is_closing():
            return  # it stands behind one that was the last
        client = Client(cycle)
        refusal = self._gate(cast("Scope", cycle.scope), client.is_gone)
        if refusal is GONE:
            self.transport.abort()
        elif refusal is not None:
            self._refuse(cycle, refusal)
        else:
            super()._start_asgi_task(cycle, lambda scope, _, send: app(scope, client, send))

    def _refuse(self, cycle: RequestResponseCycle, refusal: Refusal) -> None:
        is_whole = not cycle.more_body
        if not is_whole and not _is_short(cycle):
            cycle.keep_alive = False
        cycle.response_started = cycle.response_complete = True
        self.transport.write(refusal.laid_out(self.server_state.default_headers, close=not cycle.keep_alive))
        self._refused, self._left_bytes = cycle, LEFT_BYTES
        if is_whole:  # it stood behind another one
            self._end_refused(keep=cycle.keep_alive)
        else:
            self._left = self.loop.call_later(LEFT_SECONDS, self._end_refused)
        cycle.on_response()

    def _end_refused(self, *, keep: bool = False) -> None:
        self._forget_refused()
        if not keep:
            self.transport.close()

    def _forget_refused(self) -> None:
        self._refused = None
        if self._left is not None:
            self._left.cancel()
            self._left = None


def _is_short(cycle: RequestResponseCycle) -> bool:
    named = dict(cycle.scope["headers"])
    length = named.get(b"content-length", b"0")
    return b"transfer-encoding" not in named and length.isdigit() and int(length) <= LEFT_BYTES


class Client:
    """The `receive` of ASGI, which can also be asked whether the client has gone by now."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def __call__(self) -> Awaitable[Any]:
        """Receive the next part of the HTTP request."""
        return self._cycle.receive()

    def is_gone(self) -> bool:
        """Say whether the connection is at its end, be it behind what the event loop has read of it."""
        cycle = self._cycle
        if cycle.disconnected or cycle.transport.is_closing():
            return True
        if not _HAS_LEFT:
            return False
        poll = select.poll()
        poll.register(cycle.transport.get_extra_info("socket").fileno(), _HAS_LEFT)
        return bool(poll.poll(0))
