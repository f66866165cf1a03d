"""Who is let in."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING

from mollm.config import expand
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from mollm.schema import Config

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
        problems: list[str] = []
        for number, key in enumerate(config.server.api_keys):
            where = config.place("server", "api_keys", number)
            try:
                # A header cannot hold the line end that a variable may have from a file.
                found.append(expand(key.get_secret_value(), where).strip())
            except ConfigError as error:
                problems += error.problems
                continue
            if not found[-1]:
                problems.append(f"{where}: the key is empty")
            elif len(found[-1]) < LEAST_LENGTH and not is_loopback(host):
                problems.append(f"{where}: a key of less than {LEAST_LENGTH} characters, and {host} is not loopback")
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


def is_loopback(host: str) -> bool:
    """Say whether nobody outside this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(key: str) -> bytes:
    # Digests have one length, so that comparing them tells nothing about that of a key.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
