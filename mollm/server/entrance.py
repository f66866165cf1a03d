"""A connection until an HTTP request on it passes the gate; uvicorn's then takes its place.

While there is no room most connections bring nothing else than a question that is refused. Here that takes a third of
what uvicorn needs to take a connection and to read a head.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from mollm.server.connection import HEAD_SECONDS, Connection

if TYPE_CHECKING:
    from starlette.types import Scope
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from mollm.server.clients import Clients
    from mollm.server.gate import Gate

_HEAD = re.compile(rb"POST (/[!-$&->@-~]*) HTTP/1\.1\r\n((?:[A-Za-z0-9-]+: ?[ -~]*\r\n)+)\r\n")
"""Of an HTTP request as every parser reads it; what looks in any way else is left to uvicorn's."""
_FRAMING = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer"))


class Entrance(asyncio.Protocol):
    """Refuses HTTP requests that are there as a whole, and hands everything else over as it came."""

    __slots__ = ("_clients", "_gate", "_given", "_keep_alive", "_loop", "_state", "_timer", "_transport")

    def __init__(
        self,
        *,
        gate: Gate,
        clients: Clients,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take what uvicorn gives a connection, the `gate`, and those that it is one of."""
        self._gate, self._state, self._keep_alive = gate, server_state, config.timeout_keep_alive
        self._loop = _loop or asyncio.get_running_loop()
        self._clients = clients
        self._given: dict[str, Any] = {"gate": gate, "clients": clients, "config": config, "server_state": server_state}
        self._given.update(app_state=app_state, _loop=_loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what TCP gives
        """Wait for the first HTTP request."""
        self._transport = transport
        self._timer = self._loop.call_later(HEAD_SECONDS, transport.abort)
        self._clients.came(transport)
        self._state.connections.add(self)  # type: ignore[arg-type] # it is told to shut down like the others

    def data_received(self, data: bytes) -> None:
        """Refuse what came, or hand it over."""
        scope = _whole(data) if self._gate.is_full else None
        refusal = self._gate.refusal(scope) if scope else None
        if refusal is None:
            self._leave()
            connection = Connection(**self._given)
            self._transport.set_protocol(connection)
            connection.connection_made(self._transport)
            connection.data_received(data)
            return
        self._timer.cancel()
        self._timer = self._loop.call_later(self._keep_alive, self._transport.abort)
        self._transport.write(refusal.laid_out(self._state.default_headers))

    def pause_writing(self) -> None:
        """Part with a client that sends and does not read."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it ends in either way
        """Nothing more comes."""
        self._clients.left(self._transport)
        self._leave()

    def shutdown(self) -> None:
        """Close, as nothing is being answered."""
        self._transport.close()

    def _leave(self) -> None:
        self._timer.cancel()
        self._state.connections.discard(self)


def _whole(data: bytes) -> Scope | None:
    # The one HTTP request that the data is, to the last byte; None where there may be any doubt about that.
    head = _HEAD.match(data)
    if head is None:
        return None
    headers, length = [], b""
    for line in head[2].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if name in _FRAMING or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        if name == b"content-length":
            if length or not value.isdigit():
                return None
            length = value
        headers.append((name, value))
    if not length or head.end() + int(length[:9]) != len(data):
        return None
    return {"type": "http", "method": "POST", "path": head[1].decode(), "headers": headers}
