"""What a configuration names as `package.module:name`: a function or an object of somebody's own."""

from __future__ import annotations

import importlib
import re
from typing import Any

from mollm.errors import ConfigError

REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
"""A whole one."""


def imported(reference: str) -> Any:
    """Import what a reference names.

    Raises:
        ConfigError: It is no reference, there is no such thing, or importing its module fails.
    """
    if not REFERENCE.fullmatch(reference):
        raise ConfigError(f"{reference!r} is no `package.module:name`")
    module, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # a module of somebody's own may raise anything while it is imported
        raise ConfigError(f"{reference!r} cannot be imported: {type(error).__name__}: {error}") from error
    return found
