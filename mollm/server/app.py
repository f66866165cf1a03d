"""The ASGI application: endpoints, what stands in front of them, and what is told when something fails."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from mollm.server import endpoints
from mollm.server.current import Current
from mollm.server.failures import INTERNAL, INVALID, Problem, report, told
from mollm.server.guard import Guard
from mollm.server.openapi import describe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mollm.routing.base import Router
    from mollm.schema import Config


def create_app(
    config: str | Path | Mapping[str, Any] | Config | None = None,
    *,
    llms: Mapping[str, Any] | None = None,
    router: Router | None = None,
) -> FastAPI:
    """Build the server's application, to be run by any ASGI server or mounted in an application of yours.

    Args:
        config: A YAML file, a dictionary of the same shape, or a `Config`; None as for the command.
        llms: LLMs to use instead of configured ones, by name: LangChain chat models, or `LLM`s.
        router: Picks the mixture instead of the configured router.

    Raises:
        ConfigError: Everything that is wrong with the configuration.
    """
    return app_of(Current(config, llms=llms, router=router))


def app_of(current: Current) -> FastAPI:
    """Build the application of a configuration that is in force."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        await current.start()
        try:
            yield
        finally:
            await current.aclose()

    app = FastAPI(title="mollm", version="1", lifespan=lifespan, redoc_url=None)
    app.state.current = current
    app.include_router(endpoints.paths)
    app.add_middleware(Guard, current=current)
    app.add_middleware(_CatchAll)
    app.add_exception_handler(HTTPException, _not_served)
    for kind in endpoints.FAILURES:
        app.add_exception_handler(kind, endpoints.failed)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign] # FastAPI's own way to extend it
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
                await told(INTERNAL)(scope, receive, send)


async def _not_served(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    text = {404: "there is no such path", 405: "this path has no such method"}.get(status, "this cannot be served")
    response = told(Problem(status, INVALID, None, text))
    response.headers.update(getattr(error, "headers", None) or {})
    return response
