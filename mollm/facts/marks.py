"""What is written letter for letter: URLs and addresses, paths of files, code identifiers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from mollm.facts.base import GONE, Fact

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.facts.base import Kind

MAX_CHARS = 200
"""Longest mark that is read: what is longer is no name of anything, but data."""

_END_OF_URL = r"\s<>\"'`|\\^{}\x00，。、；：）」』】》"  # noqa: RUF001 - these end an address in a text
_URL = re.compile(rf"(?<!\w)(?:https?|ftp|wss?)://[^{_END_OF_URL}]++", re.I)
_DOMAINS = "ai|app|biz|co|com|dev|edu|gov|info|int|io|mil|net|org"
_HOST = re.compile(
    rf"(?<![\w.@/+-])(?:[A-Za-z0-9.+_-]++@)?+(?:[A-Za-z0-9-]++\.)+(?:{_DOMAINS})(?![\w-]|\.\w)(?:/[^{_END_OF_URL}]*+)?"
)
_TICKED = re.compile(r"(?<!`)`([^`\n\x00]{1,80})`(?!`)")
_POSIX = re.compile(r"(?<![\w/.~:<\\@+-])(?:~|\.{1,2})?/[\w.@+-]++(?:/[\w.@+-]*+)*+")
_RELATIVE = re.compile(r"(?<![\w/.~:<\\@+-])[\w@+-][\w.@+-]*+(?:/[\w.@+-]++)++")
_WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:\\(?:[\w.@+-]{1,60}+\\?)++")
_ENDINGS = (
    "bash|bat|bib|bmp|c|cc|cfg|cjs|conf|cpp|cs|css|csv|dart|db|doc|docx|dll|env|exe|gif|go|gz|h|hpp|htm|html|ico|ini"
    "|ipynb|java|jpeg|jpg|js|json|jsonl|jsx|kt|lock|log|lua|md|mjs|mp3|mp4|parquet|pdf|php|pkl|pl|png|ps1|py|pyi|r|rb|rs"
    "|rst|scala|scss|service|sh|so|sql|sqlite|svg|swift|tar|tex|tf|toml|ts|tsv|tsx|txt|vue|wasm|wav|xls|xlsx|xml|yaml"
    "|yml|zip|zsh"
)
_FILE = re.compile(rf"(?<![\w/.\\@+-])[\w-][\w.-]*\.(?:{_ENDINGS})(?![\w-]|\.\w)")
_HAS_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}\Z")
_CALL = re.compile(r"(?<![\w.\\])[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)*+\(\)")
_DOTTED = re.compile(r"(?<![\w./\\@-])[a-z_]\w++(?:\.[a-z_]\w++)++(?![\w-])")
_FLAG = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*+")
_JOINED = re.compile(r"(?<![\w\\{^@.])[A-Za-z][a-z0-9]*+[_A-Z]\w*+")
_CAMEL = re.compile(r"(?=\w{5})(?:[a-z]++[A-Z]|[A-Z][a-z]++[A-Z])(?=\w*[a-z])\w*+")
_VERSION = re.compile(r"(?<![\w.])v?[0-9]{1,5}(?:\.[0-9]{1,5}){2,4}(?![\w.]*[0-9])")


def marks_in(text: str) -> tuple[list[Fact], str]:
    """Return the marks in `text`, and the text without them."""
    found: list[Fact] = []
    lines = [_without_marks(line, found) for line in text.split("\n")]
    return found, "\n".join(lines)


def _without_marks(line: str, found: list[Fact]) -> str:
    # Most lines have no mark. To look for what each kind has to contain is many times faster than to look for it.
    for hint, rules in _RULES:
        if hint in line if isinstance(hint, str) else hint.search(line):
            for kind, pattern, read in rules:
                line = pattern.sub(_taking(kind, read, found), line)
    return line


def folded(text: str) -> str:
    """The key of a mark, and a text in which keys are looked for: in lower case, with single spaces."""
    return " ".join(text.casefold().split())


def _taking(kind: Kind, read: Callable[[str], str], found: list[Fact]) -> Callable[[re.Match[str]], str]:
    def take(match: re.Match[str]) -> str:
        whole = match[0]
        text = read(whole) if len(whole) <= MAX_CHARS else ""
        if not text:
            return whole
        found.append(Fact(kind, folded(text), text))
        at = whole.find(text)
        return GONE + whole[at + len(text) :] if whole[-1] in ".,;:!?" else GONE

    return take


def _address(text: str) -> str:
    text = text.rstrip(".,;:!?*_~")
    if text.endswith(")") and "(" not in text:
        text = text.rstrip(").,;:!?*_~")
    return re.sub(r"\A\w+://(?:www\.)?", "", text).rstrip("/]")


def _ticked(text: str) -> str:
    inner = text.strip("` ").removesuffix("()")
    # One letter, or a number, is a variable or a value and not what it is called by.
    return inner if len(inner) > 1 and re.search(r"[^\W\d_]", inner) else ""


def _rooted(text: str) -> str:
    path = text.rstrip(".,-+@")
    is_path = path.count("/") > 1 or _HAS_ENDING.search(path) or path[0] in "~."
    return path.rstrip("/") if is_path and re.search(r"[^\W\d_]{2}", path) else ""


def _relative(text: str) -> str:
    path = text.rstrip(".,-+@")
    return path if _HAS_ENDING.search(path) else ""


def _windows(text: str) -> str:
    return text.rstrip(".\\")


def _dotted(text: str) -> str:
    return text if all(len(part) > 1 for part in text.split(".")) else ""


def _joined(text: str) -> str:
    parts = text.strip("_").split("_")
    is_snake = len(parts) > 1 and all(len(part) > 1 and not part.isdigit() for part in parts)
    return text if is_snake or _CAMEL.fullmatch(text) else ""


def _version(text: str) -> str:
    return "" if re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{3})+", text) else text


def _called(text: str) -> str:
    name = text.removesuffix("()")
    return name if len(name) > 1 else ""


_Rule: TypeAlias = "tuple[Kind, re.Pattern[str], Callable[[str], str]]"
_RULES: tuple[tuple[str | re.Pattern[str], tuple[_Rule, ...]], ...] = (
    ("://", (("url", _URL, _address),)),
    (re.compile(r"\.[a-z]"), (("url", _HOST, _address),)),
    ("`", (("code", _TICKED, _ticked),)),
    (":\\", (("path", _WINDOWS, _windows),)),
    (re.compile(r"/\w"), (("path", _POSIX, _rooted), ("path", _RELATIVE, _relative))),
    (re.compile(r"\.\w"), (("path", _FILE, str),)),
    ("()", (("code", _CALL, _called),)),
    (re.compile(r"\.[a-z_]"), (("code", _DOTTED, _dotted),)),
    ("--", (("code", _FLAG, str),)),
    (re.compile(r"[a-z][A-Z]|_\w"), (("code", _JOINED, _joined),)),
    (re.compile(r"\.[0-9]{1,5}\."), (("code", _VERSION, _version),)),
)
"""What a line has to contain, and what is then looked for in it, in order."""


def stands(fact: Fact, answer: str) -> bool:
    """Whether a mark is in an answer that is `folded`."""
    return fact.key in answer
