"""A connection that takes one HTTP request after the other, in bounds, and is closed so that the answer arrives.

What comes behind an HTTP request waits unread for its answer. How the network cuts what is sent makes no difference.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl

from mollm.server.gate import MAX_LATE_BYTES, Gated

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from mollm.server.clients import Clients

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of the head of an HTTP request; its trailers, and the size of a chunk with its extensions, may be as long."""
HEAD_SECONDS = 30.0
"""Until the head of an HTTP request must be there, counted from the connection or from its first byte."""
FRAMING_PER_BYTE = 8
"""Bytes around a body beyond `MAX_HEAD_BYTES`, for each of its own: chunks of one character need five."""
LATE_SECONDS = 5.0
"""For how long more may come of an HTTP request that is answered or refused. A connection that was closed at once would
take the answer with it, which a client reads when it has sent everything."""
MAX_REFUSED_BYTES = 64 * 1024 * 1024
"""Of a body that is refused by its length: so long a one is dropped to its end, since many clients read a refusal when
they have sent everything, and lose it if the connection is reset before. It is not parsed, and not kept."""
MAX_AHEAD_BYTES = 64 * 1024
"""Bytes behind an HTTP request that is not answered yet, from which on nothing more is read."""

MAX_BLANK_LINES = 1000
"""In a body that comes in chunks, which has none if it is JSON; with more of them it is the last of its connection."""

_END, _PIECE = b"\r\n\r\n", 16 * 1024


class _Stage(Enum):
    HEAD = "waiting for an HTTP request, or in its head"
    BODY = "in its body or trailers"
    ANSWER = "all of it is there, its answer is not"


