"""Who is let in."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.config.keys import resolve_key
from mollm.errors import ConfigError
from mollm.server.failures import INVALID, Problem, note, response_for
from mollm.server.origins import foreign_host, foreign_origin, is_loopback
from mollm.server.wire import header, headers, path_of, shown
from mollm.types import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from mollm.config.config import Config
    from mollm.server.audit import Audit
    from mollm.server.origins import Origins

OPEN = frozenset(("/health", "/ready", "/docs", "/openapi.json"))
"""Paths that need no key: they tell nothing of the configuration."""

LEAST_LENGTH = 16
"""Characters of a key that is let in from beyond loopback."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        name: Of the key; empty where no key is needed.
        owner: Tells apart what is kept for one and for another.
    """

    name: str = ""
    owner: str = ""


ANYBODY = Caller()
"""Who asks where no key is needed."""
_CALLER = "mollm.caller"


def caller_of(scope: Scope) -> Caller:
    """Return who was let in with an HTTP request."""
    found: Caller = scope.get(_CALLER, ANYBODY)
    return found


class Keys:
    """The keys of a server, as digests."""

    def __init__(self, config: Config, host: str | None = None) -> None:
        """Resolve the keys of `config` for a server that listens on `host`, or where `config` says.

        Raises:
            ConfigError: One is not set, empty, or too short for where the server listens, or there is none.
        """
        host = host or config.server.host
        found: list[str] = []
        if problems := config.unset("server"):
            raise ConfigError(problems)
        for number, key in enumerate(config.server.api_keys):
            where = config.place("server", "api_keys", number)
            try:
                resolved = resolve_key(key.get_secret_value(), where)
            except ConfigError as error:
                problems += error.problems
                continue
            if resolved is None:
                problems.append(f"{where}: the key is empty")
            elif len(resolved) < LEAST_LENGTH and not is_loopback(host):
                problems.append(f"{where}: a key of less than {LEAST_LENGTH} characters, and {host} is not loopback")
            else:
                found.append(resolved)
        if not config.server.api_keys and not is_loopback(host):
            place = config.place("server", "api_keys")
            problems.append(f"{place}: {host} is not loopback, so a key of {LEAST_LENGTH} characters or more is needed")
        if problems:
            raise ConfigError(problems)
        self._digests = [_digest(key) for key in found]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def caller(self, key: str) -> Caller | None:
        """Return whose key it is, None if it is none of them; either takes as long."""
        digest, found = _digest(key), None
        for number, known in enumerate(self._digests, 1):
            if hmac.compare_digest(digest, known):
                found = found or Caller(f"key-{number}", digest.hex())
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
            where = shown(path_of(scope))
            audit.refused({"id": id, "key": None, "path": where, "status": found.status, "outcome": found.cause})
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


def _digest(key: str) -> bytes:
    # Digests have one length, so that comparing them tells nothing about that of a key.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
