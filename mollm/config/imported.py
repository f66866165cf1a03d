"""What a configuration names as `package.module:name`: a function or an object of somebody's own."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
"""A whole one."""
_FIRST = threading.RLock()
"""Held while the folder of a configuration is searched first."""


def imported(reference: str, beside: Path | None = None) -> Any:
    """Import what a reference names.

    Args:
        reference: `package.module:name`.
        beside: A configuration file, in whose folder the module is looked for before anywhere else.

    Raises:
        ConfigError: It is no reference, there is no such thing, or importing its module fails.
    """
    if not REFERENCE.fullmatch(reference):
        raise ConfigError(f"{reference!r} is no `package.module:name`")
    module, _, name = reference.partition(":")
    folder = beside.absolute().parent if beside else None
    try:
        found: Any = _module(module, folder)
    except Exception as error:  # a module of somebody's own may raise anything while it is imported
        near = _near_module(module, folder) if isinstance(error, ModuleNotFoundError) and error.name == module else ""
        raise ConfigError(f"{reference!r} cannot be imported: {type(error).__name__}: {error}{near}") from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except Exception as error:  # so may whatever a module has in place of a name
            near = _near(part, vars(found)) if isinstance(error, AttributeError) and hasattr(found, "__dict__") else ""
            raise ConfigError(f"{reference!r} cannot be imported: {type(error).__name__}: {error}{near}") from error
    return found


def _module(name: str, folder: Path | None) -> Any:
    if folder is None:
        return importlib.import_module(name)
    top = name.partition(".")[0]
    is_here = (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()
    if not is_here:
        return importlib.import_module(name)
    with _FIRST:
        sys.path.insert(0, str(folder))
        try:
            importlib.invalidate_caches()
            found = importlib.import_module(name)
        finally:
            sys.path.remove(str(folder))
    if not Path(str(getattr(found, "__file__", ""))).absolute().is_relative_to(folder):
        raise ImportError(
            f"another {top!r} was imported before, from {getattr(found, '__file__', 'Python')}; rename it"
        )
    return found


def _near(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _near_module(name: str, folder: Path | None) -> str:
    return _near(name, [path.stem for path in folder.glob("*.py")]) if folder else ""
