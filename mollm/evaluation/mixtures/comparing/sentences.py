"""What a comparison comes to, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mollm.evaluation.counting import count

if TYPE_CHECKING:
    from mollm.evaluation.mixtures.report import Gain, VerdictKind

SAME = 0.05
"""Ratios that are no further from 1 are called the same."""
_PARTS = ((1 / 4, "a quarter of"), (1 / 3, "a third of"), (1 / 2, "half"), (2 / 3, "two thirds of"))


def times(ratio: float | None, of: Literal["cost", "tokens", "calls"]) -> str:
    """Write what something takes beside another: `3.1 times the cost`, `a third of the tokens`; empty if not known."""
    if ratio is None:
        return ""
    if abs(ratio - 1) <= SAME:
        return f"the same {of}" if of == "cost" else f"as many {of}"
    if ratio > 1:
        return f"{_digits(ratio)} times the {of}"
    part = next((words for share, words in _PARTS if abs(ratio - share) <= 0.02), f"{_digits(ratio)} of")
    return f"{part} the {of}"


def compared(gain: Gain) -> str:
    """Write `4 gains, 9 losses, 3.1 times the cost`."""
    counted = f"{count(gain.gains, 'gain')}, {count(gain.losses, 'loss', 'losses')}"
    return ", ".join(filter(None, (counted, times(gain.cost_ratio, gain.ratio_of))))


def p_in_words(p: float) -> str:
    """Write `p = 0.012`, or `p < 0.001`: further digits say nothing that a bootstrap or a sign test could know."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def sentence(kind: VerdictKind, gain: Gain, *, is_as_good: bool, enough: int | None) -> str:
    """Say it in one sentence.

    Args:
        kind: What is told.
        gain: The comparison with the best member.
        is_as_good: It is not worse either, by as little as a gain would have to be.
        enough: How many questions would be enough to tell, if these are too few.
    """
    these = "this question" if gain.questions == 1 else f"these {gain.questions:,} questions"
    if kind == "cannot be told":
        more = f"; about {enough:,} questions would be enough" if enough else ""
        return f"whether it is better than {gain.whom} cannot be told from {these}: {compared(gain)}{more}"
    is_cheaper = gain.cost_ratio is not None and gain.cost_ratio < 1 - SAME
    if kind == "not better" and is_cheaper:
        said = f"as good as {gain.whom}" if is_as_good else f"not better than {gain.whom}"
        counted = f"{count(gain.gains, 'gain')}, {count(gain.losses, 'loss', 'losses')}"
        cheaper = f"{'at' if is_as_good else 'but at'} {times(gain.cost_ratio, gain.ratio_of)}"
        return f"{said} on {these}, {cheaper}: {counted}"
    return f"{kind} than {gain.whom} on {these}: {compared(gain)}"


def _digits(ratio: float) -> str:
    """Two digits that say something, and no exponent."""
    if ratio >= 10:
        return f"{ratio:,.0f}"
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2g}" if ratio >= 0.0001 else "less than 0.0001"
