"""What one connection may take: in memory, in time, and of what belongs to nobody."""

from __future__ import annotations

import asyncio
import gc
import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from mollm.errors import TooSlow
from mollm.server.app import create_app
from mollm.server.body import BODY_SECONDS, Bodies
from mollm.server.connection import HEAD_SECONDS, LATE_SECONDS, MAX_HEAD_BYTES
from mollm.server.failures import failed
from mollm.server.process import uvicorn_config
from tests.clock import run_virtual
from tests.server.peer import Peer
from tests.server.served import config_of, served
from tests.server.test_process import SCRIPTED, serving, write
from tests.upstream import Upstream, answer

ONE = {"one": {"description": "One.", "workers": ["a"]}}

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
        build: Any = options.http_protocol_class
        state = ServerState()
        server = await loop.create_server(
            lambda: build(config=options, server_state=state, app_state={}), "127.0.0.1", 0
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


async def flooded(port: int | None, head: bytes, piece: bytes) -> tuple[bytes, bool]:
    """Send `head` and then `piece` again and again; return what was answered, and whether that came to an end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    sent = 0
    with suppress(ConnectionError):
        while sent < FLOOD and not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
    got = bytes(reader._buffer)  # type: ignore[attr-defined] # noqa: SLF001 - also what came before a reset
    writer.close()
    return got, sent < FLOOD


FLOOD = 16 << 20
KEY = "k" * 20
CHUNKED = b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n"
FLOODS = {
    "trailers": (b"0\r\n", b"x: y\r\n" * 10_000),
    "one trailer without end": (b"0\r\nx: ", b"y" * 60_000),
    "the size of a chunk without end": (b"1;x=", b"y" * 60_000),
    "chunks that are all extension": (b"", (b"1;x=" + b"y" * 100 + b"\r\na\r\n") * 600),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read in /proc")
@pytest.mark.parametrize("server", [{}, {"api_keys": [KEY]}], ids=["without keys", "with keys"])
async def test_what_surrounds_a_body_takes_no_memory(server: dict[str, Any], tmp_path: Path) -> None:
    """On every path, answered or not: the connection ends before 16 MiB are sent, and nothing of it is kept."""
    async with serving(write(tmp_path, SCRIPTED, **server)) as process:
        port = urlsplit(process.base).port
        before = memory(process.process.pid)
        for path in (b"/health", b"/v1/chat/completions", b"/nothing"):
            for begin, piece in FLOODS.values():
                _, has_ended = await flooded(port, CHUNKED % path + begin, piece)
                assert has_ended
        reply = await process.get("/health")
        growth = memory(process.process.pid) - before

    assert reply.status == 200
    assert growth < 50 << 20


def memory(pid: int) -> int:
    """Bytes of memory that a process has taken at most."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0]) << 10


@pytest.mark.parametrize("path", ["/health", "/v1/chat/completions", "/nothing"])
async def test_a_body_without_end_is_not_read_on_once_its_request_is_answered(path: str) -> None:
    """The client can read its answer, and is cut off then."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 99999999999\r\n\r\n".encode()
    keyed = {"api_keys": [KEY]}
    async with Upstream() as upstream, served(config_of(upstream, server=keyed)) as server:
        got, has_ended = await flooded(urlsplit(server.base).port, head, b"y" * 60_000)

    assert got.startswith(b"HTTP/1.1 4")
    assert has_ended


async def test_a_refusal_is_not_lost_in_a_reset() -> None:
    """The client has sent a long body before it looks, and wants the connection to be closed."""
    body = b"y" * 900_000
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    keyed = {"api_keys": [KEY]}
    async with Upstream() as upstream, served(config_of(upstream, server=keyed)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.base).port)
        writer.write(head % len(body) + body)
        async with asyncio.timeout(20):
            whole = await reader.read()
        writer.close()

    assert b"invalid_api_key" in whole


async def test_a_key_in_a_trailer_is_none() -> None:
    """Trailers come after whatever headers decide, so they are no headers."""
    end = b"2\r\n{}\r\n0\r\nauthorization: Bearer " + KEY.encode() + b"\r\n\r\n"
    keyed = {"api_keys": [KEY]}
    async with Upstream() as upstream, served(config_of(upstream, server=keyed)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.base).port)
        writer.write(CHUNKED % b"/v1/chat/completions" + end)
        first = await reader.readline()
        writer.close()

    assert first == b"HTTP/1.1 401 Unauthorized\r\n"


async def test_a_request_and_the_beginning_of_the_next_in_one_write() -> None:
    """Only what belongs to a head counts as one."""
    question = json.dumps({"model": "one", "messages": [{"role": "user", "content": "x" * 100_000}]}).encode()
    one = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(question) + question
    async with Upstream(answer("One."), answer("Two.")) as upstream, served(config_of(upstream)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.base).port)
        writer.write(one + one[:30])
        first = await reader.readuntil(b"One.")
        writer.write(one[30:])
        second = await reader.readuntil(b"Two.")
        writer.close()

    assert first.startswith(b"HTTP/1.1 200")
    assert second.count(b"HTTP/1.1 200") == 1


GET = b"GET /skip HTTP/1.1\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\n"
CODED = b"transfer-encoding: chunked\r\n\r\n"
CHUNKS = POST + CODED
CLOSED, OPEN = True, False
ODD = {
    "length and chunks": (
        POST + b"content-length: 5\r\n" + CODED + b"0\r\n\r\n" + GET,
        [400],
        CLOSED,
    ),
    "chunks and length": (
        POST + CODED.removesuffix(b"\r\n") + b"content-length: 5\r\n\r\n0\r\n\r\n" + GET,
        [400],
        CLOSED,
    ),
    "two lengths": (POST + b"content-length: 1\r\ncontent-length: 1\r\n\r\na" + GET, [400], CLOSED),
    "a list of lengths": (POST + b"content-length: 1, 1\r\n\r\na" + GET, [400], CLOSED),
    "a length with a sign": (POST + b"content-length: +1\r\n\r\na" + GET, [400], CLOSED),
    "a length with space": (POST + b"content-length:  1 \r\n\r\na" + GET, [200, 200], OPEN),
    "an unknown encoding": (POST + b"transfer-encoding: identity\r\n\r\n" + GET, [400], CLOSED),
    "an encoding after chunks": (POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + GET, [400], CLOSED),
    "space before a colon": (POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n" + GET, [400], CLOSED),
    "lines without a return": (b"GET /skip HTTP/1.1\nhost: x\n\n" + GET, [400], CLOSED),
    "a chunk without a return": (CHUNKS + b"1\na\r\n0\r\n\r\n" + GET, [400], CLOSED),
    "a folded header": (b"GET /skip HTTP/1.1\r\nx: y\r\n z\r\n\r\n" + GET, [400], CLOSED),
    "a zero byte": (b"GET /skip HTTP/1.1\r\nx: \0\r\n\r\n" + GET, [400], CLOSED),
    "a zero byte in the path": (b"GET /\0 HTTP/1.1\r\n\r\n" + GET, [400], CLOSED),
    "a whole address": (b"GET http://x/skip HTTP/1.1\r\n\r\n" + GET, [200, 200], OPEN),
    "an address without a path": (b"GET http://x HTTP/1.1\r\n\r\n" + GET, [400], CLOSED),
    "no path": (b"OPTIONS * HTTP/1.1\r\n\r\n" + GET, [200, 200], OPEN),
    "a tunnel": (b"CONNECT x:80 HTTP/1.1\r\n\r\n" + GET, [400], CLOSED),
    "HTTP/2 at once": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400], CLOSED),
    "TLS": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", [400], CLOSED),
    "HTTP/1.0 that stays": (b"GET /skip HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" + GET, [200], CLOSED),
    "the last of three": (GET + b"GET /skip HTTP/1.1\r\nconnection: close\r\n\r\n" + GET, [200, 200], CLOSED),
    "a web socket": (
        b"GET /skip HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" + GET,
        [200, 200],
        OPEN,
    ),
    "h2c and an unknown encoding": (
        POST + b"connection: upgrade\r\nupgrade: h2c\r\ntransfer-encoding: x\r\n\r\n" + GET,
        [400],
        CLOSED,
    ),
    "a size that is too large": (
        CHUNKS + b"f" * 17 + b"\r\n" + GET,
        [400],
        CLOSED,
    ),
}


@pytest.mark.parametrize("case", ODD)
async def test_odd_requests(case: str, caplog: pytest.LogCaptureFixture) -> None:
    """What may mean two things is refused with what follows; nothing hangs, and nothing is a failure of ours."""
    raw, statuses, is_closed = ODD[case]
    async with Peer() as peer:
        await peer.send(raw)
        assert [status for status, _ in peer.answers] == statuses
        assert peer.is_refused == is_closed

    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_odd_requests_to_the_whole_server(caplog: pytest.LogCaptureFixture) -> None:
    """What is passed on is nothing that an endpoint, or what stands before it, fails on."""
    async with Upstream() as upstream:
        app = create_app(config_of(upstream))
        for raw, statuses, is_closed in ODD.values():
            async with Peer(app) as peer:
                await peer.send(raw)
                assert len(peer.answers) == len(statuses)
                assert all(status < 500 for status, _ in peer.answers)
                assert peer.is_refused == is_closed
        await app.state.deployment.aclose()

    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_what_is_wrong_behind_a_request_is_not_the_answer_to_it() -> None:
    """The first is worked on; its answer comes first."""
    async with Peer() as peer:
        await peer.send(b"POST /wait HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nnonsense\r\n\r\n")
        before = peer.answers
        peer.go.set()
        await peer.settle()

        assert not before
        assert [status for status, _ in peer.answers] == [200, 400]


async def test_ten_thousand_requests_in_one_write_wait_unread() -> None:
    """One is worked on, and the others take no more than their bytes."""
    async with Peer() as peer:
        peer.connection.data_received(GET * 10_000)
        gc.collect()
        cycles = [found for found in gc.get_objects() if isinstance(found, RequestResponseCycle)]
        begun = sum(cycle.flow is peer.connection.flow for cycle in cycles)
        await peer.settle()
        answers = peer.answers

    assert begun == 1
    assert answers == [(200, b"GET /skip ")] * 10_000


async def test_trailers_that_are_too_long_end_a_request_that_is_worked_on() -> None:
    """Whoever works on it is told, and nothing is answered twice."""
    async with Peer() as peer:
        await peer.send(CHUNKS + b"0\r\n", *[b"x: y\r\n" * 1000] * 20)
        assert peer.running == 0
        assert [status for status, _ in peer.answers] == [400]
        assert peer.is_refused


def seconds_until_closed(*sent: bytes, drip: bytes = b"", app: Any = None) -> tuple[list[int], float]:
    """Send that, then one byte of `drip` a second; return what was answered, and how long the connection was open."""

    async def wait() -> tuple[list[int], float]:
        loop = asyncio.get_running_loop()
        async with Peer(app) as peer:
            await peer.send(*sent)
            begun = loop.time()
            while not peer.transport.is_closed and loop.time() < begun + 1000:
                await asyncio.sleep(1)
                await (peer.send(drip) if drip else peer.settle())
            return [status for status, _ in peer.answers], loop.time() - begun

    return run_virtual(wait())


SLOW = {
    "nothing more": (GET, b"", 75),
    "blank lines": (GET, b"\n", HEAD_SECONDS),
    "the head of the next": (GET + b"GET /skip HTTP/1.1\r\nx: ", b"x", HEAD_SECONDS),
    "a body that nobody reads": (b"POST /skip HTTP/1.1\r\ncontent-length: 9999\r\n\r\n", b"x", LATE_SECONDS),
    "trailers that nobody reads": (
        b"POST /skip HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ",
        b"x",
        LATE_SECONDS,
    ),
    "nothing of a body": (b"POST /skip HTTP/1.1\r\ncontent-length: 9999\r\n\r\n", b"", LATE_SECONDS),
    "a body that is too long": (b"POST /skip HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n", b"x", LATE_SECONDS),
}


@pytest.mark.parametrize("case", SLOW)
def test_a_connection_whose_request_is_answered_is_closed(case: str) -> None:
    """However slowly something comes, it does not stay open for that."""
    raw, drip, seconds = SLOW[case]

    statuses, open_for = seconds_until_closed(raw, drip=drip)

    assert statuses == [200]
    assert open_for == pytest.approx(seconds, abs=2)


def test_a_body_that_comes_late_leaves_the_connection_as_it_was() -> None:
    """It is dropped, the next request is answered, and then the connection is as idle as any."""
    late = [b"POST /skip HTTP/1.1\r\ncontent-length: 9999\r\n\r\n", b"x" * 9999]

    for sent in ([*late, GET], late):
        statuses, open_for = seconds_until_closed(*sent)
        assert statuses == [200] * (len(sent) - 1)
        assert open_for == pytest.approx(75, abs=2)


def test_slow_trailers_are_as_slow_a_body() -> None:
    """They belong to the request, which is not there without them."""
    bodies = Bodies(1 << 20)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await bodies.share().read(scope, receive)
        except TooSlow as error:
            await failed(scope, error)(scope, receive, send)

    raw = CHUNKS + b"2\r\n{}\r\n0\r\nx: "

    statuses, open_for = seconds_until_closed(raw, drip=b"y", app=app)

    assert statuses == [408]
    assert open_for == pytest.approx(BODY_SECONDS + LATE_SECONDS, abs=2)


async def test_a_refusal_is_read_by_who_sends_all_of_a_long_body_first() -> None:
    """As many clients do it: the connection is not reset under what was written to it."""
    length = 33 << 20
    async with Upstream() as upstream, served(config_of(upstream)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.base).port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length)
        for _ in range(33):
            writer.write(b"x" * (1 << 20))
            await writer.drain()
        status = await reader.readline()
        writer.close()

    assert status.startswith(b"HTTP/1.1 413")
