"""Under which names a server is asked, and pages of which origins ask from a browser.

Without keys any page in a browser on this machine could spend money here, so such a server tells pages of this
machine, and those that are listed, from all others. A page cannot hide its origin. One whose own name was made to
lead here (DNS rebinding) names none, since to the browser it asks where it came from; but then `Host` is that name.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mollm.config.hosts import ANY, NULL, pattern
from mollm.server.failures import INVALID, Problem
from mollm.server.wire import shown

if TYPE_CHECKING:
    from mollm.config.server import ServerConfig

OF_THIS_MACHINE = (".localhost", ".internal")
"""Endings of names that no public name system can lead anywhere; containers call their host by the latter."""


class Origins:
    """Names and origins that a server takes for its own."""

    def __init__(self, settings: ServerConfig) -> None:
        """Take those of this machine, and those that are listed."""
        hosts, origins = settings.hosts, settings.origins
        self.is_public = ANY in origins
        """Pages of every origin may ask."""
        self.are_listed = bool(origins) and not self.is_public
        """What a response says of origins depends on who asks."""
        self._is_any_host = ANY in hosts
        self._hosts = [pattern(name) for name in hosts]
        self._named = frozenset(origin for origin in origins if "*" not in origin and origin != NULL)
        self._origins = [pattern(origin) for origin in origins]

    def has_host(self, host: str) -> bool:
        """Say whether the server may be asked under what `Host` says; True for addresses, which cannot be made up."""
        if self._is_any_host or not _is_domain(host):
            return True
        name = host_of(f"http://{host}").rstrip(".")
        return any(known.fullmatch(name) for known in self._hosts)

    def has_origin(self, origin: str) -> bool:
        """Say whether a page of this origin may ask."""
        return self.is_public or any(known.fullmatch(origin.lower()) for known in self._origins) or _is_local(origin)

    def trusts(self, origin: str) -> bool:
        """Say whether pages of this origin may send what a browser keeps for them: it is listed, letter by letter."""
        return not self.is_public and origin.lower() in self._named


def foreign_origin(origin: str) -> Problem:
    """Say that a page of this origin is not let in, and how it would be."""
    # What a browser calls every page that has no address of its own.
    page = "a page from a file or in a sandbox (origin 'null')" if origin == NULL else f"a page of {shown(origin)}"
    text = f"{page} is not let in; list its origin in server.origins"
    return Problem(403, INVALID, "foreign_origin", text, cause="origin")


def foreign_host(host: str) -> Problem:
    """Say that the server does not know this name of its own, and how it would."""
    text = (
        f"the server was asked under the name {shown(host_of(f'http://{host}'))}, which a page could have made to lead "
        "here; list it in server.hosts, or set server.api_keys"
    )
    return Problem(403, INVALID, "foreign_origin", text, cause="origin")


def is_loopback(host: str) -> bool:
    """Say whether nobody outside this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(address: str) -> str:
    """The host in an address, in lower case; empty where there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


@lru_cache(maxsize=32)
def _is_local(origin: str) -> bool:
    host = host_of(origin)
    return is_loopback(host) or host.endswith(".localhost")


@lru_cache(maxsize=32)
def _is_domain(host: str) -> bool:
    # What the public name system can lead here: a name with a dot that is no address. Clients send the same again.
    name = host_of(f"http://{host}").rstrip(".")
    try:
        ip_address(name)
    except ValueError:
        ending = name.rpartition(".")[2]
        # A name that ends in a number is an address in short, as in 127.1.
        return "." in name and not ending.isdecimal() and not name.endswith(OF_THIS_MACHINE)
    return False
