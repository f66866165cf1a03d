"""An answer as server-sent events, sent as it is written.

The response is held until there is something to show or `keep_alive` seconds have passed, so that an error
before that keeps its status. From then on an error is an event, and the stream ends without `[DONE]`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.responses import Response

from mollm.server.admission import ClientGone
from mollm.server.chat.replies import Chunks, framed, route_headers
from mollm.server.failures import problem_of, report
from mollm.server.handling import Recorder
from mollm.types import Routed, new_id, to_plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from starlette.types import Receive, Scope

    from mollm.server.chat.protocol import ChatRequest
    from mollm.server.deployment import Deployment
    from mollm.server.handling import Handling
    from mollm.types import Alternative, Answer, Event, Token

    Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LONGEST_FAREWELL = 5.0
"""Seconds for telling a client that the answer broke off."""
LONGEST_SEND = 60.0
"""Seconds a client may leave unread what was sent to it; then it counts as gone."""
HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}
"""The last one keeps a proxy from collecting what should be shown at once."""


class StreamedAnswer(Response):
    """Answers a request while it is sent."""

    def __init__(self, deployment: Deployment, request: ChatRequest) -> None:
        """Nothing is asked before the response is sent."""
        super().__init__()
        self._deployment, self._request = deployment, request

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Ask, and send what comes."""
        request = self._request
        stream: _Stream | None = None
        try:
            async with self._deployment.handle(receive) as handling:
                kind = _Stream if (request.n or 1) == 1 else _Several
                stream = kind(handling, send, request, self._deployment.settings.keep_alive)
                with stream:
                    answer = await handling.ask(
                        request.conversation, stream, stream=True, id=stream.id, **request.options
                    )
                    await stream.finish(answer)
        except ClientGone:
            return
        except Exception as error:
            if stream is None or not await stream.is_under_way():
                raise
            report(error)
            await stream.break_off(error)
        finally:
            if stream:
                stream.close()


class _Stream(Recorder):
    """Writes the events of one request.

    Attributes:
        id: Of the answer.
    """

    def __init__(self, handling: Handling, send: Send, request: ChatRequest, keep_alive: float) -> None:
        super().__init__(handling)
        self.id = new_id()
        self._send, self._request, self._patience = send, request, keep_alive
        self._loop = asyncio.get_running_loop()
        self._quiet_since = self._loop.time()
        self._is_sending = False
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None
        self._chunks: Chunks | None = None
        self._created = int(time.time())
        self._has_token = False
        self._has_started = False

    def __enter__(self) -> None:
        self._look()

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()

    def close(self) -> None:
        """Let go of a sign of life that nobody takes."""
        if self._beat:
            self._beat.cancel()

    async def is_under_way(self) -> bool:
        """Say whether the status has left; a sign of life that is on its way arrives first."""
        if self._beat:
            await asyncio.wait([self._beat], timeout=LONGEST_FAREWELL)
        return self._has_started

    def tell(self, event: Event) -> None:
        """Hear what happened; nothing of it is content."""
        super().tell(event)
        if self._chunks and isinstance(event, Routed):  # a sign of life went out before anybody knew who answers
            self._chunks = self._framing()

    async def show(self, token: Token) -> None:
        """Send a piece of the answer; waits while the client does not read."""
        while self._beat:
            await self._beat
        chunks = self._chunks or await self._start()
        if not self._has_token:
            self._has_token = True
            self._handling.metrics.began(self.mixture or "", self.seconds)
        delta = token.delta
        if "role" in delta:
            # Clients put strings together piece by piece; a role that comes twice would be two words.
            delta = {key: value for key, value in delta.items() if key != "role"}
            if not any(delta.values()):
                return
        await self._write(chunks.delta(delta, token.index, token.logprobs))

    async def finish(self, answer: Answer) -> None:
        """Send how the answer ended, the usage where it is wanted, and the end."""
        while self._beat:
            await self._beat
        chunks = self._chunks or await self._start()
        trace = to_plain(answer) if self._request.wants_trace else None
        on_finish = None if self._request.wants_usage else trace
        ends: list[Answer | Alternative] = [answer, *answer.alternatives]
        parts = [
            chunks.finish(end.finish_reason, index, on_finish if index == len(ends) - 1 else None)
            for index, end in enumerate(ends)
        ]
        if self._request.wants_usage:
            parts.append(chunks.usage(answer.usage, trace))
        await self._write(b"".join([*parts, b"data: [DONE]\n\n"]), more=False)

    async def break_off(self, error: BaseException) -> None:
        """Say what went wrong, and end without `[DONE]`."""
        if self._beat:  # nobody takes what was sent before
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_FAREWELL):
                await self._write(framed(problem_of(error).body), more=False)

    async def _start(self) -> Chunks:
        self._chunks = self._framing()
        headers = {**HEADERS, **(route_headers(self.route) if self.route else {})}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._is_sending, self._quiet_since = True, self._loop.time()
        await self._out({"type": "http.response.start", "status": 200, "headers": raw})
        self._has_started = True
        await self._write(b"".join(self._chunks.role(index) for index in range(self._request.n or 1)))
        return self._chunks

    def _framing(self) -> Chunks:
        request = self._request
        return Chunks(self.id, self.mixture or request.model, self._created, has_usage=request.wants_usage)

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        self._is_sending = True
        self._quiet_since = self._loop.time()
        await self._out({"type": "http.response.body", "body": data, "more_body": more})
        self._is_sending = False

    async def _out(self, message: MutableMapping[str, Any]) -> None:
        try:
            await self._send(message)
        except OSError:  # how ASGI says that the client has gone
            self._handling.slot.end(ClientGone())
            await asyncio.sleep(0)

    def _look(self) -> None:
        # One timer that looks now and then costs less than one that is set again for every token.
        quiet = self._loop.time() - self._quiet_since
        if self._is_sending and quiet >= LONGEST_SEND:
            self._handling.slot.end(ClientGone())
            return
        if not self._is_sending and quiet >= self._patience:
            self._beat = self._loop.create_task(self._say_alive())
            quiet = 0.0
        left = (LONGEST_SEND if self._is_sending else self._patience) - quiet
        self._timer = self._loop.call_later(max(0.01, min(left, self._patience, LONGEST_SEND)), self._look)

    async def _say_alive(self) -> None:
        try:
            chunks = self._chunks or await self._start()
            await self._write(chunks.alive)
        finally:
            self._beat = None


class _Several(_Stream):
    """Writes the events of several answers, which come side by side: one leaves after the other."""

    def __init__(self, handling: Handling, send: Send, request: ChatRequest, keep_alive: float) -> None:
        super().__init__(handling, send, request, keep_alive)
        self._turn = asyncio.Lock()

    async def show(self, token: Token) -> None:
        """Send a piece of one of them when the piece before it is out."""
        async with self._turn:
            await super().show(token)
