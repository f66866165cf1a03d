"""Whatever an upstream sends, byte for byte: the client gets an answer or an error as OpenAI has it, and soon."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests.fuzz import cases
from tests.server.served import Caller, Reply, config_of, served
from tests.upstream import USAGE, chunk, sse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

End = Literal["close", "abort", "stay"]
PATIENCE = {"connect": 2, "total": 0.6, "first_token": 0.5, "idle": 0.4}
"""Of the LLMs; what an upstream that goes silent costs."""


@dataclass(frozen=True)
class Sent:
    """What the upstream sends on a connection, once it has read a request."""

    pieces: tuple[bytes, ...]
    end: End = "close"

    @property
    def raw(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


@asynccontextmanager
async def upstream(*script: Sent) -> AsyncGenerator[Any, None]:
    """Listen, and answer each request with the next of the script, and the last again and again."""
    count = 0
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        writers.append(writer)
        try:
            while await _request(reader):
                sent = script[min(count, len(script) - 1)]
                count += 1
                for piece in sent.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if sent.end == "abort":
                    writer.transport.abort()
                if sent.end != "stay":
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the server had enough of it
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:

        class At:
            base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

        yield At
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


async def _request(reader: asyncio.StreamReader) -> bool:
    """Read one; False where there is none any more."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    await reader.readexactly(length)
    return True


class _Heard(logging.Handler):
    """Keeps what is logged as an error, or with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.records.append(self.format(record))


@contextmanager
def quiet() -> Generator[None, None, None]:
    """Nothing is logged as an error: what an upstream does wrong is no fault of the server."""
    heard = _Heard()
    logging.getLogger().addHandler(heard)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(heard)
    assert heard.records == []


def is_error(body: Any) -> bool:
    """OpenAI's error object, and nothing beside it."""
    return set(body) == {"error"} and {"message", "type", "param", "code"} <= set(body["error"])


def is_answer(reply: Reply, streamed: bool) -> bool:
    """An answer that is complete; what is neither that nor a proper error fails."""
    if reply.status != 200:
        assert 400 <= reply.status < 600
        assert is_error(reply.body)
        assert reply.body["error"]["message"]
        return False
    if not streamed:
        (choice,) = reply.body["choices"]
        assert reply.body["object"] == "chat.completion"
        assert choice["finish_reason"] in ("stop", "length", "content_filter", "tool_calls")
        message = choice["message"]
        assert message["role"] == "assistant"
        said = message.get("content") or message.get("refusal")
        assert isinstance(said, str)
        assert said.strip()
        return True
    *before, last = reply.events
    assert all(item["object"] == "chat.completion.chunk" for item in before if "error" not in item)
    if last != "[DONE]":
        assert is_error(last)
        assert not any("error" in item for item in before)
        return False
    assert not any("error" in item for item in before)
    reasons = [item["choices"][0]["finish_reason"] for item in before if item["choices"]]
    assert reasons[-1] is not None
    return True


async def asked(*script: Sent, mixture: str, streamed: bool) -> bool:
    """Ask a server whose LLMs are all at such an upstream; True where the client got an answer."""
    async with upstream(*script) as at:
        config = config_of(at)
        for name in "abc":
            config["llms"][name] = {**config["llms"][name], "timeout": PATIENCE}
        with quiet():
            async with served(config) as server, asyncio.timeout(20):
                reply = await server.chat(model=mixture, stream=streamed)
                found = is_answer(reply, streamed)
                await _is_well(server)
    return found


async def _is_well(server: Caller) -> None:
    assert (await server.get("/health")).status == 200
    assert await server.metric("http_requests_in_flight") == 0


# --- what is sent

COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Four."}, "finish_reason": "stop"}],
    "usage": USAGE,
}
WHOLE = json.dumps(COMPLETION).encode()
EVENTS = (
    sse(chunk({"role": "assistant", "content": ""})),
    sse(chunk({"content": "Fo"})),
    sse(chunk({"content": "ur."})),
    sse(chunk({}, "stop")),
    sse({"id": "1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}),
    b"data: [DONE]\n\n",
)
ERROR = json.dumps({"error": {"message": "no", "type": "server_error", "code": 500}}).encode()
PIECES = st.sampled_from(
    [
        *(WHOLE, *EVENTS, ERROR, sse({"error": {"message": "no"}}), b"event: error\n", b"data: ", b"\n\n", b"\r\n"),
        *(b"{", b"}", b"[", b"null", b'"', b"\0", b"\xff\xfe", b"\xed\xa0\x80", b": ping\n\n", b"data: null\n\n"),
        *(b"<html>Bad Gateway</html>", gzip.compress(WHOLE), sse(chunk({"content": None})), sse([]), sse({})),
        *(sse({"choices": [{}]}), sse({"choices": [None]}), sse({"choices": {"a": 1}}), b'{"choices": []}'),
        *(sse(chunk({"tool_calls": [{"index": 10**30}]})), sse(chunk({"content": ["x", {"text": 1}]}))),
        *(sse(chunk({"content": "x" * 70_000})), b'{"choices":[{"message":{"content":"' + b'\\"' * 40_000),
    ]
)
BODIES = (
    st.just(WHOLE) | st.just(b"".join(EVENTS)) | st.lists(PIECES, max_size=6).map(b"".join) | st.binary(max_size=200)
)
STATUSES = st.sampled_from(
    [b"200 OK"] * 8
    + [b"200", b"201 Created", b"204 No Content", b"206 Partial", b"301 Moved", b"307 Moved", b"304 Same"]
    + [
        b"400 Bad",
        b"401 No",
        b"404 None",
        b"413 Long",
        b"418 Tea",
        b"429 Wait",
        b"500 Broken",
        b"503 Busy",
        b"529 Full",
    ]
    + [b"599 X", b"999 X", b"100 Continue", b"101 Switching Protocols", b"103 Early", b"000 X", b"20 X", b"abc", b""]
)
HEADERS = st.sampled_from(
    [
        *(b"content-type: application/json", b"content-type: text/event-stream", b"content-type: text/html"),
        *(b"content-type: text/event-stream; charset=utf-16", b"content-type: \xff", b"content-encoding: gzip"),
        *(b"content-encoding: br", b"content-encoding: zstd", b"content-encoding: deflate", b"content-encoding: x"),
        *(b"retry-after: 1", b"retry-after: -1", b"retry-after: 99999999999999999999", b"retry-after: soon"),
        *(b"connection: close", b"connection: keep-alive", b"location: http://u:p@127.0.0.1:1/", b"location: //"),
        *(b"set-cookie: a=b; domain=127.0.0.1", b"x: " + b"y" * 9_000, b"x: \x00", b" folded: 1", b"no colon", b": 1"),
        *(b"content-length: 5", b"content-length: -1", b"content-length: 99999999", b"content-length: x"),
        *(b"transfer-encoding: chunked", b"transfer-encoding: gzip, chunked", b"transfer-encoding: x", b"upgrade: h2c"),
    ]
)


@st.composite
def responses(draw: st.DrawFn) -> Sent:
    """A response that is nearly one: its parts from all over, cut into pieces, changed at a place, and broken off."""
    body = draw(BODIES)
    head = [b"HTTP/1.1 " + draw(STATUSES), *draw(st.lists(HEADERS, max_size=3))]
    framing = draw(st.sampled_from(["length", "chunked", "close", "none"]))
    if framing == "length":
        head.append(b"content-length: %d" % len(body))
    if framing == "chunked":
        head.append(b"transfer-encoding: chunked")
        body = _chunked(
            body, draw(st.integers(1, 400)), draw(st.sampled_from([b"0\r\n\r\n", b"", b"0\r\nx: y\r\n\r\n"]))
        )
    raw = b"\r\n".join(head) + b"\r\n\r\n" + body
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(raw)))
        raw = raw[:place] + draw(st.binary(max_size=6)) + raw[place + draw(st.integers(0, 6)) :]
    if draw(st.integers(0, 3)) == 0:
        raw = raw[: draw(st.integers(0, len(raw)))]
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=4)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    end: End = draw(st.sampled_from(["close", "close", "abort", "stay"]))
    return Sent(tuple(piece for piece in pieces if piece), end)


def _chunked(body: bytes, size: int, end: bytes) -> bytes:
    parts = [body[n : n + size] for n in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


def response(body: bytes, status: bytes = b"200 OK", kind: bytes = b"application/json", *, end: End = "stay") -> Sent:
    """A proper response."""
    head = b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (status, kind, len(body))
    return Sent((head + body,), end)


STREAM = response(b"".join(EVENTS), kind=b"text/event-stream")
CUT = Sent((b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",), "stay")
UPGRADE = Sent((b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n",), "stay")


@settings(max_examples=cases(60))
@given(sent=responses(), streamed=st.booleans())
@example(sent=response(WHOLE), streamed=False)
@example(sent=STREAM, streamed=True)
@example(sent=STREAM, streamed=False)
@example(sent=response(WHOLE), streamed=True)
@example(sent=response(ERROR), streamed=False)
@example(sent=response(WHOLE, b"500 Broken"), streamed=False)
@example(sent=Sent((), "abort"), streamed=True)
@example(sent=Sent((), "stay"), streamed=True)
@example(sent=CUT, streamed=True)
@example(sent=Sent((*CUT.pieces, b"zz\r\n"), "stay"), streamed=True)
@example(sent=Sent((*CUT.pieces, _chunked(b"".join(EVENTS[:2]), 40, b"")), "abort"), streamed=True)
@example(sent=UPGRADE, streamed=False)
def test_any_bytes_become_an_answer_or_an_error(sent: Sent, streamed: bool) -> None:
    """Never a wait, a traceback, half an answer that looks whole, or a failure that looks like an answer."""
    found = asyncio.run(asked(sent, mixture="one", streamed=streamed))

    event(f"answered: {found}")
    assert not found or re.search(rb"HTTP/1\.\d +2\d\d", sent.raw)


@settings(max_examples=cases(20))
@given(script=st.lists(responses(), min_size=1, max_size=4), streamed=st.booleans())
@example(script=[Sent((), "abort"), response(WHOLE), Sent((b"\0",), "close"), STREAM], streamed=True)
def test_any_bytes_from_some_workers_become_an_answer_or_an_error(script: list[Sent], streamed: bool) -> None:
    """The same for a mixture, where the others' answers are worth something."""
    asyncio.run(asked(*script, mixture="three", streamed=streamed))


@settings(max_examples=cases(30))
@given(cut=st.integers(0, len(STREAM.raw) - 1), end=st.sampled_from(["close", "abort"]), streamed=st.booleans())
@example(cut=STREAM.raw.index(b"data: [DONE]"), end="close", streamed=True)
def test_a_stream_that_breaks_off_is_no_answer_unless_it_had_ended(cut: int, end: End, streamed: bool) -> None:
    """Wherever it breaks; once the finish reason is there, nothing more is needed."""
    found = asyncio.run(asked(Sent((STREAM.raw[:cut],), end), mixture="one", streamed=streamed))

    if cut < STREAM.raw.index(b'"finish_reason": "stop"'):
        assert not found
