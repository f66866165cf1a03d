"""The head of a request: how large and how late it may be."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from uvicorn.server import ServerState

from mollm.server.app import create_app
from mollm.server.connection import HEAD_SECONDS, MAX_HEAD_BYTES
from mollm.server.process import uvicorn_config
from tests.clock import run_virtual
from tests.server.served import config_of, served
from tests.upstream import Upstream, answer

ONE = {"one": {"description": "One.", "workers": ["a"]}}


@pytest.mark.parametrize(
    "line", [b"x: " + b"a" * 4096, b"x: a\r\n" * 700], ids=["one header without end", "headers without end"]
)
async def test_a_head_that_does_not_end_is_cut_off(line: bytes) -> None:
    """Before a key is asked for, and long before it costs memory."""
    async with Upstream() as upstream, served(config_of(upstream)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.base).port)
        writer.write(b"GET /health HTTP/1.1\r\n")
        sent = 0
        while not reader.at_eof() and sent < 8 * MAX_HEAD_BYTES:
            writer.write(line)
            await writer.drain()
            sent += len(line)
            await asyncio.sleep(0)
            if reader._buffer:  # type: ignore[attr-defined] # noqa: SLF001 - whether it was answered, without waiting
                break
        first = await reader.readline()
        writer.close()

    assert first.startswith(b"HTTP/1.1 400")
    assert sent < 8 * MAX_HEAD_BYTES


@pytest.mark.parametrize(
    "pieces",
    [[], [b"GET /health HTTP/1.1\r\n"], [b"GET /health HTTP/1.1\r\nx: "] + [b"a"] * 100, [b"\r\n"] * 100],
    ids=["nothing", "a line", "letter by letter", "empty lines"],
)
def test_a_head_that_comes_too_slowly_is_cut_off(pieces: list[bytes]) -> None:
    """After half a minute for the whole of it: who sends a little now and then gets no more time."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        options = uvicorn_config(create_app({"llms": {"a": {"model": "scripted/x"}}, "mixtures": ONE}))
        options.load()
        state = ServerState()
        server = await loop.create_server(
            lambda: options.http_protocol_class(config=options, server_state=state, app_state={}), "127.0.0.1", 0
        )
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(4)
            if reader.at_eof() or reader.exception():
                break
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        server.close()
        return loop.time()

    seconds = run_virtual(main())

    assert HEAD_SECONDS <= seconds < HEAD_SECONDS + 8


async def test_a_large_body_in_pieces_is_no_large_head() -> None:
    """Only the head is counted, request by request."""
    question = [{"role": "user", "content": "x" * (4 * MAX_HEAD_BYTES)}]
    async with Upstream(answer("One."), answer("Two.")) as upstream, served(config_of(upstream)) as server:
        replies = [await server.chat(model="one", messages=question) for _ in range(2)]

    assert [reply.status for reply in replies] == [200, 200]
