"""Figures as words. What there is none of, or what is no number, is a dash."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.page.markup import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

NONE = "\u2013"
_SPACE, _MINUS = "\u00a0", "\u2212"
_MOST, _LEAST = 1e15, 1e-12


def finite(value: float | None) -> float | None:
    """A number that can be drawn; None for all others. What is as good as nothing is 0."""
    if value is None or not math.isfinite(value) or abs(value) > _MOST:
        return None
    return 0.0 if abs(value) < _LEAST else float(value)


def share(value: float | None) -> float | None:
    """A share, or the difference of two; None for what is none."""
    known = finite(value)
    return known if known is not None and -1 <= known <= 1 else None


def span(interval: Sequence[float] | None) -> tuple[float, float] | None:
    """An interval that can be drawn, the lower end first."""
    ends = [finite(end) for end in interval or ()]
    known = sorted(end for end in ends if end is not None)
    return (known[0], known[-1]) if len(known) == len(ends) == 2 else None


def percent(value: float | None, decimals: int = 1) -> str:
    """0.873 as 87.3 %."""
    known = finite(value)
    return NONE if known is None else f"{_signed(100 * known, decimals)}{_SPACE}%"


def percents(interval: Sequence[float] | None) -> str:
    """Both ends of an interval."""
    known = span(interval)
    return NONE if known is None else f"{_signed(100 * known[0], 1)} to {percent(known[1])}"


def points(value: float | None, decimals: int = 1) -> str:
    """A difference of two shares in percentage points, with its sign."""
    known = finite(value)
    if known is None:
        return NONE
    return ("+" if round(100 * known, decimals) > 0 else "") + _signed(100 * known, decimals)


def number(value: float | None) -> str:
    """12,345 and 2.1 and 0.04."""
    known = finite(value)
    if known is None:
        return NONE
    if abs(known) >= 100 or known == int(known):
        return _signed(known, 0)
    return _signed(known, 1 if abs(known) >= 1 else 2)


def usd(value: float | None) -> str:
    """A price with three digits that say something."""
    known = finite(value)
    if known is None:
        return NONE
    if known == 0:
        return "$0"
    decimals = 2 - math.floor(math.log10(abs(known)))
    if decimals <= 1:
        return f"${known:,.0f}" if decimals <= 0 else f"${known:,.1f}"
    return f"${round(known, decimals):,.{decimals}f}".rstrip("0").rstrip(".")


def short(text: str, most: int) -> str:
    """A text of one line with `most` characters at most; an ellipsis stands for what is cut."""
    line = " ".join(clean(text[: 4 * most]).split())
    return line if len(line) <= most and len(text) <= 4 * most else f"{line[: most - 1].rstrip()}\u2026"


def squeezed(text: str, most: int) -> str:
    """As `short`, but cut in the middle: names of LLMs differ at their ends."""
    line = short(text, 200)
    half = most // 2
    return line if len(line) <= most else f"{line[: most - half - 1].rstrip()}\u2026{line[-half:].lstrip()}"


def _signed(value: float, decimals: int) -> str:
    text = f"{abs(value):,.{decimals}f}"
    return f"{_MINUS}{text}" if value < 0 and float(text.replace(",", "")) else text
