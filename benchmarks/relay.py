"""A relay that moves bytes between a caller and the upstream and reads none of them: the floor of any server between.

python benchmarks/relay.py UPSTREAM_PORT        # prints its address
"""

from __future__ import annotations

import asyncio
import sys

import uvloop


class Side(asyncio.Protocol):
    """One of the two connections; what it receives goes out on the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what TCP gives
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)
        else:
            self._early.append(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is asyncio's
        if self.other and self.other.transport:
            self.other.transport.close()

    def join(self, other: Side) -> None:
        self.other, other.other = other, self
        for data in self._early:
            self.data_received(data)


class Caller(Side):
    """The caller's side; it opens the upstream's."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what TCP gives
        super().connection_made(transport)
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        _, upstream = await asyncio.get_running_loop().create_connection(Side, "127.0.0.1", self._port)
        self.join(upstream)


async def main(upstream: int) -> None:
    """Relay until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Caller(upstream), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
