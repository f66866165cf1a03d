"""How far a judge can be trusted: whether it prefers what is right, contradicts itself, or follows length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist, StatisticsError, correlation
from typing import TYPE_CHECKING

from mollm.evaluation.arms import interval_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIN, LOSS = 1.0, 0.0
LEAST = 4
"""Pairs for which a correlation has an interval."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An answer that was judged beside another one."""

    score: float
    """1: it won, 0: it lost, 0.5: neither."""
    orders_differ: bool
    """The judge said one thing in one order, and another in the other."""
    lengths: tuple[int, int]
    """Characters of the other one, and of this one."""
    are_right: tuple[bool, bool] | None
    """Whether the final answers are right, of the other one and of this one; None if the reference is none."""


def trust_of(pairs: Sequence[Pair]) -> Iterator[str]:
    """Say what a reader has to know of a judge, in sentences."""
    if not pairs:
        yield "the judge compared no two different answers"
        return
    differing = sum(pair.orders_differ for pair in pairs)
    yield (
        f"the judge's two orders disagree on {differing} of {len(pairs)} pairs ({_percent(differing / len(pairs))}), "
        "which count as ties"
    )
    yield _agreement([pair for pair in pairs if pair.are_right and pair.are_right[0] != pair.are_right[1]])
    yield _length(pairs)


def _agreement(told_apart: Sequence[Pair]) -> str:
    """How often the answer that is right wins, where one is right and the other wrong."""
    if not told_apart:
        return (
            "how often the judge prefers what is right cannot be told: no pair has one answer that is right by its "
            "reference and one that is wrong"
        )
    agreed = [pair.score == (WIN if pair.are_right == (False, True) else LOSS) for pair in told_apart]
    found = interval_of([1.0 if ok else -1.0 for ok in agreed])  # Wilson's, on a scale from -1 to 1
    low, high = (_percent((bound + 1) / 2) for bound in (found.low, found.high))
    wrong = sum(pair.score == (LOSS if pair.are_right == (False, True) else WIN) for pair in told_apart)
    return (
        f"of {len(told_apart)} pairs of a right and a wrong answer the judge prefers the right one in {sum(agreed)} "
        f"({_percent(sum(agreed) / len(agreed))}, 95 % interval {low} to {high}), the wrong one in {wrong}, "
        f"and neither in {len(agreed) - sum(agreed) - wrong}"
    )


def _length(pairs: Sequence[Pair]) -> str:
    """How far winning goes with length: Pearson's r of the score and the logarithm of the ratio of the lengths."""
    what = "the correlation of winning with being longer"
    ratios = [math.log((1 + this) / (1 + other)) for other, this in (pair.lengths for pair in pairs)]
    try:
        r = correlation(ratios, [pair.score for pair in pairs])
    except StatisticsError:  # fewer than two, or all the same
        return f"{what} cannot be told from {len(pairs)} pairs"
    if len(pairs) < LEAST or abs(r) >= 1.0:
        return f"{what} is {r:+.2f} ({len(pairs)} pairs)"
    half = NormalDist().inv_cdf(0.975) / math.sqrt(len(pairs) - LEAST + 1)
    low, high = (math.tanh(math.atanh(r) + sign * half) for sign in (-1, 1))
    return f"{what} is {r:+.2f} (95 % interval {low:+.2f} to {high:+.2f}, {len(pairs)} pairs)"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
