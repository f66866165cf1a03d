"""A scripted OpenAI-like server on loopback: real sockets, no waiting for the clock.

    async with Upstream(answer("Four."), stream("Fo", "ur.")) as upstream:
        ...                                    # call upstream.base_url
        assert upstream.received[0].body["model"] == "m"

Each request takes the next reply of the script; `fixed` answers a path for ever.
A reply is sent part by part: bytes are written, an `asyncio.Event` is waited for, `DROP` cuts the connection.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DROP: Final = "drop"
"""As a part of a reply: cut the connection here, without an orderly end."""

Part = bytes | asyncio.Event | Literal["drop"]
Json = dict[str, Any]

USAGE: Final[Json] = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


@dataclass(frozen=True)
class Reply:
    """One answer of the script."""

    parts: tuple[Part, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    before: asyncio.Event | None = None
    """Waited for before the status line is sent; one that is never set is a server that hangs."""


@dataclass(frozen=True)
class Received:
    """One request that came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    """The parsed JSON, or None."""
    closed_early: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client closed the connection before the reply was at its end."""
    done: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the reply was sent to its end."""
    query: str = ""
    """Of the address, behind its `?`."""


class Upstream:
    """The server, running inside `async with`."""

    def __init__(self, *script: Reply, port: int = 0) -> None:
        self.script = list(script)
        self.port = port
        """Of the socket; 0 takes one that is free."""
        self.fixed: dict[str, Reply] = {}
        """Path to the reply it always gets, beside the script."""
        self.reply_to: Callable[[Received], Reply] | None = None
        """Makes the reply of the request, in place of the script."""
        self.received: list[Received] = []
        self.connections = 0
        """TCP connections that brought a request."""
        self._seen: set[Any] = set()
        self._arrival = asyncio.Condition()

    @property
    def base_url(self) -> str:
        """Where a client's `api_base` points."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def request(self, number: int) -> Received:
        """Wait until so many requests have come in and return that one; the first is 1."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.received) >= number)
        return self.received[number - 1]

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        received = await _log(request)
        async with self._arrival:
            self.received.append(received)
            self._arrival.notify_all()
        self._seen.add(request.protocol)
        self.connections = len(self._seen)
        made = self.reply_to(received) if self.reply_to else None
        reply = self.fixed.get(request.path) or made or (self.script.pop(0) if self.script else _EXHAUSTED)
        try:
            response = await _send(reply, request)
        except (asyncio.CancelledError, ConnectionError):
            received.closed_early.set()
            raise
        received.done.set()
        return response


async def _log(request: web.Request) -> Received:
    raw = await request.read()
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    return Received(request.method, request.path, dict(request.headers), body, query=request.query_string)


async def _send(reply: Reply, request: web.Request) -> web.StreamResponse:
    if reply.before is not None:
        await reply.before.wait()
    response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
    started = False
    for part in reply.parts:
        if isinstance(part, asyncio.Event):
            await part.wait()
        elif isinstance(part, str):
            assert request.transport is not None
            request.transport.abort()
            return response
        else:
            if not started:
                await response.prepare(request)
                started = True
            await response.write(part)
    if not started:
        await response.prepare(request)
    await response.write_eof()
    return response


def answer(
    text: str | None = "Four.",
    *,
    usage: Json | None = USAGE,
    finish_reason: str | None = "stop",
    logprobs: Any = None,
    **message: Any,
) -> Reply:
    """Reply with a whole chat completion; `message` holds further fields of the assistant's message."""
    choice: Json = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": finish_reason,
        "logprobs": logprobs,
    }
    return document({**_head("chat.completion"), "choices": [choice], **({"usage": usage} if usage else {})})


def stream(
    *deltas: str | Json | asyncio.Event,
    usage: Json | None = USAGE,
    finish_reason: str | None = "stop",
    done: bool = True,
) -> Reply:
    """Reply with a streamed chat completion: role chunk, a chunk per delta, the end, usage, `[DONE]`.

    A string is a piece of text, a dictionary a whole `delta`; an event holds the stream there.
    """
    parts: list[Part] = [sse(chunk({"role": "assistant", "content": ""}))]
    for delta in deltas:
        if isinstance(delta, asyncio.Event):
            parts.append(delta)
        else:
            parts.append(sse(chunk({"content": delta} if isinstance(delta, str) else delta)))
    if finish_reason is not None:
        parts.append(sse(chunk({}, finish_reason)))
    if usage is not None:
        parts.append(sse({**_head("chat.completion.chunk"), "choices": [], "usage": usage}))
    return events(*parts, *([b"data: [DONE]\n\n"] if done else []))


def events(*parts: Part) -> Reply:
    """Reply with these parts as server-sent events."""
    return Reply(parts, headers={"content-type": "text/event-stream"})


def document(body: Any, status: int = 200, **headers: str) -> Reply:
    """Reply with a JSON document; underscores in header names become dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply((json.dumps(body).encode(),), status, {"content-type": "application/json", **named})


def error(status: int, message: str = "no", *, code: str | int | None = None, **headers: str) -> Reply:
    """Reply with OpenAI's error object."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return document(body, status, **headers)


def hang(before: asyncio.Event | None = None) -> Reply:
    """Accept the request and send nothing until `before` is set, or for ever."""
    return Reply(before=before or asyncio.Event())


def chunk(delta: Json, finish_reason: str | None = None) -> Json:
    """Build one `chat.completion.chunk` with one choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    return {**_head("chat.completion.chunk"), "choices": [choice]}


def sse(data: Any) -> bytes:
    """Frame one server-sent event."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _head(kind: str) -> Json:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": "m"}


_EXHAUSTED: Final = error(500, "no reply is left in the script", code="script_exhausted")
