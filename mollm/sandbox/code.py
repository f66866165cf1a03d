"""The code in an answer."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OPENING = re.compile(r"(?:[ \t]|[-*+>] |\d{1,3}[.)] ){0,8}(`{3,}|~{3,})[ \t]*([^\s`]*)[^`]*")
"""A line that opens a block, which may stand in a list or a quotation."""
ALIASES = {"python": ("py", "python3", "py3")}
"""Other names for a language."""


def code_of(text: str, language: str = "python") -> str:
    """Return the code of an answer: the longest block that is fenced as `language`.

    Without one it is the longest block of no language, and without any the whole text. A block that is not closed goes
    to the end of the text.
    """
    found = list(_blocks(text))
    if not found:
        return text
    names = (language.lower(), *ALIASES.get(language.lower(), ()))
    of_language = [code for name, code in found if name in names]
    unnamed = [code for name, code in found if not name]
    return max(of_language or unnamed or [code for _, code in found], key=len)


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """The blocks of a text, each with its language in small letters."""
    fence, name = "", ""
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):  # not at what a text in code may hold, U+2028 say
        if fence:
            closing = line.strip().lstrip("> ")
            if len(closing) >= len(fence) and not closing.strip(fence[0]):
                yield name, _joined(lines)
                fence = ""
            else:
                lines.append(line)
        elif opening := OPENING.fullmatch(line):
            fence, name, lines = opening[1], opening[2].lower().strip("{}."), []
    if fence:
        yield name, _joined(lines)


def _joined(lines: list[str]) -> str:
    return textwrap.dedent("\n".join(lines)).rstrip() + "\n"
