"""More HTTP requests than there is room for: who is refused, at what cost, and who is not kept waiting by it."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.server.admission import AT_ONCE
from mollm.server.gate import MAX_LATE_BYTES
from tests.fuzz import cases
from tests.server.served import HI, config_of, served, until
from tests.upstream import Reply, Upstream, answer, hang

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.server.served import Client

KEY = "k" * 32
PAGE = "https://app.example.org"
QUESTION = json.dumps({"model": "one", "messages": HI}).encode()
HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


def config(upstream: Upstream, **server: Any) -> dict[str, Any]:
    """Room for one question that is worked on, unless `server` says else."""
    return config_of(upstream, server={"max_in_flight": 1, "queue": 0, **server})


def post(
    body: bytes = QUESTION, *, path: str = "/v1/chat/completions", length: int | None = None, **more: str
) -> bytes:
    """An HTTP request as bytes; it may tell of another length than its body has."""
    named = {"host": "x", "content-length": str(len(body) if length is None else length), **more}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def chunked(body: bytes = QUESTION) -> bytes:
    """An HTTP request whose body comes in chunks."""
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:]))
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


class Wire:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read and write one."""
        self.reader, self.writer = reader, writer

    async def reply(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next response."""
        async with asyncio.timeout(10):
            line, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            headers = dict(line.lower().split(": ", 1) for line in lines)
            return int(line.split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def asked(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """What is answered to these bytes."""
        self.writer.write(data)
        return await self.reply()


@asynccontextmanager
async def wire(server: Client) -> AsyncGenerator[Wire, None]:
    """A connection to a server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.base).port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def full(**server: Any) -> AsyncGenerator[tuple[Client, Upstream], None]:
    """A server whose one place is taken by a question that is not answered while the block runs."""
    go = asyncio.Event()
    headers = {"authorization": f"Bearer {KEY}"} if "api_keys" in server else {}
    async with Upstream(Reply(answer().parts, before=go)) as upstream, served(config(upstream, **server)) as served_at:
        first = asyncio.create_task(served_at.post("/v1/chat/completions", QUESTION, **headers))
        await upstream.request(1)
        yield served_at, upstream
        go.set()
        await first


def left_at_once(server: Client, data: bytes) -> None:
    """Connect, send and leave before the event loop goes on, so that all of it is there when the server looks."""
    with socket.create_connection(("127.0.0.1", urlsplit(server.base).port or 0)) as gone:
        gone.sendall(data)


async def test_who_is_gone_when_it_is_read_takes_no_place() -> None:
    """Its question and the end of its connection were there together: nobody is called for it, others are let in."""
    async with (
        Upstream(answer("Warm."), answer("Mine."), answer("Late.")) as upstream,
        served(config(upstream)) as server,
    ):
        await server.chat(model="one")  # a connection to the upstream is open, so that a call leaves at once
        for _ in range(20):
            left_at_once(server, post())
        registry = server.deployment.metrics.registry
        await until(lambda: (registry.get_sample_value("mollm_requests_total", {"mixture": ""}) or 0) >= 19)
        mine = await server.chat(model="one")
        gone = await server.metric("request_failures_total", mixture="", cause="client_gone")
        refused = await server.metric("request_failures_total", mixture="", cause="overloaded")

    assert mine.body["choices"][0]["message"]["content"] == "Mine."
    assert (len(upstream.received), gone, refused) == (2, 20, 0)


async def test_who_left_the_queue_in_the_moment_of_its_turn_is_passed_over() -> None:
    """The end of its connection came with the answer that made room; who stands behind it is let in."""
    go = asyncio.Event()
    upstream = Upstream(answer("Warm."), Reply(answer("First.").parts, before=go), answer("Third."))
    async with upstream, served(config(upstream, queue=2)) as server:
        await server.chat(model="one")
        first = asyncio.create_task(server.chat(model="one"))
        await upstream.request(2)
        second = socket.create_connection(("127.0.0.1", urlsplit(server.base).port or 0))
        second.sendall(post())
        await until(lambda: server.deployment.admission.waiting == 1)
        third = asyncio.create_task(server.chat(model="one"))
        await until(lambda: server.deployment.admission.waiting == 2)
        go.set()
        second.close()
        assert (await first).status == 200
        reply = await third

    assert reply.body["choices"][0]["message"]["content"] == "Third."
    assert len(upstream.received) == 3


async def test_who_waited_too_long_is_dropped() -> None:
    """With 503 and `Retry-After`, counted, and nobody was called for it; its place in the queue is free."""
    async with full(queue=1, queue_seconds=0.05) as (server, upstream):
        replies = [await server.chat(model="one", stream=stream) for stream in (False, True)]
        refused = await server.metric("request_failures_total", mixture="", cause="overloaded")
        waiting = await server.metric("queue_length")

    assert [reply.status for reply in replies] == [503, 503]
    assert all(reply.body["error"]["code"] == "overloaded" for reply in replies)
    assert all(1 <= int(reply.headers["retry-after"]) <= 60 for reply in replies)
    assert "no room within 0.05 s" in replies[0].body["error"]["message"]
    assert (refused, waiting, len(upstream.received)) == (2, 0, 1)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions/", "/predict"])
