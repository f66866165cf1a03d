"""Addresses of mail and of machines."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOMAIN = re.compile(r"@(?:[\w-]{1,63}\.){1,8}(?:xn--[A-Za-z0-9-]{1,59}|[^\W\d_]{2,24})")
_LOCAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-%'")
_LONGEST_LOCAL = 254
_LIKE_V4, _LIKE_V6 = re.compile(r"\.\d{1,3}\.\d{1,3}\.\d"), re.compile(r":[0-9A-Fa-f]{0,4}:")
"""Begin with a letter that is rare, so that a text without any is left quickly."""
_V4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\w)")
_V6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]{0,40}\d)[0-9A-Fa-f]{2,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")


def emails(text: str) -> Iterator[tuple[int, int]]:
    """Yield where addresses of mail stand."""
    over = 0  # where the one before ended, so that no character is looked at twice
    for found in _DOMAIN.finditer(text):
        at, start = found.start(), found.start()
        least = max(over, at - _LONGEST_LOCAL)
        while start > least and ((letter := text[start - 1]) in _LOCAL or (letter > "\x7f" and letter.isalnum())):
            start -= 1
        while start < at and text[start] in ".'-%+":
            start += 1
        over = found.end()
        if start < at:
            yield start, over


def machines(text: str) -> Iterator[tuple[int, int]]:
    """Yield where IP addresses stand, except those that every machine has for itself."""
    for pattern, like in ((_V4, _LIKE_V4), (_V6, _LIKE_V6)):
        for found in pattern.finditer(text) if like.search(text) else ():
            try:
                address = ip_address(found[0])
            except ValueError:
                continue
            if not (address.is_loopback or address.is_unspecified):
                yield found.span()
