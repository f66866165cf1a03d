"""HTTP headers that a configuration adds to the calls of an LLM."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, SecretStr

from mollm.config.variables import expand
from mollm.depth import HEADER
from mollm.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
OWN = frozenset(
    (
        *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "accept-encoding"),
        *("connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "upgrade", "expect"),
        HEADER,
    )
)
"""Headers that say how a call is sent, which is the HTTP client's to know."""


def header_value(value: str) -> str:
    """Return what follows the name in a header, without the white space that a file or a variable leaves around it.

    Raises:
        ValueError: No header can hold it.
    """
    value = value.strip()
    if not value.isascii() or not value.isprintable():
        raise ValueError("a header holds one line of printable ASCII")
    return value


def resolve_header(text: str, where: str) -> str:
    """Fill in the variables of a header's value.

    Raises:
        ConfigError: A variable is not set, or no header can hold what it stands for.
    """
    try:
        return header_value(expand(text, where))
    except ValueError as error:
        raise ConfigError([f"{where}: {error}"]) from None


def _checked(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    seen: dict[str, str] = {}
    for name, value in headers.items():
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header: letters, digits and dashes")
        if name.lower() in OWN:
            raise ValueError(f"{name!r} cannot be set: it says how a call is sent, which is not for a file to say")
        if other := seen.get(name.lower()):
            raise ValueError(f"{name!r} and {other!r} are the same header")
        seen[name.lower()] = name
        try:
            header_value(value.get_secret_value())
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}") from None
    return headers


Headers: TypeAlias = Annotated[dict[str, SecretStr], AfterValidator(_checked)]
