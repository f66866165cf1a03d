"""An answer as server-sent events, sent as it is written.

The response is held until there is something to show or `keep_alive` seconds have passed, so that an error
before that keeps its status. From then on an error is an event, and the stream ends without `[DONE]`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from mollm.errors import ClientGone
from mollm.events import Routed
from mollm.plain import to_plain
from mollm.server.chat.replies import Chunks, dropped_headers, framed, route_headers
from mollm.server.failures import problem_of, report
from mollm.server.handling import Recorder
from mollm.server.outlet import Outlet

if TYPE_CHECKING:
    from starlette.types import Send

    from mollm.events import Event, Token
    from mollm.server.chat.protocol import ChatRequest
    from mollm.server.deployment import Deployment
    from mollm.server.handling import Handling
    from mollm.types import Alternative, Answer

LONGEST_FAREWELL = 5.0
"""Seconds for telling a client that the answer broke off."""
HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}
"""The last one keeps a proxy from collecting what should be shown at once."""


async def stream_answer(deployment: Deployment, handling: Handling, request: ChatRequest, send: Send) -> None:
    """Answer a chat completion while it is sent."""
    stream: _Stream | None = None
    try:
        async with handling:
            stream = _Stream(handling, send, request, deployment.settings.keep_alive)
            with stream.outlet:
                answer = await handling.ask(request.conversation, stream, stream=True, **request.options)
                await stream.finish(answer)
    except Exception as error:
        if stream is None or not stream.outlet.has_begun:
            raise
        report(error)
        handling.broke_off(error)
        if not isinstance(error, ClientGone):
            await stream.break_off(error)
    finally:
        if stream:
            stream.outlet.close()


class _Stream(Recorder):
    """Writes the events of one HTTP request.

    Attributes:
        outlet: Where they leave.
    """

    def __init__(self, handling: Handling, send: Send, request: ChatRequest, keep_alive: float) -> None:
        super().__init__(handling.metrics)
        self._handling, self._request = handling, request
        self._chunks: Chunks | None = None
        self._created = int(time.time())
        self._has_token = False
        self.outlet = Outlet(
            send, handling.slot, headers=self._headers, sign_of_life=self._say_alive, patience=keep_alive
        )

    def tell(self, event: Event) -> None:
        """Hear what happened; nothing of it is content."""
        super().tell(event)
        if self._chunks and isinstance(event, Routed):  # a sign of life went out before anybody knew who answers
            self._chunks = self._framing()

    async def show(self, token: Token) -> None:
        """Send a piece of the answer; waits while the client does not read."""
        chunks = self._chunks or self._begin()
        if not self._has_token:
            self._has_token = True
            self._handling.metrics.began(self.mixture or "", self._handling.seconds)
        delta = token.delta
        if "role" in delta:
            # Clients put strings together piece by piece; a role that comes twice would be two words.
            delta = {key: value for key, value in delta.items() if key != "role"}
            if not any(delta.values()):
                return
        if not self.outlet.put(chunks.delta(delta, token.index, token.logprobs)):
            await self.outlet.flush()

    async def finish(self, answer: Answer) -> None:
        """Send how the answer ended, the usage where it is wanted, and the end."""
        chunks = self._chunks or self._begin()
        trace = to_plain(answer) if self._request.wants_trace else None
        on_finish = None if self._request.wants_usage else trace
        ends: list[Answer | Alternative] = [answer, *answer.alternatives]
        parts = [
            chunks.finish(end.finish_reason, index, on_finish if index == len(ends) - 1 else None)
            for index, end in enumerate(ends)
        ]
        if self._request.wants_usage:
            parts.append(chunks.usage(answer.usage, trace))
        await self.outlet.end(b"".join([*parts, b"data: [DONE]\n\n"]))

    async def break_off(self, error: BaseException) -> None:
        """Say what went wrong, and end without `[DONE]`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_FAREWELL):
                await self.outlet.end(framed(problem_of(error).body))

    def _begin(self) -> Chunks:
        self._chunks = self._framing()
        self.outlet.put(b"".join(self._chunks.role(index) for index in range(self._request.n or 1)))
        return self._chunks

    def _framing(self) -> Chunks:
        request = self._request
        return Chunks(self._handling.id, self.mixture or request.model, self._created, has_usage=request.wants_usage)

    def _headers(self) -> dict[str, str]:
        route = route_headers(self.routed) if self.routed else {}
        return {**HEADERS, **self._handling.headers, **route, **dropped_headers(self._request)}

    def _say_alive(self) -> None:
        chunks = self._chunks or self._begin()
        self.outlet.put(chunks.alive)
