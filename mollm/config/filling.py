"""The values of a configuration, with what the environment says in place of variables.

Addresses, keys and headers stay as they are written until an LLM or the server is built, so that what is secret
is never part of a configuration. A variable that is missing from a setting of an LLM or of the server matters
only when that is built, too.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mollm.config.lookalikes import EMBEDDERS, Kind, kind_of_text, mistaken_placeholder, mistaken_value
from mollm.config.places import MAX_DEPTH, pattern_of
from mollm.config.problem import Problem
from mollm.config.variables import expand, missing_variables, unset, variables_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.config.places import KeyPath

LATER: frozenset[KeyPath] = frozenset(
    [
        *(("llms", "*", key) for key in ("api_base", "api_key", "proxy", "headers")),
        *((*section, key) for section in EMBEDDERS for key in ("api_base", "api_key")),
        ("server", "api_keys", "*", "key"),
    ]
)
"""What is filled in when it is used, with all below it: it may be secret."""
KEY: KeyPath = ("server", "api_keys", "*")
"""The same, where it is text alone."""


class Filled(NamedTuple):
    """Plain data with its variables filled in."""

    data: Any
    written: dict[KeyPath, str]
    """The texts in which variables were replaced, as they are written."""
    unset: list[Problem]
    """Variables that are not set, or not yet filled in; the texts in which they stand stayed as they are."""
    mistakes: list[Problem]
    """What looks like a variable and is none."""


def fill(data: Any, environ: Mapping[str, str] = os.environ) -> Filled:
    """Replace the variables in every text of `data`, which is left as it is; keys are no texts."""
    found = Filled(None, {}, [], [])
    return found._replace(data=_filled(data, (), found, environ))


def _filled(value: Any, key: KeyPath, found: Filled, environ: Mapping[str, str]) -> Any:
    if len(key) > MAX_DEPTH:  # a dictionary may contain itself
        return value
    if isinstance(value, dict):
        return {name: _filled(inner, (*key, name), found, environ) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, (*key, index), found, environ) for index, inner in enumerate(value)]
    return _text(value, key, found, environ) if isinstance(value, str) else value


def _text(value: str, key: KeyPath, found: Filled, environ: Mapping[str, str]) -> str:
    if mistake := mistaken_placeholder(key, value):
        found.mistakes.append(Problem(key, mistake, []))
        return value
    if "${" not in value:
        return value
    held = {name: mistaken_value(key, value, environ.get(name, "")) for name in variables_in(value)}
    if mistaken := [f"the value of {name} {mistake}" for name, mistake in held.items() if mistake]:
        found.unset.extend(Problem(key, text, []) for text in mistaken)
        return value
    if is_later(key):
        return value
    if missing := missing_variables(value, environ):
        hint = "; write `$${` where this is no variable" if kind_of_text(key, value) is Kind.PROSE else ""
        found.unset.extend(Problem(key, f"{unset(name)}{hint}", []) for name in missing)
        return value
    found.written[key] = value
    return expand(value, "", environ)


def is_later(key: KeyPath) -> bool:
    """The text at this key is filled in when it is used."""
    pattern = pattern_of(key)
    return pattern == KEY or any(pattern[:length] in LATER for length in range(len(pattern) + 1))


def typed(text: str) -> Any:
    """Read a text that a variable brought as YAML would read a number, `true` or `false`; any other stays text."""
    word = text.strip()
    if re.fullmatch(r"[-+]?[0-9]{1,30}", word):
        return int(word)
    if re.fullmatch(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,3})?", word):
        return float(word)
    return {"true": True, "false": False}.get(word.lower(), text)
