"""Which examples are held out together: a fold for each of them, paraphrases in the same one.

Examples are often written in rows, one after the other's model, as questions on their way are not. Held out one by one
they are more familiar than any question will be: on CLINC150 (validation split) a threshold that should have called
5 % of the questions into doubt called 8 % with 150 intents. Held out together, 5.5 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mollm.routing.calibration import Ints

FOLDS: Final = 5
MOST: Final = 20
"""Examples that are held out together: in long rows the first and the last have nothing in common any more."""
COMPARED: Final = 2_000
"""Examples of a label that are compared with each other, those that stand together: paraphrases mostly do."""
ALIKE: Final = 0.5
"""Cosine of the words, and pairs of words, of two examples from which on one is a paraphrase of the other."""


def folds(words: Any, labels: Ints) -> Ints:
    """A fold for each example, every label spread evenly; -1, always seen, where a label has only one.

    Args:
        words: The weights of the words of each example, CSR, each row at length 1, shape (n, words).
        labels: 0 to K-1, shape (n,).
    """
    generator = np.random.default_rng(0)
    fold = np.full(len(labels), -1)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            continue
        groups = _paraphrases(words[members])
        filled, turns = np.zeros(FOLDS, dtype=np.int64), generator.permutation(FOLDS)
        for place in sorted(generator.permutation(len(groups)), key=lambda place: -len(groups[place])):
            emptiest = turns[filled[turns].argmin()]
            fold[members[groups[place]]] = emptiest
            filled[emptiest] += len(groups[place])
    return fold


def spread(labels: Ints) -> Ints:
    """As `folds`, where paraphrases may be in different ones."""
    generator = np.random.default_rng(0)
    fold = np.full(len(labels), -1)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        if len(members) > 1:
            fold[members] = np.arange(len(members)) % FOLDS
    return fold


def _paraphrases(words: Any) -> list[NDArray[np.intp]]:
    """The examples of one label, those that lead from one to the other together; none larger than a fold or `MOST`."""
    from scipy.sparse.csgraph import connected_components

    count = words.shape[0]
    most, found = min(MOST, max(1, count // FOLDS)), []
    for begin in range(0, count, COMPARED):
        part = words[begin : begin + COMPARED]
        alike = part @ part.T
        alike.data = (alike.data >= ALIKE).astype(alike.data.dtype)
        alike.eliminate_zeros()
        number = connected_components(alike, directed=False)[1]
        order = np.argsort(number, kind="stable")
        groups = np.split(begin + order, np.flatnonzero(np.diff(number[order])) + 1)
        found += [group[start : start + most] for group in groups for start in range(0, len(group), most)]
    return found
