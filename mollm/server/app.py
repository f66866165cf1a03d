"""The ASGI application: endpoints, what stands in front of them, and what is told when something fails."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from mollm.mcp import check_installed
from mollm.server import feedback, health, models, openapi
from mollm.server.auth import Authentication
from mollm.server.chat.endpoint import chat_completions
from mollm.server.cors import CORS
from mollm.server.deployment import Deployment
from mollm.server.failures import EXPECTED, INTERNAL, failed, report, response_for
from mollm.server.predict import predict
from mollm.server.refusing import Gate
from mollm.server.shortcut import Shortcut

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from pathlib import Path

    from fastapi import APIRouter
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.embeddings.own import EmbedderLike
    from mollm.events import Observer
    from mollm.routing.base import RouterLike
    from mollm.server.mcp import MCP
    from mollm.server.shortcut import Endpoint


def create_app(
    config: str | Path | Mapping[str, Any] | Config | None = None,
    *,
    llms: Mapping[str, Any] | None = None,
    router: RouterLike | None = None,
    embedder: EmbedderLike | None = None,
    aggregators: Mapping[str, Aggregator] | None = None,
    observers: Sequence[Observer] = (),
) -> FastAPI:
    """Build the server's application, to be run by any ASGI server or mounted in an application of yours.

    Args:
        config: A YAML file, a dictionary of the same shape, or a `Config`; None as for the command.
        llms: LLMs to use instead of configured ones, by name: LangChain chat models, or `LLM`s.
        router: Picks the mixture instead of the configured router: a `Router`, a `Scorer`, or a function.
        embedder: An `Embedder`, or a function from texts to vectors, instead of the configured `embeddings`.
        aggregators: Aggregators of your own, by the `method` that chooses them.
        observers: Are told what happens, for every question.

    Raises:
        ConfigError: Everything that is wrong with the configuration.
    """
    deployment = Deployment(
        config, llms=llms, router=router, embedder=embedder, aggregators=aggregators, observers=observers
    )
    return app_of(deployment)


def app_of(deployment: Deployment) -> FastAPI:
    """Build the application of a configuration that is in force."""
    endpoints: dict[str, Endpoint] = {"/v1/chat/completions": chat_completions, "/predict": predict}
    paths = (openapi.paths, models.paths, feedback.paths, health.paths)
    if deployment.settings.mcp:
        check_installed(deployment.config.place("server", "mcp"))
    return _app(deployment, paths, endpoints, _mcp(deployment) if deployment.settings.mcp else None)


def mcp_app_of(deployment: Deployment, mixture: str | None = None) -> FastAPI:
    """Build an application that serves the Model Context Protocol and how the server does, and nothing else.

    Raises:
        ConfigError: The protocol's SDK is not installed, or there is no such mixture.
    """
    check_installed()
    if mixture is not None:
        deployment.mollm.catalog.mixture(mixture)
    return _app(deployment, (health.paths,), {}, _mcp(deployment, mixture))


def _mcp(deployment: Deployment, mixture: str | None = None) -> MCP:
    from mollm.server.mcp import MCP  # the SDK takes as long to import as the rest of the server

    return MCP(deployment, mixture)


def _app(
    deployment: Deployment, paths: Sequence[APIRouter], endpoints: Mapping[str, Endpoint], mcp: MCP | None
) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        await deployment.start()
        try:
            async with mcp.running() if mcp else nullcontext():
                yield
        finally:
            await deployment.aclose()

    app = FastAPI(title="mollm", version="1", lifespan=lifespan, redoc_url=None, redirect_slashes=False)
    app.state.deployment = deployment
    for served in paths:
        app.include_router(served)
    app.router.routes.extend(mcp.routes if mcp else [])
    # The last one added is the first one passed.
    app.state.gate = Gate(deployment, endpoints)
    app.add_middleware(Shortcut, deployment=deployment, endpoints=endpoints)
    app.add_middleware(
        Authentication,
        keys=lambda: deployment.keys,
        origins=lambda: deployment.origins,
        audit=lambda: deployment.audit,
    )
    app.add_middleware(_CatchAll)
    app.add_middleware(CORS, origins=lambda: deployment.origins)
    for kind in EXPECTED:
        app.add_exception_handler(kind, _failed)
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign] # FastAPI's own way to extend it
    return app


class _CatchAll:
    """Answers for what nobody foresaw."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def note(message: Any) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception as error:
            if scope["type"] != "http":
                raise
            report(error)
            if not has_started:
                await response_for(INTERNAL)(scope, receive, send)


async def _failed(request: Request, error: Exception) -> Response:
    # A coroutine, since Starlette would run a plain function in a thread.
    return failed(request.scope, error)
