"""An HTTP proxy on loopback: it hands on requests in absolute form, and says who asked for what.

async with Proxy(login="me:secret") as proxy:
    ...                                    # call through f"http://me:secret@{proxy.address}"
    assert proxy.asked == ["http://127.0.0.1:8001/v1/chat/completions"]
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """The proxy, running inside `async with`."""

    def __init__(self, login: str | None = None) -> None:
        self.asked: list[str] = []
        """The address of every request that was handed on."""
        self.refused = 0
        """Requests without the right login; those get 407."""
        self._wanted = None if login is None else f"Basic {base64.b64encode(login.encode('latin-1')).decode()}"

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._hand_on(reader, writer)
        writer.close()

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if self._wanted not in (None, headers.pop("proxy-authorization", None)):
            self.refused += 1
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            return
        method, target, _ = request.split(" ")
        self.asked.append(target)
        parts = urlsplit(target)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        head = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items() if k != "connection")]
        upstream_reader, upstream_writer = await asyncio.open_connection(parts.hostname, parts.port)
        upstream_writer.write("\r\n".join([*head, "connection: close", "", ""]).encode("latin-1") + body)
        while received := await upstream_reader.read(65536):
            writer.write(received)
        upstream_writer.close()
