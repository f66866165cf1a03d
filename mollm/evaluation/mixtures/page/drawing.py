"""What all charts have: a picture with its name and description, ticks, and texts that keep to their width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.page.labels import width_of
from mollm.evaluation.mixtures.page.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mollm.evaluation.mixtures.page.axes import Axis
    from mollm.evaluation.mixtures.page.markup import Child

WIDE, NARROW = 720, 340
"""Pixels that a chart is drawn in on a desk and on a telephone."""
SHAPES = ((WIDE, "wide twice"), (NARROW, "narrow"))
"""Both, each with the class of its picture."""


def picture(name: str, described: str, size: tuple[float, float], *inside: Child, shape: str, id_: str) -> Markup:
    """An `<svg>`, of which `described` says in words what is to be seen."""
    return tag(
        "svg",
        tag("title", name, id=f"{id_}-title"),
        tag("desc", described, id=f"{id_}-desc"),
        *inside,
        viewBox=f"0 0 {size[0]:.0f} {size[1]:.0f}",
        class_=shape,
        role="img",
        aria_labelledby=f"{id_}-title",
        aria_describedby=f"{id_}-desc",
        id=id_,
    )


def figure(caption: Child, *drawings: Markup) -> Markup:
    """Pictures with what is to be known of them."""
    return tag("figure", *drawings, tag("figcaption", caption))


def twice(draw: Callable[[float, str], Markup]) -> list[Markup]:
    """The same for a broad and for a narrow page, of which the style shows one."""
    return [draw(width, shape) for width, shape in SHAPES]


def line(x: float, y: float, to_x: float, to_y: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x, y1=y, x2=to_x, y2=to_y, class_=class_)


def words(text: str, x: float, y: float, class_: str, anchor: str = "start") -> Markup:
    """A line of text. One in a script whose width is not known here is squeezed into what is kept for it."""
    width = None if text.isascii() else width_of(text) - 2
    squeezed = "spacingAndGlyphs" if width and not text.translate(_KNOWN).isascii() else None
    return tag(
        "text",
        text,
        x=x,
        y=y,
        class_=class_,
        text_anchor=None if anchor == "start" else anchor,
        textLength=width if squeezed else None,
        lengthAdjust=squeezed,
    )


_KNOWN = {ord(letter): "x" for letter in "\u2026\u2013\u2212\u00a0"}


def across(axis: Axis, ticks: Iterable[tuple[float, str]], top: float, bottom: float) -> Iterator[Markup]:
    """Lines that stand on an axis below, with their values."""
    for value, text in ticks:
        x = axis.at(value)
        yield line(x, top, x, bottom, "grid")
        yield words(text, x, bottom + 19, "tick", "middle")


def upright(axis: Axis, ticks: Iterable[tuple[float, str]], left: float, right: float) -> Iterator[Markup]:
    """Lines that lie across, with their values to the left."""
    for value, text in ticks:
        y = axis.at(value)
        yield line(left, y, right, y, "grid")
        yield words(text, left - 6, y + 4, "tick", "end")
