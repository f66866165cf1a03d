"""A connection that refuses what finds no room by the head of the HTTP request alone.

Nothing of an application runs for it and no body is kept. What is refused, and with which words, is not known here.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.types import Scope
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

MAX_LATE_BYTES = 1024 * 1024
"""What may still come of an HTTP request that was answered or refused; it is dropped, and the connection is kept. With
more than that to come it is closed behind the answer."""
_HAS_LEFT = getattr(select, "POLLRDHUP", 0)
"""Asks Linux for the end of a connection behind what was not read of it yet."""


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


class Gate(Protocol):
    """Says what is refused."""

    @property
    def is_full(self) -> bool:
        """There is no room for another question."""

    def refusal(self, scope: Scope) -> Refusal | None:
        """Return what an HTTP request is told that finds no room; None where it needs none."""

    def __call__(self, scope: Scope, is_gone: Callable[[], bool]) -> Refusal | None:
        """Return what an HTTP request is told that finds no room, `GONE` if its client left; None where it passes."""


class Gated(HttpToolsProtocol):
    """uvicorn's connection behind a gate."""

    def __init__(self, *given: Any, gate: Gate, **named: Any) -> None:
        """Ask `gate` about every HTTP request as soon as its head is there."""
        super().__init__(*given, **named)
        self._gate = gate
        self._left = 0  # bytes of the body that are still to come, where their number is known

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # uvicorn calls this when it is the turn of an HTTP request: its head is there, those before it are answered.
        self._left = int(dict(cycle.scope["headers"]).get(b"content-length", 0))
        client = Client(cycle)
        refusal = self._gate(cast("Scope", cycle.scope), client.is_gone)
        if refusal is GONE:
            self.transport.abort()
        elif refusal is not None:
            self._turn_away(cycle, refusal)
        else:
            super()._start_asgi_task(cycle, lambda scope, _, send: app(scope, client, send))

    def _turn_away(self, cycle: RequestResponseCycle, refusal: Refusal) -> None:
        if self._left > MAX_LATE_BYTES:
            cycle.keep_alive = False
        cycle.response_started = cycle.response_complete = True
        self.transport.write(refusal.laid_out(self.server_state.default_headers, close=not cycle.keep_alive))
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()


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
