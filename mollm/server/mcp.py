"""`/mcp`: the Model Context Protocol over HTTP, for agents that use mixtures as tools.

The SDK speaks the protocol; who is let in, under which names, how much of a body is read, how many questions are worked
on and what a key may use is decided by what stands in front of every other endpoint as well.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.routing import Route

from mollm.mcp.protocol import Tools, server_of
from mollm.server.auth import caller_of
from mollm.server.failures import INVALID, Problem, response_for
from mollm.server.handling import Handling, Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

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
"""Of clients that speak the protocol of 2025, which has sessions; each takes some ten KiB."""
IDLE_SECONDS = 1800.0
"""Until a session ends that nothing is asked in."""

_GONE = "mollm.gone"


class MCP:
    """The path, as an ASGI application."""

    def __init__(self, deployment: Deployment, pinned: str | None = None) -> None:
        """Serve what is in force in `deployment`; `pinned`: the mixture that answers everything."""
        self._deployment = deployment
        self._sessions = StreamableHTTPSessionManager(
            server_of(Tools(_Asking(deployment), pinned)),
            max_request_body_size=sys.maxsize,  # it was bounded when the SDK gets it
            session_idle_timeout=IDLE_SECONDS,
            max_sessions=MOST_SESSIONS,
        )

    @property
    def routes(self) -> list[Route]:
        """Where it is served; clients put addresses together in either way."""
        return [Route(path, self, include_in_schema=False) for path in (PATH, f"{PATH}/")]

    def running(self) -> AbstractAsyncContextManager[None]:
        """Hold sessions while the block runs, once."""
        return self._sessions.run()

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
            replay = _Replay(await share.read(scope, receive, takes_place=False), receive)
            owner = caller_of(scope).owner
            # The SDK keeps a session to whoever began it.
            user = {"user": AuthenticatedUser(AccessToken(token="", client_id=owner, scopes=[]))} if owner else {}
            await self._sessions.handle_request({**scope, **user, _GONE: replay.gone}, replay, send)
        finally:
            share.close()


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
