"""Placeholders: how they are written, also by an LLM that changes them a little, and which numbers are free."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mollm.config.privacy import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KINDS = "|".join(kind.upper() for kind in KINDS)
_NUMBER = r"\\{0,2}_(?i:[RP]?[0-9]{1,6})"
_WRITTEN = re.compile(
    # In brackets in any case, also as Markdown, JSON and URLs escape them; without brackets only in capitals, since
    # `email_1` is what programs call a variable.
    rf"(?:\\{{0,2}}\[|%5[Bb])(?P<bracketed>(?i:{_KINDS}){_NUMBER})(?:\\{{0,2}}\]|%5[Dd])"
    rf"|(?<![A-Za-z0-9_])(?P<bare>(?:{_KINDS}){_NUMBER})(?![A-Za-z0-9_])"
)
_NUMBERED = re.compile(r"_[RPrp]?[0-9]")
_LIKE_ONE = re.compile(rf"(?i)(?:{_KINDS}){_NUMBER}")
_MAY_GO_ON = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_\\[%"
_LONGEST = 64


def replaced(text: str, value_of: Callable[[str], str | None]) -> str:
    """Put values in place of placeholders; `value_of` returns none for one that stands for nothing, which stays."""
    if not _NUMBERED.search(text):
        return text

    def value(found: re.Match[str]) -> str:
        known = value_of(_named(found["bracketed"] or found["bare"]))
        return found[0] if known is None else known

    return _WRITTEN.sub(value, text)


def is_concealed(text: str, revealed: str) -> bool:
    """Whether `text` may be `revealed` with placeholders in place of values."""
    first, *parts = _WRITTEN.split(text)[:: _WRITTEN.groups + 1]
    if not parts or not revealed.startswith(first):
        return text == revealed
    at = len(first)
    for part in parts[:-1]:
        at = revealed.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return revealed[at:].endswith(parts[-1])


def mentioned(text: str) -> Iterator[str]:
    """Yield what a text has that is or might be read as a placeholder, such as `EMAIL_1`."""
    if _NUMBERED.search(text):
        yield from map(_named, _LIKE_ONE.findall(text))


def complete(text: str) -> int:
    """How much of the beginning of a text has no placeholder that may go on behind it."""
    return max(len(text.rstrip(_MAY_GO_ON)), len(text) - _LONGEST)


def _named(written: str) -> str:
    return written.replace("\\", "").upper()
