"""HTML and SVG of which every text from elsewhere is text: an element is made by `tag`, and whatever is no `Markup` is
escaped. What is made is HTML, and each `<svg>` in it also XML."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, TypeAlias, Union

from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

_VOID = ("br", "col", "hr", "meta")
_NO_CHARACTERS = re.compile(
    "[\ufdd0-\ufdef" + "".join(f"{chr(n << 16 | 0xFFFE)}{chr(n << 16 | 0xFFFF)}" for n in range(17)) + "]"
)
"""Which Unicode keeps for programs, and which neither HTML nor XML may hold."""


class Markup(str):
    """What `tag` made. Joined to anything else it is a plain text again, which is escaped."""

    __slots__ = ()


Child: TypeAlias = Union[str, "Iterable[Child]", None]


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """An element.

    Args:
        name: Of the element.
        children: `Markup` stays as it is, other texts are escaped, None is left out.
        attributes: `class_` is written `class`, and `aria_label` is written `aria-label`. One that is None is left out.
    """
    written = "".join(f' {_named(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None)
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{together(*children)}</{name}>")


def together(*children: Child) -> Markup:
    """Elements and texts, one after the other."""
    return Markup("".join(_inside(child) for child in children))


def clean(text: str) -> str:
    """A text without what could steer a terminal, turn its neighbors around, or break a page."""
    return _NO_CHARACTERS.sub("", printable(text))


def _inside(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return escape(clean(child))
    return together(*child)


def _named(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return escape(clean(value))
    return f"{value:.1f}".removesuffix(".0")
