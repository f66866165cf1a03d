"""What a fact is."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["number", "step", "date", "name", "path", "code", "url"]
"""`step`: a number beside an operator, where something is worked out."""

GONE = "\x00"
"""Stands where something was read already, so that nothing else is read there."""


class Fact(NamedTuple):
    """Something that can be looked for in another text."""

    kind: Kind
    key: str
    """The same for all ways to write it."""
    text: str
    """As it is written."""
    also: tuple[str, ...] = ()
    """Keys of other things that the same characters may mean: `1.234` is 1234 in some languages."""
