"""`${VAR}` in a configuration.

It stays as written until an LLM or the server is built, so that a variable matters only where it is used and
never shows up in a printed configuration.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def expand(value: str, where: str, environ: Mapping[str, str] = os.environ) -> str:
    """Replace each `${VAR}` in `value`.

    Raises:
        ConfigError: A variable is not set; `where` names the key.
    """

    def lookup(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environ:
            raise ConfigError(f"{where}: the environment variable {name} is not set")
        return environ[name]

    return VARIABLE.sub(lookup, value)
