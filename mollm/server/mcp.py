"""`/mcp`: the Model Context Protocol over HTTP, for agents that use mixtures as tools.

The SDK speaks the protocol; who is let in, under which names, how much of a body is read, how many questions are worked
on and what a key may use is decided by what stands in front of every other endpoint as well.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.routing import Route

from mollm.mcp.protocol import Tools, server_of
from mollm.server.auth import caller_of
from mollm.server.body import check_json
from mollm.server.failures import INVALID, Problem, response_for
from mollm.server.handling import Handling, Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from mcp.server.lowlevel import Server
    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from mollm import types
    from mollm.api import MoLLM
    from mollm.events import Event, Observer
    from mollm.observing.prometheus import Metrics
    from mollm.server.deployment import Deployment

PATH = "/mcp"
METHODS = ("POST", "DELETE")
REFUSED = Problem(405, INVALID, None, f"this path takes {', '.join(METHODS)}", cause="request")
MOST_SESSIONS = 1000
"""Of clients that speak the protocol of 2025, which has sessions; each takes some ten KiB. The keys share them."""
IDLE_SECONDS = 1800.0
"""Until a session ends that nothing is asked in."""

_GONE = "mollm.gone"


class MCP:
    """The path, as an ASGI application."""

    def __init__(self, deployment: Deployment, pinned: str | None = None) -> None:
        """Serve what is in force in `deployment`; `pinned`: the mixture that answers everything."""
        self._deployment = deployment
        self._sessions = _Sessions(
            server_of(Tools(_Asking(deployment), pinned)), lambda: len(deployment.settings.api_keys)
        )

    @property
    def routes(self) -> list[Route]:
        """Where it is served; clients put addresses together in either way."""
        return [Route(path, self, include_in_schema=False) for path in (PATH, f"{PATH}/")]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Hold sessions while the block runs, once."""
        try:
            yield
        finally:
            await self._sessions.end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one message of a client."""
        if scope["method"] not in METHODS:
            # A GET would wait for what the server says by itself, which is nothing. Clients try it all the same.
            response = response_for(REFUSED)
            response.headers["allow"] = ", ".join(METHODS)
            await response(scope, receive, send)
            return
        share = self._deployment.bodies.share()
        try:
            # Most messages take no place, and one that cancels a question makes room.
            body = await share.read(scope, receive, takes_place=False)
            if scope["method"] == "POST":
                check_json(body)
            replay = _Replay(body, receive)
            sessions = await self._sessions.of(caller_of(scope).owner)
            await sessions.handle_request({**scope, _GONE: replay.gone}, replay, send)
        finally:
            share.close()


class _Sessions:
    """The sessions of each key by themselves: no other finds them, and nobody takes the room of somebody else."""

    def __init__(self, server: Server[Any], keys: Callable[[], int]) -> None:
        self._server, self._keys = server, keys
        self._held: dict[str, tuple[StreamableHTTPSessionManager, asyncio.Event, asyncio.Task[None]]] = {}

    async def of(self, owner: str) -> StreamableHTTPSessionManager:
        """Return those of a key."""
        if owner not in self._held:
            manager = StreamableHTTPSessionManager(
                self._server,
                max_request_body_size=sys.maxsize,  # it was bounded when the SDK gets it
                session_idle_timeout=IDLE_SECONDS,
                max_sessions=max(1, MOST_SESSIONS // max(1, self._keys())),
            )
            ready = asyncio.Event()
            self._held[owner] = manager, ready, asyncio.create_task(_hold(manager, ready), context=Context())
        manager, ready, _ = self._held[owner]
        await ready.wait()
        return manager

    async def end(self) -> None:
        """End all sessions."""
        holding = [task for _, _, task in self._held.values()]
        for task in holding:
            task.cancel()
        await asyncio.gather(*holding, return_exceptions=True)


async def _hold(manager: StreamableHTTPSessionManager, ready: asyncio.Event) -> None:
    """Hold sessions until this is cancelled: whoever begins that has to end it, and no request lives as long."""
    async with manager.run():
        ready.set()
        await asyncio.Event().wait()


class _Replay:
    """What was read of an HTTP request once more, and then what comes.

    Attributes:
        gone: Set when the client has closed the connection.
    """

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive
        self.gone = asyncio.Event()

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone.set()
        return message


class _Asking:
    """Asks what is in force, and counts, bounds and notes each question as one by any other endpoint."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    @property
    def mollm(self) -> MoLLM:
        return self._deployment.mollm

    async def ask(self, request: Request, question: str, observer: Observer, **options: Any) -> types.Answer:
        async with self._handled(request) as handling:
            return await handling.ask(question, _Passing(self._deployment.metrics, observer), **options)

    async def route(self, request: Request, question: str) -> types.Route:
        async with self._handled(request) as handling:
            return await handling.route(question)

    @asynccontextmanager
    async def _handled(self, request: Request) -> AsyncGenerator[Handling, None]:
        gone: asyncio.Event = request.scope[_GONE]

        async def departure() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        handling = self._deployment.handle(request.scope, departure)
        failure: BaseException | None = None
        try:
            handling.enter()
            async with handling:
                yield handling
        except BaseException as error:
            failure = error
            raise
        finally:
            handling.close(failure)


class _Passing(Recorder):
    """Passes on what it hears to who reports it to the client."""

    def __init__(self, metrics: Metrics, observer: Observer) -> None:
        super().__init__(metrics)
        self._observer = observer

    def tell(self, event: Event) -> None:
        """Hear what happened."""
        super().tell(event)
        self._observer.tell(event)
