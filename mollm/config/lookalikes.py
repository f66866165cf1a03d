"""What looks like a placeholder and is none: it would be sent as it stands, as an address, a model or a key.

How much looks like one depends on the key. `$(` or `<name>` has no place in an address; a key or a header may
hold almost anything, so that only a whole word counts; and what people and LLMs read may be about code, so that
there only a `${NAME` that is not closed as it should be is a mistake.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

from mollm.config.places import pattern_of
from mollm.config.variables import defaults, without_variables

if TYPE_CHECKING:
    from mollm.config.places import KeyPath

SYNTAX = "write `${NAME}` or `${NAME:-default}` for a variable, and `$${` where `${` itself is meant"


class Kind(Enum):
    """What a text is for."""

    PROSE = auto()
    """People, LLMs or another program read it."""
    NAME = auto()
    """It names something else in the file, or is one of a few words."""
    ADDRESS = auto()
    """It leads somewhere, or is the name of a model there."""
    SECRET = auto()
    """A key, or a header that may hold one."""


EMBEDDERS: tuple[KeyPath, ...] = (("embeddings",), ("router", "embedder"), ("router", "members", "*", "embedder"))
"""Sections that say where vectors come from."""

_KINDS: dict[KeyPath, Kind] = {
    ("llms", "*", "model"): Kind.ADDRESS,
    ("llms", "*", "api_base"): Kind.ADDRESS,
    ("llms", "*", "proxy"): Kind.ADDRESS,
    ("llms", "*", "api_key"): Kind.SECRET,
    **{(*section, "api_base"): Kind.ADDRESS for section in EMBEDDERS},
    **{(*section, "api_key"): Kind.SECRET for section in EMBEDDERS},
    ("llms", "*", "headers"): Kind.SECRET,
    ("llms", "*", "extra_body"): Kind.PROSE,
    ("llms", "*", "stop"): Kind.PROSE,
    ("mixtures", "*", "description"): Kind.PROSE,
    ("mixtures", "*", "examples"): Kind.PROSE,
    ("mixtures", "*", "aggregator", "prompt"): Kind.PROSE,
    **{("mixtures", "*", "aggregator", "analysis", key): Kind.PROSE for key in ("prompt", "criteria")},
    **{("mixtures", "*", "review", key): Kind.PROSE for key in ("prompt", "criteria")},
    **{("mixtures", "*", "workers", "*", key): Kind.PROSE for key in ("prompt", "system", "stop", "extra_body")},
    ("router", "prompt"): Kind.PROSE,
    ("router", "members", "*", "prompt"): Kind.PROSE,
    ("server", "host"): Kind.ADDRESS,
    ("server", "api_keys"): Kind.SECRET,
    **{("server", "api_keys", "*", key): Kind.NAME for key in ("name", "sha256", "limits")},
}

_BROKEN = re.compile(r"\$\{")
_BROKEN_NAME = re.compile(r"\$\{[A-Za-z_]")
_ELSEWHERE = re.compile(
    r"(\S+\s+)?(os\.environ|os\.getenv|process\.env|getenv|environ|env|secrets?|vault|op|file)[/:.(\[]", re.IGNORECASE
)
"""How other programs are told to look a value up: `os.environ/NAME`, `env:NAME`, `op://vault/item`."""
_WORD = re.compile(
    r"(\S+\s+)?(\$(env:)?[A-Za-z_]\w*|\$\(.*\)|`.*`|%[A-Za-z_]\w*%|\{+\s*[A-Za-z_][\w.\-]*\s*\}+|<[^<>]*>)", re.ASCII
)
"""`$NAME`, `$(command)`, `%NAME%`, `{{ NAME }}`, `<your key>`, maybe after one word as in `Bearer $NAME`."""
_INSIDE = re.compile(
    r"\bos\.environ\b|\bprocess\.env\b|^(env|secrets?)[/:.(\[]|\$[A-Za-z_(]|%(?![0-9A-Fa-f]{2})[A-Za-z_]\w*%|[{}<>`]",
    re.ASCII,
)
_UNFILLED = re.compile(r"\$\{[A-Za-z_][^}]*\}|os\.environ/")
"""In the value of a variable: what another program was to fill in before."""
_TO_FILL_IN = re.compile(
    r"(\S+\s+)?((sk-)?(your|insert|replace|paste|enter)([-_]\S*)?[-_](key|token|secret|here|me)"
    r"|\[[a-z][a-z_ -]*\]|\S*(\.\.\.|…)\S*|sk-x{3,})",
    re.IGNORECASE,
)
"""A key that a manual shows: `YOUR_API_KEY`, `sk-...`, `sk-xxxx`, `[api key]`."""


def kind_of_text(key: KeyPath, value: str) -> Kind:
    """What the text at `key` is for."""
    pattern = pattern_of(key)
    kind = next((_KINDS[pattern[:n]] for n in range(len(pattern), 0, -1) if pattern[:n] in _KINDS), Kind.NAME)
    is_said = kind is Kind.ADDRESS and value.startswith("scripted/")
    return Kind.PROSE if is_said else kind


def mistaken_placeholder(key: KeyPath, value: str) -> str | None:
    """Say what is wrong with `value` if it looks like a placeholder and is none; the value itself is not shown."""
    kind, rest = kind_of_text(key, value), without_variables(value)
    if (_BROKEN_NAME if kind is Kind.PROSE else _BROKEN).search(rest):
        return f"a `${{` that begins no variable; {SYNTAX}"
    if kind is not Kind.PROSE and any(_looks_like_one(text.strip(), kind) for text in (rest, *defaults(value))):
        return f"this looks like a placeholder, and would be taken as it stands; {SYNTAX}"
    return None


def mistaken_value(key: KeyPath, written: str, value: str) -> str | None:
    """Say what is wrong with what a variable in `written` holds, if that was to be filled in, too; it is not shown.

    A variable may hold what a file would not, as a password in the address of a proxy.
    """
    pattern, kind = pattern_of(key), kind_of_text(key, written)
    if kind is Kind.PROSE or pattern[-1] == "proxy":
        return None
    is_key = "api_key" in pattern or "api_keys" in pattern
    if _UNFILLED.search(value) or (is_key and _looks_like_one(value.strip(), kind)):
        return "looks like a placeholder, and would be taken as it stands"
    return None


def _looks_like_one(text: str, kind: Kind) -> bool:
    if _WORD.fullmatch(text):
        return True
    if kind is Kind.ADDRESS:
        return bool(_INSIDE.search(text))
    return kind is Kind.SECRET and bool(_ELSEWHERE.match(text) or _TO_FILL_IN.fullmatch(text))
