"""Sentences: where they end, and what they say without emphasis and delimiters."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"[.!?;](?=[*_\"'”)\]$]{0,4}(?:\s|\Z))|[。؟।؛]")
_ABBREVIATION = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|st|mt|no|vs|jr|sr|prof|inc|ltd|co|approx|ca|fig|nr|bzw|etc|rs|jan|feb|mar|apr|jun|jul"
    r"|aug|sept?|oct|nov|dec|e\.g|i\.e|cf|sq|cu)|(?<![^\W\d_])[^\W\d_]\.[^\W\d_]"
    r"|\A\W{0,4}[^\W\d_]|\s[^\W\d_](?=\.\s[A-Z])|\\)\Z",
    re.I,
)
_GOES_ON = re.compile(r"[0-9]\.[0-9]{1,30}\.\.\Z")
"""A decimal with three points behind it: `0.333...`."""
_FACTORIAL = re.compile(r"(?:[0-9)]|(?<!\w)[a-z])\Z")
_LISTED = re.compile(r"(?<![^\s(;])[A-J]\)?;\s\(?[A-J](?!\w)|[0-9][$)]?;\s[-\u2212$(]{0,2}[0-9]")
_NUMBERED = re.compile(r"[0-9]{1,3}\. (?:[a-z0-9]|[KQRBN][a-hx1-8]|O-O)")
"""The first of several: `1. e4 e5 2. Nf3`."""
_NUMBER = re.compile(r"(?<![\w.])[0-9]{1,3}\Z")
_INLINE = re.compile(r"(?<!\\)\$(?! )((?:\\\$|[^$\n]){1,199})(?<![ \\])\$(?![0-9])|\\\(([^\n]{1,199}?)\\\)")
_EMPHASIS = re.compile(r"(?<![\w)\]])(?:\*\*\*?|__)|(?:\*\*\*?|__)(?![\w(\[])")


def plain_text(sentence: str) -> str:
    """Take off emphasis and the delimiters of mathematics."""
    return " ".join(_INLINE.sub(r" \1\2 ", _EMPHASIS.sub("", sentence)).split())


def first_sentence(line: str) -> tuple[str, str]:
    """Return the first sentence of `line` without the mark at its end, and the mark, empty if there is none."""
    for end in _SENTENCE_END.finditer(line):
        if _is_end(line, end.start()):
            return line[: end.start()], end[0]
    return line, ""


def _is_end(line: str, at: int) -> bool:
    before = line[max(0, at - 40) : at]
    if line[at] == "!":
        return not _FACTORIAL.search(before)
    if line[at] == ";":
        return not _LISTED.search(line, max(0, at - 4), at + 8)
    if line[at] != ".":
        return True
    is_number = _NUMBER.search(before) and _NUMBERED.match(line)
    return not (is_number or _GOES_ON.search(before) or _ABBREVIATION.search(before[-12:]))
