"""Text from elsewhere, without what could steer a terminal or show it in another order than it stands there."""

from __future__ import annotations

import re

_STEERS = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but for tab and newline
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of what follows
    r"\u206a-\u206f\ufff9-\ufffb\U000e0000-\U000e007f"  # deprecated, annotations, tags: read by programs alone
    r"\ud800-\udfff"  # halves of pairs, which two pieces of a stream could put together
)
STEERING = re.compile(rf"[{_STEERS}\u2028\u2029]")
"""One character that could. Joiners and variation selectors are none: emoji and many scripts are made with them."""
_DROPPED, _BREAKS = re.compile(f"[{_STEERS}]+"), re.compile("[\u2028\u2029]")


def abridged(text: str, most: int = 500) -> str:
    """The beginning of a text that is longer than `most` characters, else all of it; as `printable`."""
    return printable(text) if len(text) <= most else f"{printable(text[:most])} ..."


def printable(text: str) -> str:
    """Drop what could steer a terminal; separators of lines and paragraphs become spaces, and forge no line."""
    if text.isascii() and text.isprintable():
        return text
    return _BREAKS.sub(" ", _DROPPED.sub("", text))
