"""The ASGI application: endpoints, keys, and what is told when something fails."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mollm.server import endpoints
from mollm.server.failures import INTERNAL, INVALID, Problem
from mollm.server.keys import is_loopback
from mollm.server.openapi import describe
from mollm.server.service import Service, report

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mollm.routing.base import Router
    from mollm.schema import Config

OPEN = frozenset(("/health", "/ready", "/docs", "/openapi.json"))
"""Paths that need no key: they tell nothing of the configuration."""


def create_app(
    config: str | Path | Mapping[str, Any] | Config | Service | None = None,
    *,
    llms: Mapping[str, Any] | None = None,
    router: Router | None = None,
) -> FastAPI:
    """Build the server's application, to be run by any ASGI server or mounted in an application of yours.

    Args:
        config: A YAML file, a dictionary of the same shape, or a `Config`; None as for the command. A
            `Service` is taken as it is.
        llms: LLMs to use instead of configured ones, by name: LangChain chat models, or `LLM`s.
        router: Picks the mixture instead of the configured router.

    Raises:
        ConfigError: Everything that is wrong with the configuration.
    """
    service = config if isinstance(config, Service) else Service(config, llms=llms, router=router)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        await service.start()
        try:
            yield
        finally:
            await service.aclose()

    app = FastAPI(title="mollm", version="1", lifespan=lifespan, redoc_url=None)
    app.state.service = service
    app.include_router(endpoints.router)
    app.add_middleware(Guard, service=service)
    app.add_exception_handler(HTTPException, _not_served)
    for kind in endpoints.FAILURES:
        app.add_exception_handler(kind, endpoints.failed)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign] # FastAPI's own way to extend it
    return app


class Guard:
    """Lets in who has a key, before anything of a request is read, and answers for what nobody foresaw."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        """Stand in front of `app`."""
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused:
            await _told(refused)(scope, receive, send)
            return
        has_started = False

        async def note(message: Any) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception as error:  # noqa: BLE001 - the last place that can answer
            report(error)
            if not has_started:
                await _told(INTERNAL)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = dict(scope["headers"])
        if self._service.keys:
            if scope["path"].removeprefix(scope.get("root_path", "")) in OPEN:
                return None
            scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and self._service.keys.know(key.strip()):
                return None
            return Problem(401, INVALID, "invalid_api_key", "a key of this server is needed: Authorization: Bearer ...")
        # Without keys any page in a browser on this machine could spend money here; it cannot hide its origin.
        origin = headers.get(b"origin")
        if origin and not is_loopback(_host(origin.decode("latin-1"))):
            text = "a page from another origin is not let in; set server.api_keys to tell who may"
            return Problem(403, INVALID, "foreign_origin", text)
        return None


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


async def _not_served(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    text = {404: "there is no such path", 405: "this path has no such method"}.get(status, "this cannot be served")
    response = _told(Problem(status, INVALID, None, text))
    response.headers.update(getattr(error, "headers", None) or {})
    return response


def _told(problem: Problem) -> Response:
    headers = {**problem.headers, **({"www-authenticate": "Bearer"} if problem.status == 401 else {})}
    return Response(orjson.dumps(problem.body), problem.status, headers, "application/json")
