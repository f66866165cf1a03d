"""The endpoints that answer questions, served in front of FastAPI's routing, which costs more than all they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mollm.server.failures import EXPECTED, failed
from mollm.server.wire import path_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from mollm.server.deployment import Deployment
    from mollm.server.handling import Handling

    Endpoint: TypeAlias = Callable[[Deployment, Handling, Send], Awaitable[None]]


class Shortcut:
    """The innermost middleware: it answers a POST to one of its endpoints and passes everything else on.

    FastAPI knows the same paths (`openapi.py`), lists them, and refuses other methods.
    """

    def __init__(self, app: ASGIApp, deployment: Deployment, endpoints: Mapping[str, Endpoint]) -> None:
        """Stand in front of `app`; `endpoints` are by their path."""
        self._app, self._deployment, self._endpoints = app, deployment, endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        path = scope.get("path", "")
        if path.endswith("/") and path != "/":  # clients put addresses together in either way
            scope = {**scope, "path": path.rstrip("/") or "/"}
        endpoint = self._endpoints.get(path_of(scope)) if scope.get("method") == "POST" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        handling = self._deployment.handle(scope, receive)
        failure: BaseException | None = None
        try:
            handling.enter()
            await endpoint(self._deployment, handling, send)
        except EXPECTED as error:
            failure = error
            response = failed(scope, error)
            response.headers.update(handling.headers)
            await response(scope, receive, send)
        except BaseException as error:
            failure = error
            raise
        finally:
            handling.close(failure)
