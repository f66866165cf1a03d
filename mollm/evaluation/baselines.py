"""What a router must be better than: the commonest mixture, that of questions as long, and naive Bayes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mollm.routing.folding import FOLDS, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mollm.evaluation.questions import Questions

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


def naive_bayes(texts: Sequence[str], labels: Sequence[str]) -> Callable[[str], str]:
    """Pick by multinomial naive Bayes, as `mollm train router --method naive-bayes` fits it.

    Raises:
        ConfigError: Scikit-learn is not installed.
    """
    from mollm.routing.learned import LearnedScorer

    otherwise = majority(texts, labels)
    if len(set(labels)) < 2:
        return otherwise
    examples: dict[str, list[str]] = {label: [] for label in labels}
    for text, label in zip(texts, labels, strict=True):
        examples[label].append(text)
    scorer = LearnedScorer.fit(examples, fallback=otherwise(""), method="naive-bayes")
    return lambda text: scorer.scores(text).pick or otherwise(text)


UNLEARNED: Mapping[str, Fit] = {"majority": majority, "prompt length": length}
"""Those that need no library, by the name under which they are reported."""
BASELINES: Mapping[str, Fit] = {**UNLEARNED, "naive Bayes": naive_bayes}
"""All of them."""


def accuracy(fit: Fit, asked: Questions, train: tuple[Sequence[str], Sequence[str]] | None = None) -> float:
    """Share of questions, 0 to 1, that a baseline gives to a mixture that they belong to.

    Args:
        fit: The baseline.
        asked: The questions.
        train: Others, and the mixture of each, that it is fitted on; None: cross-validation on these questions, every
            mixture spread evenly over the folds. The only question of a mixture then counts as wrong.
    """
    if train is not None:
        pick = fit(*train)
        return sum(pick(text) in names for text, names in zip(asked.texts, asked.wanted, strict=True)) / len(
            asked.texts
        )

    first = np.unique([names[0] for names in asked.wanted], return_inverse=True)[1]
    fold = spread(first)
    right = 0
    for number in range(FOLDS):
        seen, held_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(held_out):
            pairs = [(asked.texts[row], name) for row in seen for name in asked.wanted[row]]
            pick = fit([text for text, _ in pairs], [name for _, name in pairs])
            right += sum(pick(asked.texts[row]) in asked.wanted[row] for row in held_out)
    return right / len(asked.texts)
