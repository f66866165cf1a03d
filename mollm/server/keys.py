"""Whose key is whose: the keys of a server, as digests."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.config.keys import resolve_key
from mollm.errors import ConfigError
from mollm.server.origins import is_loopback

if TYPE_CHECKING:
    from mollm.config.api_keys import KeyConfig
    from mollm.config.config import Config

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


class Keys:
    """The keys of a server, as digests."""

    def __init__(self, config: Config, host: str | None = None) -> None:
        """Resolve the keys of `config` for a server that listens on `host`, or where `config` says.

        Raises:
            ConfigError: One is not set, empty, too short for where the server listens, or there twice; or there is
                none.
        """
        host = host or config.server.host
        self._callers: dict[bytes, Caller] = {}
        if problems := config.unset("server"):
            raise ConfigError(problems)
        for number, key in enumerate(config.server.api_keys):
            where = config.place("server", "api_keys", number)
            try:
                digest = _digest_of(key, where, host)
            except ConfigError as error:
                problems += error.problems
                continue
            if digest in self._callers:
                problems.append(f"{where}: this is the key of {self._callers[digest].name!r} too")
            else:
                self._callers[digest] = Caller(key.name, digest.hex())
        if not config.server.api_keys and not is_loopback(host):
            place = config.place("server", "api_keys")
            problems.append(f"{place}: {host} is not loopback, so a key of {LEAST_LENGTH} characters or more is needed")
        if problems:
            raise ConfigError(problems)

    def __bool__(self) -> bool:
        return bool(self._callers)

    def caller(self, key: str) -> Caller | None:
        """Return whose key it is, None if it is none of them; either takes as long."""
        digest, found = _digest(key), None
        for known, caller in self._callers.items():
            if hmac.compare_digest(digest, known):
                found = caller
        return found


def _digest_of(key: KeyConfig, where: str, host: str) -> bytes:
    if key.sha256 is not None:
        return bytes.fromhex(key.sha256)
    resolved = resolve_key(key.key.get_secret_value(), where) if key.key else None
    if resolved is None:
        raise ConfigError(f"{where}: the key is empty")
    if len(resolved) < LEAST_LENGTH and not is_loopback(host):
        raise ConfigError(f"{where}: a key of less than {LEAST_LENGTH} characters, and {host} is not loopback")
    return _digest(resolved)


def _digest(key: str) -> bytes:
    # Digests have one length, so that comparing them tells nothing about that of a key.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
