"""API keys: what stands in a file or in a variable, made fit for a header."""

from __future__ import annotations

from mollm.config.variables import expand, variables_in
from mollm.errors import ConfigError


def resolve_key(text: str, where: str) -> str | None:
    """Fill in the variables of a key, and leave out the line end that it may have from a file; None if it is empty.

    Raises:
        ConfigError: A variable is not set, or the key cannot be sent; the key itself is not shown.
    """
    key = expand(text, where, quote=str.strip).strip()
    problem = key_problem(key)
    if problem is None:
        return key or None
    variables = " and ".join(variables_in(text))
    raise ConfigError(f"{where}: {f'the value of {variables}' if variables else 'the key'} {problem}")


def key_problem(key: str) -> str | None:
    """Say why a key, variables filled in and without white space around it, cannot be one."""
    if not key.isascii() or not key.isprintable():
        return "holds a control character, or one that no key has; copy it again"
    if key[:7].lower() == "bearer ":
        return "begins with `Bearer`, which is put in front of it anyway; leave that out"
    if key[:14].lower() == "authorization:":
        return "begins with `Authorization:`, the name of the header in which it is sent; leave that out"
    if key[:1] in ("'", '"') and key[-1:] == key[:1]:
        return "stands in quotes that are part of it; leave them out"
    return None
