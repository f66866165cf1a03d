"""Who is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.server.failures import INVALID, Problem, note, response_for
from mollm.server.keys import ANYBODY
from mollm.server.origins import foreign_host, foreign_origin
from mollm.server.wire import header, headers, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from mollm.server.keys import Caller, Keys
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

    def __init__(self, app: ASGIApp, keys: Callable[[], Keys], origins: Callable[[], Origins]) -> None:
        """Stand in front of `app`; `keys` and `origins` give those that are in force."""
        self._app, self._keys, self._origins = app, keys, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an HTTP request on, or refuse it."""
        refused = self._refusal(scope) if scope["type"] == "http" else None
        await (response_for(refused) if refused else self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        keys = self._keys()
        if not keys:
            return self._foreign(scope)
        if path_of(scope) in OPEN:
            return None
        key = bearer(scope)
        caller = keys.caller(key)
        if caller is not None:
            scope[_CALLER] = caller
            return None
        text = "the key is none of this server's" if key else "a key of this server is needed"
        refused = Problem(401, INVALID, "invalid_api_key", f"{text}: Authorization: Bearer ...")
        note(scope, refused)
        return refused

    def _foreign(self, scope: Scope) -> Problem | None:
        origins, origin = self._origins(), header(scope, b"origin")
        refused = None
        if origin and not origins.has_origin(origin):
            refused = foreign_origin(origin)
        for host in headers(scope, b"host"):
            if not origins.has_host(host):
                refused = refused or foreign_host(host)
        if refused:
            note(scope, refused)
        return refused


def bearer(scope: Scope) -> str:
    """Return the key in the `Authorization` header; empty if there is none."""
    scheme, _, key = header(scope, b"authorization").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