class Connection(Gated):
    """uvicorn's connection, with bounds of size and time on all that it reads before anybody asks for a key.

    Attributes:
        is_leaving: Everything was written, and what comes is dropped until the client closes the connection.
    """

    def __init__(self, *args: Any, clients: Clients, **options: Any) -> None:
        """Take what uvicorn gives a connection, a gate, and `clients`, who have the connection already."""
        super().__init__(*args, **options)
        self._clients = clients
        self.is_leaving = False
        self._stage = _Stage.HEAD
        self._unread = bytearray()
        self._tail = b""
        self._overhead = 0  # bytes of the head, or of what is not body, so far
        self._late = self._taken = self._blank_lines = 0
        self._body: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first HTTP request."""
        super().connection_made(_Transport(transport, self))  # type: ignore[arg-type] # as far as uvicorn uses one
        self.flow = self._flow = _Flow(transport)
        self._socket = transport
        self._set_timer(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take what came, as far as it belongs to the HTTP request that is read."""
        if self.is_leaving:
            self._drop(len(data))
            return
        if not self._unread and len(data) <= self._left:
            self._read_body(data)
            return
        self._unread += data
        self._read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        self._clients.left(self._socket)
        self._stop_timer()
        self._unread.clear()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server ends: nobody is waited for who has had an answer."""
        if self.cycle is None or self.cycle.response_complete:
            self._socket.close()
        else:
            super().shutdown()

    def close(self) -> None:
        """Close the connection, when the client has done so if it may still be sending: it would get a reset, which
        takes away what was written before.
        """
        if self.is_leaving or self._socket.is_closing():
            return
        if not (self._unread or self._overhead or self._stage is _Stage.BODY):
            self._socket.close()
            return
        self.is_leaving = True
        self._late = -self._left if self._left <= MAX_REFUSED_BYTES else 0
        self._unread.clear()
        self._socket.write_eof()
        self._flow.set_room(True)
        self._set_timer(LATE_SECONDS, self._socket.close)

    # What the parser finds

    def on_message_begin(self) -> None:
        """An HTTP request begins, unless the one before is the last."""
        if self._stage is not _Stage.HEAD:
            raise ValueError("behind the last HTTP request")
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there."""
        if self.parser.should_upgrade():
            return  # `_read_again` follows
        super().on_headers_complete()
        self.headers = []  # trailers, of which nobody is told: they come after whatever headers decide

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._clients.asked(self._socket)
        self._stop_timer()
        self._stage, self._overhead, self._blank_lines = _Stage.BODY, 0, 0
        cycle.keep_alive = cycle.keep_alive and self._clients.are_few
        super()._start_asgi_task(cycle, app)  # which may refuse it at once

    def on_body(self, body: bytes) -> None:
        """A piece of the body; there may be very many."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The HTTP request is there, trailers and all."""
        if self.parser.should_upgrade():
            return
        self._pass_on()
        super().on_message_complete()
        self._overhead = 0
        self._stage = _Stage.ANSWER
        if self.cycle.response_complete and not self.is_leaving:
            self._await_next()
            self._set_keepalive()

    def on_response_complete(self) -> None:
        """The answer is written: what came behind it has its turn."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._stage is _Stage.ANSWER:
            self._await_next()
            self._read_on()
            return
        self._unset_keepalive_if_required()
        self._late = 0
        if self._left > MAX_LATE_BYTES:
            self.close()
        else:
            self._set_timer(LATE_SECONDS, self._socket.close)

    # What is read

    def _read_on(self) -> None:
        while self._unread and self._stage is not _Stage.ANSWER and not self.transport.is_closing():
            if self._stage is _Stage.HEAD:
                self._read_head(self._piece())
            else:
                self._read_body(self._piece())
        if not self.is_leaving:
            self._flow.set_room(len(self._unread) <= MAX_AHEAD_BYTES)

    def _piece(self) -> bytes:
        # The parser finds where a request ends, but reads beyond that, and answers have to come in order. So it gets no
        # more than up to where one may end: at its length, or else, with a head and with chunks, after an empty line.
        end = self._left
        if not end:
            window = self._tail + self._unread[:_PIECE]
            found = window.find(_END) if self._blank_lines < MAX_BLANK_LINES else -1
            end = found + len(_END) - len(self._tail) if found >= 0 else _PIECE
            self._tail = b"" if found >= 0 else bytes(window[1 - len(_END) :])
            self._blank_lines += found >= 0 and self._stage is _Stage.BODY
        piece = bytes(self._unread[:end])
        del self._unread[:end]
        return piece

    def _read_head(self, piece: bytes) -> None:
        self._unset_keepalive_if_required()
        self._overhead += len(piece)
        if self._overhead > MAX_HEAD_BYTES:
            self._refuse("The head of the request is too large.")
            return
        self._parse(piece)
        if self._stage is _Stage.HEAD and self._timer is None:
            self._set_timer(HEAD_SECONDS, self._socket.abort)

    def _read_body(self, piece: bytes) -> None:
        self._taken = 0
        self._parse(piece)
        self._pass_on()
        self._left = max(0, self._left - self._taken)
        if self._stage is not _Stage.BODY or self.transport.is_closing():
            return
        spent = len(piece) - self._taken * (1 + FRAMING_PER_BYTE)
        self._overhead = max(0, self._overhead + spent)
        if self._overhead > MAX_HEAD_BYTES:
            self._refuse("What surrounds the body of the request is too large.")
        elif self.cycle.response_complete:
            self._drop(len(piece) if self._blank_lines < MAX_BLANK_LINES else MAX_LATE_BYTES)
        elif self._blank_lines == MAX_BLANK_LINES:
            self.cycle.keep_alive = False

    def _pass_on(self) -> None:
        body = b"".join(self._body)
        self._body.clear()
        self._taken += len(body)
        if body:
            super().on_body(body)

    def _parse(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self._read_again()
        except httptools.HttpParserError:
            if self._stage is not _Stage.ANSWER:
                self._refuse("Invalid HTTP request received.")

    def _read_again(self) -> None:
        # httptools ends a request that asks for another protocol with its head, and what follows, which may be its
        # body, would be a request of its own. We speak no other, so it is read as one that does not ask: clients of
        # Java ask for h2c each time.
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self._refuse("This is no proxy.")
            return
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self._parse(b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(fields)))

    def _refuse(self, text: str) -> None:
        if self._stage is _Stage.BODY:
            if self.cycle.response_complete:
                self.close()
                return
            if self.cycle.response_started:
                self._socket.abort()
                return
            # It is worked on already, so whoever does that is told that nobody waits for it.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.send_400_response(text)

    def _await_next(self) -> None:
        self._stop_timer()
        self._stage, self._tail, self._blank_lines = _Stage.HEAD, b"", 0
        self._clients.answered(self._socket)

    def _set_keepalive(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _drop(self, size: int) -> None:
        self._late += size
        if self._late > MAX_LATE_BYTES:
            self._socket.close()

    def _set_timer(self, seconds: float, then: Callable[[], object]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Transport:
    """What uvicorn takes for the transport: when it is closed is the connection's affair."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport, self._connection = transport, connection
        self.write, self.close = transport.write, connection.close

    def is_closing(self) -> bool:
        return self._connection.is_leaving or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Flow(FlowControl):
    """Reads on for whoever wants more of a body, unless too much has come ahead of its turn.

    A client that has sent that much is not missed when it goes, until its answer is written.
    """

    _has_room = True

    def resume_reading(self) -> None:
        if self._has_room:
            super().resume_reading()

    def set_room(self, has_room: bool) -> None:
        if has_room != self._has_room:
            self._has_room = has_room
            (self.resume_reading if has_room else self.pause_reading)()
