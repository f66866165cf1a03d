"""Who is let in."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from mollm.config.keys import resolve_key
from mollm.errors import ConfigError
from mollm.server.failures import INVALID, Problem, note, response_for
from mollm.server.origins import foreign_host, foreign_origin, is_loopback
from mollm.server.wire import header, headers, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from mollm.config.config import Config
    from mollm.server.origins import Origins

OPEN = frozenset(("/health", "/ready", "/docs", "/openapi.json"))
"""Paths that need no key: they tell nothing of the configuration."""

LEAST_LENGTH = 16
"""Characters of a key that is let in from beyond loopback."""


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

    def know(self, key: str) -> bool:
        """Say whether `key` is one of them; that takes as long for a wrong one as for a right one."""
        digest = _digest(key)
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0

    def owner(self, scope: Scope) -> str:
        """Return a digest of the key with which an HTTP request came; empty where none is needed."""
        return _digest(bearer(scope)).hex() if self._digests else ""


class Authentication:
    """Lets in who has a key, before anything of a body is read."""

    def __init__(self, app: ASGIApp, keys: Callable[[], Keys], origins: Callable[[], Origins]) -> None:
        """Stand in front of `app`; `keys` and `origins` give those that are in force."""
        self._app, self._keys, self._origins = app, keys, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an HTTP request on, or refuse it."""
        refused = refusal_of(scope, self._keys(), self._origins()) if scope["type"] == "http" else None
        if refused:
            note(scope, refused)
        await (response_for(refused) if refused else self._app)(scope, receive, send)


def refusal_of(scope: Scope, keys: Keys, origins: Origins) -> Problem | None:
    """Say why an HTTP request is not let in; None where it is."""
    if not keys:
        return _foreign(scope, origins)
    key = bearer(scope)
    if path_of(scope) in OPEN or keys.know(key):
        return None
    text = "the key is none of this server's" if key else "a key of this server is needed"
    return Problem(401, INVALID, "invalid_api_key", f"{text}: Authorization: Bearer ...")


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
