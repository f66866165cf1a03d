"""Who is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.server.failures import INVALID, Problem, note, response_for
from mollm.server.keys import ANYBODY, Caller
from mollm.server.origins import foreign_host, foreign_origin
from mollm.server.wire import header, headers, path_of, shown
from mollm.types import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from mollm.server.audit import Audit
    from mollm.server.keys import Keys
    from mollm.server.origins import Origins

OPEN = frozenset(("/health", "/ready", "/docs", "/openapi.json"))
"""Paths that need no key: they tell nothing of the configuration."""

_CALLER = "mollm.caller"


def caller_of(scope: Scope) -> Caller:
    """Return who was let in with an HTTP request."""
    found: Caller = scope.get(_CALLER, ANYBODY)
    return found


class Authentication:
    """Lets in who has a key, before anything of a body is read."""

    def __init__(
        self,
        app: ASGIApp,
        keys: Callable[[], Keys],
        origins: Callable[[], Origins],
        audit: Callable[[], Audit | None],
    ) -> None:
        """Stand in front of `app`; `keys`, `origins` and `audit` give those that are in force."""
        self._app, self._keys, self._origins, self._audit = app, keys, origins, audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an HTTP request on, or refuse it."""
        found = judged(scope, self._keys(), self._origins()) if scope["type"] == "http" else ANYBODY
        if isinstance(found, Caller):
            scope[_CALLER] = found
            await self._app(scope, receive, send)
            return
        note(scope, found)
        response, id = response_for(found), new_id()  # noqa: A001 - the field's name
        response.headers["x-request-id"] = id
        if audit := self._audit():
            audit.refused(id, "", shown(path_of(scope)), found.status, found.cause)
        await response(scope, receive, send)


def judged(scope: Scope, keys: Keys, origins: Origins) -> Caller | Problem:
    """Say who asks, or why they are not let in."""
    if not keys:
        return _foreign(scope, origins) or ANYBODY
    if path_of(scope) in OPEN:
        return ANYBODY
    key = bearer(scope)
    if caller := keys.caller(key):
        return caller
    text = "the key is none of this server's" if key else "a key of this server is needed"
    return Problem(401, INVALID, "invalid_api_key", f"{text}: Authorization: Bearer ...", cause="auth")


def _foreign(scope: Scope, origins: Origins) -> Problem | None:
    origin = header(scope, b"origin")
    if origin and not origins.has_origin(origin):
        return foreign_origin(origin)
    return next((foreign_host(host) for host in headers(scope, b"host") if not origins.has_host(host)), None)


def bearer(scope: Scope) -> str:
    """Return the key in the `Authorization` header; empty if there is none."""
    scheme, _, key = header(scope, b"authorization").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
