"""A connection of the server without a socket: what a client sends goes in piece by piece.

async with Peer() as peer:
    await peer.send(b"GET /echo HTTP/1.1\\r\\n\\r\\n")
    assert peer.answers == [(200, b"GET /echo ")]
"""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from uvicorn import Config
from uvicorn.server import ServerState

from mollm.server.clients import Clients
from mollm.server.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self


class _Transport(asyncio.Transport):
    """Keeps what is written, and says when reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_paused = self.has_eof = self.is_closed = False
        self.protocol: Connection

    def write(self, data: Any) -> None:
        assert not self.has_eof, "written behind the end"
        if not self.is_closed:
            self.written += data

    def write_eof(self) -> None:
        self.has_eof = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class Peer:
    """A client of an application that answers with what it was asked.

    `/skip` does not read the body and answers at once, `/wait` does not and answers when `go` is set, and all other
    paths read it first.

    Attributes:
        taken: Bytes that the server has read.
        headers: Of each request that was worked on.
    """

    def __init__(self, app: Any = None) -> None:
        """Ask `app` in place of that."""
        self.transport, self.go = _Transport(), asyncio.Event()
        self.headers: list[dict[bytes, bytes]] = []
        self.taken = 0
        asked: Any = app or self._app
        config = Config(
            asked, interface="asgi3", lifespan="off", timeout_keep_alive=75, log_config=None, access_log=False
        )
        self._state, self._clients = ServerState(), Clients()
        self.connection = self.transport.protocol = Connection(
            config, self._state, {}, gate=lambda _, __: None, clients=self._clients
        )

    async def __aenter__(self) -> Self:
        self._clients.came(self.transport)
        self.connection.connection_made(self.transport)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.transport.close()
        self.go.set()
        await self.settle()
        assert not self._state.tasks

    @property
    def is_refused(self) -> bool:
        """Nothing more is written, and the connection is closed, at the latest when this side closes it."""
        return self.transport.has_eof or self.transport.is_closed

    @property
    def answers(self) -> list[tuple[int, bytes]]:
        """Status and body of every answer, in order; there is nothing between them."""
        found, rest = [], bytes(self.transport.written)
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 ")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            size = int(length[1]) if length else 0
            assert len(rest) >= size, "an answer is cut off"
            found.append((int(head.split(b" ", 2)[1]), rest[:size]))
            rest = rest[size:]
        return found

    @property
    def running(self) -> int:
        """Requests that are worked on."""
        return len(self._state.tasks)

    @property
    def held(self) -> int:
        """Bytes that the connection keeps."""
        cycle = self.connection.cycle
        headers = sum(len(name) + len(value) for name, value in self.connection.headers or [])
        return len(self.connection._unread) + headers + (len(cycle.body) if cycle else 0)  # noqa: SLF001

    async def send(self, *pieces: bytes, turns: int = 1) -> None:
        """Send pieces, with so many turns of the event loop between them, while the server reads."""
        for piece in pieces:
            if self.transport.is_paused:
                await self.settle()
            if self.transport.is_paused or self.transport.is_closed:
                return
            self.taken += len(piece)
            self.connection.data_received(piece)
            for _ in range(turns):
                await asyncio.sleep(0)
        await self.settle()

    async def settle(self) -> None:
        """Wait until nothing happens by itself any more, but for timers."""
        quiet = 0
        while quiet < 4:
            before = len(self.transport.written), len(self.headers), self.running, self.transport.is_paused
            await asyncio.sleep(0)
            after = len(self.transport.written), len(self.headers), self.running, self.transport.is_paused
            quiet = quiet + 1 if before == after else 0

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.headers.append(dict(scope["headers"]))
        if scope["path"] == "/wait":
            await self.go.wait()
        what = f"{scope['method']} {scope['path']} ".encode()
        more = scope["path"] not in ("/skip", "/wait")
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            what += message["body"]
            more = message["more_body"]
        headers = [(b"content-length", b"%d" % len(what))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": what})


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Return `data` in pieces, cut at these places."""
    at = [0, *sorted({place for place in places if 0 < place < len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(at)]
