"""Names of servers and origins of pages as a configuration writes them, in the form in which browsers send them."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any

ANY = "*"
NULL = "null"
"""The origin of a page that has none: from a file, or in a sandbox."""

_NAME = r"[a-z0-9_*]([a-z0-9_*-]*[a-z0-9_*])?(\.[a-z0-9_*]([a-z0-9_*-]*[a-z0-9_*])?)*"
_HOST = re.compile(rf"(\*\.|\.)?{_NAME}")
_ORIGIN = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>{_NAME}|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{{1,5}}|\*))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def host_name(value: Any) -> str:
    """Bring a name that `Host` may have to its plain form: lower case, no dot at the end, ASCII.

    `*.example.org` stands for every name below it, `*` for any.

    Raises:
        ValueError: It is not a name alone.
    """
    if not isinstance(value, str):
        raise ValueError("must be text")
    name = _ascii(value.strip().lower()).removesuffix(".")
    if name == ANY or _is_address(name.strip("[]")):
        return name
    if "*" in name.removeprefix("*.") or not _HOST.fullmatch(name):
        raise ValueError("must be a name as in 'mollm.example.org', without scheme, port and path; or '*' for any")
    return f"*{name}" if name.startswith(".") else name


def origin(value: Any) -> str:
    """Bring the origin of a page to the form in which a browser sends it: lower case, no default port, no slash.

    `*` in it stands for letters, digits, dots and dashes, as a port for any or none; alone it stands for any origin.

    Raises:
        ValueError: It is no origin.
    """
    if value is None:  # YAML's null, which is what the origin is called, too
        return NULL
    if not isinstance(value, str):
        raise ValueError("must be text")
    text = _ascii(value.strip().lower()).removesuffix("/")
    if text in (ANY, NULL):
        return text
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError("must be as in 'https://app.example.org' or 'chrome-extension://ID', without a path; or '*'")
    scheme, host, port = match["scheme"], match["host"], match["port"]
    if host.count("*") > 1:
        raise ValueError("may have one '*' in its name, and one as its port")
    is_default = port is None or port == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}" if is_default else f"{scheme}://{host}:{port}"


def pattern(name: str) -> re.Pattern[str]:
    """Compile a name or an origin; see `host_name` and `origin`."""
    name, any_port, _ = name.partition(":*") if name.endswith(":*") else (name, "", "")
    return re.compile("[a-z0-9._-]+".join(map(re.escape, name.split("*"))) + ("(:[0-9]+)?" if any_port else ""))


def _ascii(name: str) -> str:
    if name.isascii():
        return name
    scheme, slashes, host = name.rpartition("://")
    try:
        return scheme + slashes + host.encode("idna").decode()
    except UnicodeError:
        raise ValueError("is not a name that the network knows") from None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
