"""What a router must be better than: always the same mixture, and the mixture of questions that are as long."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Fit: TypeAlias = "Callable[[Sequence[str], Sequence[str]], Callable[[str], str]]"
"""From questions and their mixtures to what picks a mixture for a question."""


def majority(texts: Sequence[str], labels: Sequence[str]) -> Callable[[str], str]:  # noqa: ARG001 - as every baseline
    """Pick the mixture of most questions; of several the first by name."""
    counts = Counter(labels)
    most = min(counts, key=lambda label: (-counts[label], label))
    return lambda text: most  # noqa: ARG005 - as every baseline


def length(texts: Sequence[str], labels: Sequence[str]) -> Callable[[str], str]:
    """Pick the mixture whose questions are nearest in length, in characters, on average."""
    names = sorted(set(labels))
    lengths, of = np.array([len(text) for text in texts]), np.array(labels)
    means = np.array([lengths[of == name].mean() for name in names])
    return lambda text: names[int(np.abs(means - len(text)).argmin())]


BASELINES: Mapping[str, Fit] = {"majority": majority, "prompt length": length}
"""By the name under which it is reported."""


def accuracy(
    fit: Fit,
    texts: Sequence[str],
    labels: Sequence[str],
    fitted_on: tuple[Sequence[str], Sequence[str]] | None = None,
) -> float:
    """Share of questions, 0 to 1, that a baseline gives to the right mixture.

    Args:
        fit: The baseline.
        texts: The questions.
        labels: The mixture of each.
        fitted_on: Other questions and their mixtures; None: it is fitted on every second one of these questions and
            asked about the others, and the other way round.
    """
    if not texts:
        return float("nan")
    if fitted_on is not None:
        parts = [(fitted_on, (texts, labels))]
    elif len(texts) == 1:
        return float("nan")
    else:
        halves = [(texts[start::2], labels[start::2]) for start in (0, 1)]
        parts = [(halves[0], halves[1]), (halves[1], halves[0])]
    right = 0
    for seen, (asked, wanted) in parts:
        pick = fit(*seen)
        right += sum(pick(text) == label for text, label in zip(asked, wanted, strict=True))
    return right / len(texts)
