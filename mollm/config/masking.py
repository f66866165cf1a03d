"""What a configuration holds and does not show: passwords and keys in addresses, and what `extra_body` says.

Both are masked where a configuration is printed, logged or written as JSON, and stay what they are for whoever uses
them, as with pydantic's `SecretStr`: also in `model_dump()`, so that it can be loaded again.
"""

from __future__ import annotations

import re
from typing import Any

import yaml.representer
from pydantic import SerializationInfo  # noqa: TC002 - pydantic evaluates the annotations

from mollm.config.places import MAX_DEPTH

MASK = "**********"
_NAMED = re.compile(r"key|token|secret|pass|auth|credential|cookie|session|signature|pin", re.IGNORECASE)


class Address(str):
    """An address whose `repr` shows no user, no password and nothing behind a `?`."""

    __slots__ = ()

    @property
    def masked(self) -> str:
        """As it may be read by anybody."""
        scheme = found[0] if (found := re.match(r"(?i)https?://", self)) else ""  # any other may be a password, too
        login, at, host = self[len(scheme) :].rpartition("@")
        if re.search(r"[?#]", login):  # what stands before it may be the name of a host, or a password
            return f"{scheme}{MASK}"
        host = re.sub(r"(?s)([?#]).*", rf"\1{MASK}", host)
        return f"{scheme}{MASK}@{host}" if at else f"{scheme}{host}"

    def __repr__(self) -> str:
        return repr(self.masked)


class _Text(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


class _Number(int):
    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


for _kind in (yaml.representer.SafeRepresenter, yaml.representer.Representer):  # it writes no subclass by itself
    _kind.add_representer(Address, lambda to, text: to.represent_str(str(text)))
    _kind.add_representer(_Text, lambda to, text: to.represent_str(str(text)))
    _kind.add_representer(_Number, lambda to, number: to.represent_int(int(number)))


def addresses(found: list[str] | None) -> list[str] | None:
    """Mask the addresses."""
    return None if found is None else [Address(address) for address in found]


def fields(found: dict[str, Any]) -> dict[str, Any]:
    """Mask every text below these names, since no list of names is complete, and numbers below those of secrets."""
    return {name: _hidden(value, bool(_NAMED.search(name))) for name, value in found.items()}


def _hidden(value: Any, is_secret: bool, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:  # a dictionary may contain itself, which is found and named later
        return value
    if isinstance(value, dict):
        found = {name: is_secret or bool(_NAMED.search(str(name))) for name in value}
        return {name: _hidden(value[name], is_named, depth + 1) for name, is_named in found.items()}
    if isinstance(value, list | tuple):
        return [_hidden(inner, is_secret, depth + 1) for inner in value]
    if isinstance(value, str):
        return _Text(value)
    return _Number(value) if is_secret and type(value) is int else value


def shown(value: Any, info: SerializationInfo) -> Any:
    """What stands for masked values in `model_dump()`: themselves. In JSON there is the mask."""
    return value if info.mode == "python" else masked(value)


def masked(value: Any) -> Any:
    """Plain data with the mask in place of whatever is masked in it, for whoever writes it down elsewhere."""
    if isinstance(value, dict):
        return {name: masked(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    if isinstance(value, Address):
        return value.masked
    return MASK if isinstance(value, _Text | _Number) else value
