"""A server that would ask itself: seen in its configuration where it can be, else in the head of a question."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from mollm.config.variables import expand
from mollm.depth import AGENT, ASKED, HEADER, questions_of
from mollm.errors import ConfigError
from mollm.server.wire import header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from starlette.types import Scope

    from mollm.config.addresses import BaseURL
    from mollm.config.config import Config

    Address = IPv4Address | IPv6Address

_HEADER = HEADER.encode()
LOOPBACK = (ip_address("127.0.0.1"), ip_address("::1"))


def questions_around(scope: Scope) -> int:
    """How many questions are being answered around the one in an HTTP request.

    Raises:
        HTTPException: It comes from an LLM of mollm that does not say so; it will, once it knows who asks.
        RequestError: It says so, and it is too deep, or says something else.
    """
    told = header(scope, _HEADER)
    if not told and header(scope, b"user-agent") == AGENT:
        raise HTTPException(ASKED, headers={HEADER: "asked"})
    return questions_of(told)


def check_addresses(config: Config, host: str, port: int) -> None:
    """Refuse LLMs at the address of the server itself, however it is spelled; no name is looked up.

    Args:
        config: Names the LLMs.
        host: As the socket of the server has it, so that it is an address.
        port: Of the same socket.

    Raises:
        ConfigError: Names every such LLM.
    """
    own = ip_address(host.partition("%")[0])
    problems = [
        f"{config.place('llms', name, 'api_base')}: this is where the server itself listens (port {port}), "
        "so its mixtures would ask themselves; name another address, or let the server listen elsewhere"
        for name, base in _called(config)
        if base.scheme == "http" and (base.port or 80) == port and _leads_to(base.host, own)
    ]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def _called(config: Config) -> Iterator[tuple[str, BaseURL]]:
    for name, llm in config.llms.items():
        if not llm.is_remote or llm.proxy:
            continue
        for address in llm.api_base or ():
            try:
                yield name, llm.base_url(expand(address, name, quote=str.strip))
            except (ConfigError, ValueError):
                continue  # said when the LLM is built, if it is ever used


def _leads_to(host: str, own: Address) -> bool:
    """Whether a connection to `host` reaches a socket that is bound to `own`."""
    host = host.rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return own.is_loopback or own.is_unspecified
    address = _address_of(host)
    if address is None:
        return own.is_unspecified and host == socket.gethostname().lower()
    if address.is_unspecified:  # the kernel takes it for loopback
        return own.is_unspecified or own in LOOPBACK
    return address == own or (own.is_unspecified and address.is_loopback)


def _address_of(host: str) -> Address | None:
    """The address that `host` is, also where it is written in short, as `127.1`, or as one number; None for a name."""
    try:
        found = ip_address(host)
    except ValueError:
        try:
            return ip_address(socket.inet_aton(host))
        except (OSError, UnicodeError):
            return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
