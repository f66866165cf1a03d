"""`${VAR}` and `${VAR:-default}` in a text.

A default takes the place of a variable that is unset or empty. `$${` is `${` itself.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_VARIABLE = r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>(?:(?!\$\{)[^}])*))?\}"
_TOKEN = re.compile(rf"\$\$(?=\{{)|{_VARIABLE}")


def variables_in(value: str) -> list[str]:
    """The variables that stand in `value`, each once."""
    return [*dict.fromkeys(match["name"] for match in _TOKEN.finditer(value) if match["name"])]


def without_variables(value: str) -> str:
    """Leave out variables, and each `$${...}`."""
    return re.sub(rf"\$\$\{{[^}}]*\}}?|{_VARIABLE}", "", value)


def defaults(value: str) -> list[str]:
    """What stands behind the `:-` of each variable."""
    return [match["default"] for match in _TOKEN.finditer(value) if match["default"]]


def missing_variables(value: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """The variables in `value` that are not set and have no default, each once."""
    bare = [match["name"] for match in _TOKEN.finditer(value) if match["default"] is None]
    return [*dict.fromkeys(name for name in bare if name and name not in environ)]


def unset(name: str) -> str:
    """Say that a variable is missing."""
    return f"the environment variable {name} is not set"


def expand(
    value: str, where: str, environ: Mapping[str, str] = os.environ, *, quote: Callable[[str], str] = str
) -> str:
    """Replace each variable in `value`.

    Args:
        value: The text.
        where: Names its key, for messages.
        environ: The variables.
        quote: Applied to what takes the place of a variable.

    Raises:
        ConfigError: Lists those that are not set and have no default.
    """
    if missing := missing_variables(value, environ):
        raise ConfigError([f"{where}: {unset(name)}" for name in missing])

    def lookup(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        return quote(environ.get(name) or default or "") if name else "$"

    return _TOKEN.sub(lookup, value)
