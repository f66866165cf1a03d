"""The best member, chosen on other questions than those it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.metrics import Bools, Floats, Ints


def halves(kinds: Sequence[str | None], seed: int = 0) -> Bools:
    """Whether each question is in the second of two halves, drawn so that each kind is halved; shape (n,)."""
    generator = np.random.default_rng(seed)
    found, is_second = np.zeros(len(kinds), dtype=bool), False
    labels = np.array(["" if kind is None else f"={kind}" for kind in kinds])
    for kind in dict.fromkeys(labels.tolist()):
        for number in generator.permutation(np.flatnonzero(labels == kind)):
            found[number], is_second = is_second, not is_second
    return found


def best_elsewhere(scores: Floats, second: Bools) -> Ints:
    """For each question the member that is best on the half that it is not in; of equal ones the first listed.

    Args:
        scores: Of m members, one at least, shape (n, m).
        second: Whether each question is in the second half, shape (n,).
    """
    best = [int(scores[half].mean(axis=0).argmax()) if half.any() else 0 for half in (second, ~second)]
    return np.where(second, best[1], best[0])