async def test_a_refusal_reads_no_body_and_calls_nobody(path: str) -> None:
    """It is told by the head alone; the body may come later, and the connection goes on with what follows it."""
    body = b"{" + b" " * 100_000
    async with full() as (server, upstream), wire(server) as line:
        for _ in range(3):
            status, headers, told = await line.asked(post(b"", path=path, length=len(body)))
            assert status == 503
            assert json.loads(told)["error"]["code"] == "overloaded"
            assert 1 <= int(headers["retry-after"]) <= 60
            assert "connection" not in headers
            assert (await line.asked(body + HEALTH))[0] == 200
        refused = await server.metric("request_failures_total", mixture="", cause="overloaded")
        questions = await server.metric("requests_total", mixture="")

    assert (refused, questions, len(upstream.received)) == (3, 3, 1)


async def test_those_that_are_refused_count_for_their_key() -> None:
    """By the head alone, as any other way."""
    keys = [{"name": "anna", "key": KEY}]
    async with full(api_keys=keys) as (server, _), wire(server) as line:
        for _ in range(3):
            assert (await line.asked(post(authorization=f"Bearer {KEY}")))[0] == 503
        page = await server.get("/metrics", authorization=f"Bearer {KEY}")

    assert 'mollm_key_requests_total{key="anna"} 4.0' in page.raw.decode()


async def test_what_is_refused_behind_others_of_the_moment_is_told_of_them() -> None:
    """Many that come at once are refused before the first of them is let in; the message has the room that is full."""
    async with Upstream() as upstream, served(config(upstream, max_in_flight=2, queue=1)) as server:
        upstream.reply_to = lambda _: hang()
        connections = [await asyncio.open_connection("127.0.0.1", urlsplit(server.base).port) for _ in range(8)]
        for _, writer in connections:
            writer.write(post())
        async with asyncio.timeout(10):
            waiting = {asyncio.create_task(reader.readuntil(b"}}")) for reader, _ in connections}
            told: list[bytes] = []
            while len(told) < 5:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                told += [task.result() for task in done]
        for task in waiting:
            task.cancel()
        for _, writer in connections:
            writer.close()

    assert all(b"2 HTTP requests are in flight and 1 waiting, which is all there is room for" in text for text in told)


async def test_no_body_is_asked_for_that_would_not_be_read() -> None:
    """A client that waits to be told to go on is told that there is no room."""
    async with full() as (server, _), wire(server) as line:
        assert (await line.asked(post(b"", length=9999, expect="100-continue")))[0] == 503


@pytest.mark.parametrize(
    "head", [post(b"", length=MAX_LATE_BYTES + 1), chunked().partition(b"\r\n\r\n")[0] + b"\r\n\r\n"]
)
async def test_a_body_that_is_long_or_without_end_ends_the_connection(head: bytes) -> None:
    """The client is told so if that is known, and what it sends is dropped so far only."""
    async with full() as (server, _), wire(server) as line:
        status, headers, _ = await line.asked(head)
        piece, sent = b"8000\r\n" + b"x" * 0x8000 + b"\r\n", 0
        with pytest.raises(ConnectionError):
            while sent < 100 * MAX_LATE_BYTES:
                line.writer.write(piece)
                await line.writer.drain()
                sent += len(piece)

    assert status == 503
    assert headers.get("connection") == ("close" if b"content-length" in head else None), "a short one is not known yet"


async def test_a_connection_that_is_not_to_be_kept_is_closed() -> None:
    """As its client asked."""
    async with full() as (server, _), wire(server) as line:
        status, headers, _ = await line.asked(post(connection="close"))
        assert (status, headers["connection"]) == (503, "close")
        assert await line.reader.read() == b""


async def test_health_is_not_behind_those_that_come_before_it() -> None:
    """Hundreds of questions were there first: it is answered when a few of them are let in, and not after all."""
    async with Upstream() as upstream, served(config(upstream, max_in_flight=400)) as server:
        upstream.reply_to = lambda _: hang()
        held = []
        for _ in range(400):
            held.append(socket.create_connection(("127.0.0.1", urlsplit(server.base).port or 0)))
            held[-1].sendall(post())
        seen = []
        for path in ("/health", "/ready", "/metrics"):
            async with wire(server) as line:
                status = (await line.asked(HEALTH.replace(b"/health", path.encode())))[0]
                seen.append((status, server.deployment.admission.in_flight))
        for connection in held:
            connection.close()

    assert [status for status, _ in seen] == [200] * 3
    assert seen[0][1] <= 10 * AT_ONCE


