"""The smaller charts: differences with their intervals, and bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.page import axes, labels
from mollm.evaluation.mixtures.page.drawing import NARROW, across, line, picture, words
from mollm.evaluation.mixtures.page.markup import Markup, tag
from mollm.evaluation.mixtures.page.words import points, share, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.mixtures.report import Gain

_ROW = 50


def forest(gains: Sequence[tuple[str, Gain]], width: float, shape: str, id_: str) -> Markup:
    """Differences of mixtures to what they are held against, with their intervals and the line of no difference.

    Args:
        gains: What is held against what, and the difference, each of which `is_drawn`; at least one.
        width: In pixels.
        shape: Class of the picture.
        id_: Of the picture.
    """
    ends = [end for _, gain in gains for end in (gain.difference, *gain.interval)]
    axis = axes.linear([0.0, *ends], 14, width - 14)
    zero, bottom = axis.at(0.0), 30.0 + _ROW * len(gains)
    shown = axis.ticks(5 if width == NARROW else 9)
    is_whole = all(abs(100 * tick - round(100 * tick)) < 1e-6 for tick in shown)
    ticks = [(tick, points(tick, 0 if is_whole else 1)) for tick in shown]
    rows = [_difference(name, gain, axis, 30.0 + _ROW * n, width) for n, (name, gain) in enumerate(gains)]
    said = "; ".join(f"{short(name, 120)}: {_interval(gain)}" for name, gain in gains[:40])
    return picture(
        "How much better each mixture is",
        f"In percentage points, with 95 % intervals. {said}.",
        (width, bottom + 44),
        words("worse", 4, 14, "tick"),
        words("better", width - 4, 14, "tick", "end"),
        across(axis, ticks, 24, bottom),
        line(zero, 20, zero, bottom, "zero"),
        rows,
        words("difference in percentage points", width / 2, bottom + 38, "tick", "middle"),
        shape=shape,
        id_=id_,
    )


def is_drawn(gain: Gain | None) -> bool:
    """There is something of it to draw."""
    return gain is not None and all(share(value) is not None for value in (gain.difference, *gain.interval))


def _difference(name: str, gain: Gain, axis: axes.Axis, top: float, width: float) -> Markup:
    low, high = sorted(gain.interval)
    x, y = axis.at(gain.difference), top + 34
    figures = points(gain.difference) if width == NARROW else _interval(gain)
    room = width - 16 - labels.width_of(figures)
    return tag(
        "g",
        tag("title", f"{short(name, 200)} {_interval(gain)}"),
        tag("rect", x=0, y=top + 3, width=width, height=18, class_="paper"),  # no line runs through a name
        words(labels.fitted(name, room / labels.BOLD, 60), 4, top + 16, "main name"),
        words(figures, width - 4, top + 16, "name", "end"),
        line(axis.at(low), y, axis.at(high), y, "main span"),
        *(line(axis.at(end), y - 5, axis.at(end), y + 5, "main span") for end in (low, high)),
        tag("rect", x=x - 5, y=y - 5, width=10, height=10, class_="main dot"),
    )


def _interval(gain: Gain) -> str:
    low, high = sorted(gain.interval)
    return f"{points(gain.difference)} ({points(low)} to {points(high)})"


def bars(rows: Sequence[tuple[str, float, str]], name: str, heads: tuple[str, str], id_: str) -> Markup:
    """Lying bars.

    Args:
        rows: Name of a bar, its length from 0 to 1, and what is written behind it.
        name: Of the picture.
        heads: What stands above the names and above the bars.
        id_: Of the picture.
    """
    left = 8 + max(labels.width_of(text) for text in (heads[0], *(row[0] for row in rows)))
    behind = 8 + max(labels.width_of(row[2]) for row in rows)
    width = max(60.0, NARROW - left - behind)
    drawn = []
    for n, (label, length, text) in enumerate(rows):
        top = 24 + 26 * n
        drawn += [
            words(label, left - 8, top + 15, "name", "end"),
            tag("rect", x=left, y=top + 2, width=width, height=18, class_="track"),
            tag("rect", x=left, y=top + 2, width=width * length, height=18, class_="bar"),
            words(text, left + width + 6, top + 15, "name"),
        ]
    said = "; ".join(f"{label}: {text}" for label, _, text in rows)
    return picture(
        name,
        f"{said}.",
        (left + width + behind, 28 + 26 * len(rows)),
        words(heads[0], left - 8, 14, "tick", "end"),
        words(heads[1], left, 14, "tick"),
        drawn,
        shape="small",
        id_=id_,
    )
