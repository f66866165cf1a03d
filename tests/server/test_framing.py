"""Where one HTTP request ends and the next begins: however it is cut, and whatever is sent instead."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mollm.server.connection import MAX_AHEAD_BYTES, MAX_HEAD_BYTES, MAX_REFUSED_BYTES
from mollm.server.gate import MAX_LATE_BYTES
from tests.fuzz import cases
from tests.server.peer import Peer, cut

READ = 256 * 1024
"""What is read at once at most."""


@dataclass(frozen=True)
class Sent:
    """One HTTP request, and what is answered."""

    raw: bytes
    answers: tuple[tuple[int, bytes], ...]
    is_last: bool = False


TEXTS = st.text(st.sampled_from("ab0Z _-;=:"), max_size=12).map(str.encode)
TOKENS = st.text(st.sampled_from("abZ09-_"), min_size=1, max_size=8).map(str.encode)
FIELDS = st.lists(st.tuples(TOKENS.map(b"X-".__add__), TEXTS), max_size=3)
BODIES = st.one_of(
    st.binary(max_size=40),
    st.lists(
        st.sampled_from((b"\r\n", b"\r\n\r\n", b"0", b"GET / HTTP/1.1", b"a", b"\r", b"\n", b": ")), max_size=12
    ).map(b"".join),
    st.integers(0, 9000).map(lambda size: b"x" * size),
)
CLOSING = {b"connection: close\r\n": True, b"connection: keep-alive\r\n": False, b"": False}


def lines(fields: list[tuple[bytes, bytes]]) -> bytes:
    """Return header or trailer lines."""
    return b"".join(b"%b: %b\r\n" % field for field in fields)


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """Return a body in chunks of any sort, with extensions and trailers."""
    found = b""
    for chunk in cut(body, draw(st.lists(st.integers(0, 60), max_size=5))):
        if chunk:
            size = draw(st.sampled_from((b"%x", b"%X", b"0%x", b"0000%X"))) % len(chunk)
            extension = draw(st.sampled_from((b"", b";a", b";a=b", b';a="b c";d=e', b";" + b"a" * 300)))
            found += b"%b%b\r\n%b\r\n" % (size, extension, chunk)
    return found + draw(st.sampled_from((b"0", b"000", b"0;a=b"))) + b"\r\n" + lines(draw(FIELDS)) + b"\r\n"


@st.composite
def requests(draw: st.DrawFn, paths: tuple[str, ...] = ("/echo", "/skip")) -> Sent:
    """Any valid HTTP request."""
    path, method = draw(st.sampled_from(paths)), draw(st.sampled_from(("GET", "POST", "PUT", "OPTIONS")))
    version = draw(st.sampled_from(("1.1", "1.1", "1.1", "1.0")))
    closing = draw(st.sampled_from(tuple(CLOSING)))
    body = draw(BODIES)
    framing = draw(st.sampled_from(("none", "length", "chunks")))
    fields = draw(FIELDS)
    expects = framing != "none" and draw(st.booleans())
    asks = not closing and draw(st.booleans())
    head = lines(fields) + closing + (b"Expect: 100-continue\r\n" if expects else b"")
    head += b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n" if asks else b""
    if framing == "length":
        raw = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunks":
        raw = head + b"Transfer-Encoding: chunked\r\n\r\n" + draw(chunked(body))
    else:
        raw, body = head + b"\r\n", b""
    blank = draw(st.sampled_from((b"", b"", b"\r\n", b"\r\n\r\n")))
    said = (200, f"{method} {path} ".encode() + (body if path == "/echo" else b""))
    answers = ((100, b""), said) if expects and path == "/echo" else (said,)
    start = blank + f"{method} {path} HTTP/{version}\r\n".encode()
    return Sent(start + raw, answers, CLOSING[closing] or version == "1.0")


def expected(sent: list[Sent]) -> list[tuple[int, bytes]]:
    """What is answered to these in a row: nothing to whatever follows the last."""
    found: list[tuple[int, bytes]] = []
    for one in sent:
        found += one.answers
        if one.is_last:
            break
    return found


PLACES = st.lists(st.integers(0, 2000), max_size=12)


def simple(raw: bytes, body: bytes = b"") -> Sent:
    """A request to `/echo`."""
    return Sent(raw, ((200, b"POST /echo " + body),))


CHUNKS = b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = simple(b"POST /echo HTTP/1.1\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, b"x" * 70_000)
SMALL = simple(b"POST /echo HTTP/1.1\r\nContent-Length: 1\r\n\r\ny", b"y")
H2C = b"POST /echo HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n%b"
HIDDEN = b"GET /skip HTTP/1.1\r\n\r\n"


@settings(max_examples=cases(150))
@given(st.lists(requests(), min_size=1, max_size=5), PLACES, st.integers(0, 4))
@example([LARGE, SMALL, LARGE], [], 0)  # the answer to the first was a 400, since what came counted as a head
@example([simple(H2C % (len(HIDDEN), HIDDEN), HIDDEN), SMALL], [100], 2)  # the body was a request of its own
@example([simple(CHUNKS + b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"), SMALL], range(80), 0)
@example([simple(b"\r\n" * 9000 + SMALL.raw, b"y"), SMALL], [], 0)
@example([simple(CHUNKS + b"0\r\na: b\r\n\r\n"), SMALL], range(80), 1)
def test_requests_in_a_row_are_answered_in_order_however_they_are_cut(
    sent: list[Sent], places: list[int], turns: int
) -> None:
    """Exactly as many answers, and nothing behind a request that closes the connection is worked on."""

    async def answers() -> tuple[list[tuple[int, bytes]], int]:
        async with Peer() as peer:
            await peer.send(*cut(b"".join(one.raw for one in sent), places), turns=turns)
            return peer.answers, len(peer.headers)

    wanted = expected(sent)
    assert asyncio.run(answers()) == (wanted, sum(status != 100 for status, _ in wanted))


@settings(max_examples=cases(100))
@given(
    st.lists(requests(("/echo",)), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=3),
    PLACES,
)
def test_requests_that_are_broken_are_taken_the_same_however_they_are_cut(
    sent: list[Sent], changes: list[tuple[int, int, bytes]], places: list[int]
) -> None:
    """What is well before is answered, and a 400 is the last answer."""
    raw = b"".join(one.raw for one in sent)
    for place, dropped, put in changes:
        raw = raw[:place] + put + raw[place + dropped :]

    async def answers(pieces: list[bytes]) -> tuple[list[tuple[int, bytes]], bool]:
        async with Peer() as peer:
            await peer.send(*pieces)
            assert peer.held <= len(raw)
            # Whether the client is asked for a body depends on whether that has come.
            return [answer for answer in peer.answers if answer[0] != 100], peer.is_refused

    whole, is_refused = asyncio.run(answers([raw]))

    assert asyncio.run(answers(cut(raw, places))) == (whole, is_refused)
    assert asyncio.run(answers(cut(raw, range(len(raw))))) == (whole, is_refused)
    assert 400 not in [status for status, _ in whole[:-1]]
    assert is_refused or not whole or whole[-1][0] != 400


def test_a_body_of_blank_lines_in_chunks_is_the_last_of_its_connection() -> None:
    """Each of them might be its end, so many are much work; the answer says that the connection is closed."""
    body = b"\r\n" * 100_000
    raw = CHUNKS + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) + SMALL.raw

    async def asked(places: range) -> None:
        async with Peer() as peer:
            await peer.send(*cut(raw, places))
            assert peer.answers == [(200, b"POST /echo " + body)]
            assert b"\r\nconnection: close\r\n" in peer.transport.written
            assert peer.is_refused

    asyncio.run(asked(range(0)))
    asyncio.run(asked(range(1, len(raw), 999)))


HEADS = (
    b"",
    b"GET /%b HTTP/1.1\r\n",
    b"POST /%b HTTP/1.1\r\n\r\n",
    b"POST /%b HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n",
)
STARTS = tuple(
    b"POST /%b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + begin
    for begin in (b"", b"0\r\n", b"0\r\nx: ", b"1;", b"0", b"1\r\na\r\n0;", b"fffffff\r\n")
)
UNITS = st.one_of(
    st.binary(min_size=1, max_size=20),
    st.sampled_from((b"x: y\r\n", b"1\r\na\r\n", b"1;x=" + b"y" * 50 + b"\r\na\r\n", b"x:\r\n")),
    st.sampled_from((b"\r\n", b"0", b"y", b" ")),
    st.sampled_from((HIDDEN, b"GET / HTTP/1.1\r\n\r\n", SMALL.raw, CHUNKS + b"0\r\n\r\n")),
)


@settings(max_examples=cases(60))
@given(st.sampled_from(HEADS + STARTS), UNITS, st.sampled_from((512, 4096, READ)))
@example(STARTS[1], b"x: y\r\n", READ)  # trailers were kept as headers, 18 times their size
@example(STARTS[2], b"y", 512)
@example(b"", HIDDEN, READ)  # ten thousand requests waited behind the first
def test_whatever_comes_without_end_little_is_taken_while_nobody_reads_it(head: bytes, unit: bytes, size: int) -> None:
    """The request is worked on, and neither its body nor what follows is wanted: about as much as a body may hold."""
    piece = unit * max(1, size // len(unit))

    async def flood() -> None:
        async with Peer() as peer:
            await peer.send(head.replace(b"%b", b"wait"))
            while not peer.transport.is_paused and not peer.is_refused and peer.taken < 8 << 20:
                before = peer.answers
                await peer.send(piece)
                assert peer.held <= MAX_AHEAD_BYTES + MAX_HEAD_BYTES + READ
                assert peer.running <= 1
                if peer.answers != before:
                    peer.taken = 0
                    if len(peer.answers) > 10:
                        return
            assert peer.taken <= 1 << 20

    asyncio.run(flood())


@settings(max_examples=cases(60))
@given(st.sampled_from(HEADS[1:] + STARTS), UNITS, st.sampled_from((512, 4096, READ)))
@example(STARTS[1], b"x: y\r\n", READ)
@example(HEADS[3], b"y", READ)  # it went on for as long as it came
def test_whatever_comes_without_end_little_is_taken_of_a_request_that_is_answered(
    head: bytes, unit: bytes, size: int
) -> None:
    """It is read on for a while, so that the client can see its answer, and then the connection is closed."""
    piece = unit * max(1, size // len(unit))
    length = re.search(rb"(?i)content-length: (\d+)", head)
    announced = int(length[1]) if length and int(length[1]) <= MAX_REFUSED_BYTES else 0

    async def flood() -> None:
        async with Peer() as peer:
            await peer.send(head.replace(b"%b", b"skip"))
            while not peer.transport.is_closed and peer.taken < announced + (8 << 20):
                before = peer.answers
                await peer.send(piece)
                assert peer.held <= MAX_AHEAD_BYTES + MAX_HEAD_BYTES + READ
                if peer.answers != before:
                    peer.taken = 0
                    if len(peer.answers) > 10:
                        return
            assert peer.taken <= announced + MAX_LATE_BYTES + MAX_HEAD_BYTES + 2 * READ

    asyncio.run(flood())