async def test_health_is_answered_while_nobody_is_let_in() -> None:
    """On the connection of somebody who was refused, and on another."""
    async with full(queue=2) as (server, upstream):
        waiting = [asyncio.create_task(server.chat(model="one")) for _ in range(2)]
        await until(lambda: server.deployment.admission.waiting == 2)
        for _ in range(50):
            async with wire(server) as line:
                assert (await line.asked(post()))[0] == 503
                assert (await line.asked(HEALTH))[0] == 200
        told = [(await server.get(path)).status for path in ("/health", "/ready", "/metrics", "/v1/models")]
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

    assert told == [200] * 4
    assert len(upstream.received) == 1


@pytest.mark.parametrize("is_known", [False, True], ids=["new connection", "kept connection"])
async def test_who_may_not_come_in_is_told_so_and_nothing_of_the_room(is_known: bool) -> None:
    """A wrong key, none, too long a body, a path that is not served: as on a server with room."""
    async with full(api_keys=[KEY], max_body=1000) as (server, _):
        named: Any = {"authorization": f"Bearer {KEY}"}
        cases = {
            post(): 401,
            post(authorization="Bearer wrong"): 401,
            post(b"x" * 1001, **named): 413,
            post(path="/v1/nothing", **named): 404,
            post(**named): 503,
        }
        for data, status in cases.items():
            async with wire(server) as line:
                if is_known:
                    assert (await line.asked(HEALTH))[0] == 200
                found, _, told = await line.asked(data)
                assert found == status
                assert (b"in flight" in told) == (status == 503)


@pytest.mark.parametrize("is_known", [False, True], ids=["new connection", "kept connection"])
async def test_a_page_can_read_that_it_was_refused(is_known: bool) -> None:
    """One that is let in; another is told what it is told on a server with room, and so is one under a foreign name."""
    async with full(origins=[PAGE]) as (server, _), wire(server) as line:
        if is_known:
            assert (await line.asked(HEALTH))[0] == 200
        status, headers, _ = await line.asked(post(origin=PAGE))
        assert (status, headers["access-control-allow-origin"], headers["vary"]) == (503, PAGE, "origin")
        assert headers["access-control-expose-headers"] == "retry-after, x-request-id"
        assert (await line.asked(post()))[1]["vary"] == "origin"
        foreign, headers, _ = await line.asked(post(origin="https://evil.example"))
        assert (foreign, "access-control-allow-origin" in headers) == (403, False)
        assert (await line.asked(post(host="evil.example")))[0] == 403


SENT = {
    "question": (post(), 503),
    "many headers": (post(user_agent="a b", accept="*/*", connection="Keep-Alive"), 503),
    "no space": (post().replace(b"host: x", b"Host:x"), 503),
    "chunked": (chunked(), 503),
    "query": (post(path="/predict?x=1"), 503),
    "escaped": (post(path="/%70redict"), 503),
    "health": (HEALTH, 200),
    "listed": (b"GET /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", 200),
    "elsewhere": (post(path="/v1/completions"), 404),
}
PIECES = st.lists(st.tuples(st.sampled_from(sorted(SENT)), st.integers(0, 400)), min_size=1, max_size=6)


@settings(max_examples=cases(25))
@given(PIECES, st.booleans())
def test_however_it_comes_the_connection_stays_in_step(sent: list[tuple[str, int]], waits: bool) -> None:
    """HTTP requests of every kind on one connection, cut anywhere and sent ahead or one by one: a reply to each.

    It may end with one whose body has no length, and says so.
    """

    async def main() -> None:
        async with full() as (server, upstream), wire(server) as line:

            async def send(name: str, at: int) -> None:
                for part in (SENT[name][0][:at], SENT[name][0][at:]):
                    line.writer.write(part)
                    await asyncio.sleep(0)  # they are two reads, mostly

            if not waits:
                line.writer.write(b"".join(SENT[name][0] for name, _ in sent))
            for name, at in sent:
                if waits:
                    await send(name, at)
                status, headers, _ = await line.reply()
                assert status == SENT[name][1]
                if headers.get("connection") == "close":
                    assert name == "chunked"
                    assert await line.reader.read() == b""
                    break
            assert len(upstream.received) == 1

    asyncio.run(main())


async def test_room_that_comes_back_is_used_by_who_was_refused() -> None:
    """On the very connection, the next question is answered; so much in turn as may come."""
    go = asyncio.Event()
    upstream = Upstream(Reply(answer("First.").parts, before=go), answer("Second."))
    async with upstream, served(config(upstream)) as server, wire(server) as line:
        first = asyncio.create_task(server.chat(model="one"))
        await upstream.request(1)
        assert (await line.asked(post()))[0] == 503
        go.set()
        await first
        status, _, told = await line.asked(post())

    assert (status, b"Second." in told) == (200, True)


async def test_a_server_that_stops_refuses_by_the_head() -> None:
    """What is told is that it stops."""
    async with full() as (server, _), wire(server) as line:
        server.deployment.admission.is_draining = True
        status, headers, told = await line.asked(post(b"", length=100))

    assert (status, b"about to stop" in told) == (503, True)
    assert "retry-after" in headers
