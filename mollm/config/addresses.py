"""The addresses that a configuration names: of LLMs and of proxies, taken apart once and joined by their parts.

No message shows an address, since it may hold a password; each is named by the key under which it stands.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, unquote

from mollm.config.variables import expand

ENDPOINT = "/chat/completions"
_OTHER_ENDPOINTS = ("/completions", "/responses", "/embeddings", "/messages", "/v1/models", "/v1/chat")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_WITH_LOGIN = re.compile(r"(\s*[A-Za-z][A-Za-z0-9+.\-]*://)(.*)@([^@]*)", re.DOTALL)
_ANOTHER = re.compile(r"[,;|]https?://")
_HOST = re.compile(r"(?!.*\.\.)(?!\.)[A-Za-z0-9._~\-]{1,253}")


@dataclass(frozen=True, slots=True)
class BaseURL:
    """Below which an LLM is served: the address that its endpoints have in common, with a query if there is one."""

    scheme: str
    """`http` or `https`."""
    host: str
    """In ASCII; IPv6 without brackets."""
    port: int | None
    path: str = ""
    """Begins with a slash and ends without one; may be empty."""
    query: str = field(default="", repr=False)
    """May hold a key."""

    @classmethod
    def parse(cls, text: str, *, has_endpoint: bool = False) -> Self:
        """Read an address as manuals have it: spaces around it, and the endpoint at its end, are left out.

        Args:
            text: The address, its variables filled in.
            has_endpoint: It is called as it stands, and an endpoint at its end is part of it.

        Raises:
            ValueError: It is no address that can be called, or holds what belongs elsewhere; says what to do.
        """
        parts = _Parts.of(text)
        if parts.user is not None:
            raise ValueError("holds a user or a password; write those into `api_key`, or into `headers`")
        path = parts.path.rstrip("/")
        if _ANOTHER.search(path):
            raise ValueError("holds a second one; several addresses are a list, `[http://..., http://...]`")
        if has_endpoint:
            return cls(parts.scheme, parts.host, parts.port, path, parts.query)
        while path.lower().endswith(ENDPOINT):
            path = path[: -len(ENDPOINT)].rstrip("/")
        if path.lower().endswith(_OTHER_ENDPOINTS):
            raise ValueError(f"ends in `{path[path.rindex('/') :]}`, which is not called; end it before, as in `/v1`")
        return cls(parts.scheme, parts.host, parts.port, path, parts.query)

    @property
    def address(self) -> str:
        """Host and port, as events and messages name it."""
        return _authority(self.host, self.port)

    @property
    def base(self) -> str:
        """Without the query."""
        return f"{self.scheme}://{self.address}{self.path}"

    def join(self, endpoint: str) -> str:
        """The address of an endpoint, as `/chat/completions`; the query stays behind it."""
        return f"{self.base}{endpoint}{f'?{self.query}' if self.query else ''}"

    def __str__(self) -> str:
        return self.join("")


@dataclass(frozen=True, slots=True)
class ProxyURL:
    """An HTTP proxy, with its password."""

    scheme: str
    address: str
    """Host and port."""
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the address of a proxy.

        Raises:
            ValueError: It is none that can be used; says what to do.
        """
        parts = _Parts.of(text, example="http://proxy.example:3128")
        if ":" in (parts.user or "") or not _is_latin(f"{parts.user}{parts.password}"):
            raise ValueError("holds a user or a password that HTTP cannot send")
        if parts.path.strip("/") or parts.query:
            raise ValueError("a proxy has no path and no query; end it after the port")
        return cls(parts.scheme, _authority(parts.host, parts.port), parts.user, parts.password)

    @property
    def url(self) -> str:
        """With user and password: for whoever connects, not for print."""
        login = "" if self.user is None else f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@"
        return f"{self.scheme}://{login}{self.address}"


def expand_login(text: str, where: str) -> str:
    """Fill in the variables of a proxy's address; a user and a password that are variables may hold anything.

    Raises:
        ConfigError: A variable is not set.
    """
    match = _WITH_LOGIN.fullmatch(text)
    if match is None:
        return expand(text, where, quote=str.strip)
    scheme, login, rest = match.groups()
    login = expand(login, where, quote=lambda value: quote(value.strip(), safe=""))
    return f"{scheme}{login}@{expand(rest, where, quote=str.strip)}"


@dataclass(frozen=True, slots=True)
class _Parts:
    """What every address is made of."""

    scheme: str
    host: str
    port: int | None
    path: str
    query: str
    user: str | None = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def of(cls, text: str, example: str = "http://127.0.0.1:8001/v1") -> Self:
        text = text.strip()
        _check_characters(text)
        match = _SCHEME.match(text)
        if match is None:
            raise ValueError(f"has no scheme; write `http://` or `https://` in front, as in `{example}`")
        _check_scheme(match[1].lower())
        if "#" in text:
            raise ValueError(
                f"holds a `#`, behind which nothing is sent; {'write `%23`' if '@' in text else 'leave it out'}"
            )
        rest = text[match.end() :]
        end = min((found for found in (rest.find("/"), rest.find("?")) if found >= 0), default=len(rest))
        path, _, query = rest[end:].partition("?")
        login, at, authority = rest[:end].rpartition("@")
        host, port = _host_and_port(authority)
        user, _, password = login.partition(":")
        return cls(match[1].lower(), host, port, path, query, unquote(user) if at else None, unquote(password))


def _check_characters(text: str) -> None:
    if not text:
        raise ValueError("is empty")
    if text[0] in "\"'":
        raise ValueError("stands in quotes that are part of it; leave them out")
    if " " in text or not text.isprintable():
        raise ValueError("holds a space or a control character")
    if "\\" in text:
        raise ValueError("holds a backslash; an address has slashes")


def _check_scheme(scheme: str) -> None:
    if scheme.startswith("socks"):
        raise ValueError("is a SOCKS proxy, which is not spoken; name one that speaks HTTP")
    if "unix" in scheme:
        raise ValueError("is a socket file, which cannot be called; let the server listen on a port")
    if scheme not in ("http", "https"):
        raise ValueError("begins with a scheme that is neither `http://` nor `https://`")


def _host_and_port(authority: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        if not bracket or port[:1] not in ("", ":") or not _is_ipv6(host):
            raise ValueError("holds something in brackets that is no IPv6 address")
        port = port[1:]
    else:
        host, _, port = authority.partition(":")
        if ":" in port:
            raise ValueError("holds a second `:`; an IPv6 address stands in brackets, as in `http://[::1]:8001`")
    if not host:
        raise ValueError("names no host")
    if not authority.startswith("[") and not _is_host(host):
        raise ValueError("holds a host that is no name")
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise ValueError("holds a port that is no number from 1 to 65535")
    return host.lower(), int(port) if port else None


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _is_host(host: str) -> bool:
    host = host.lower()
    if not host.isascii() or "xn--" in host:
        try:
            host = host.encode("idna").decode()
            host.encode().decode("idna")
        except UnicodeError:
            return False
    return bool(_HOST.fullmatch(host)) and max(map(len, host.split("."))) <= 63


def _is_latin(text: str) -> bool:
    return all(character <= "\xff" for character in text)


def _authority(host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


def is_private_host(host: str) -> bool:
    """Whether a host is this machine, or an address in a private network; other names are not looked up."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_private or address.is_loopback
