"""How like each other texts are: the cosine of their word and character n-grams, with numpy only.

Not for questions on their way: it explains routes, and finds mixtures that cannot be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mollm.routing.explaining import Neighbor
from mollm.routing.features import NGRAMS, idf, normalize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mollm.routing.calibration import Ints
    from mollm.routing.features import Floats, Hashes


@dataclass(frozen=True, slots=True)
class _Block:
    """The n-grams of one kind in n texts, each text at length 1: a sparse matrix, taken apart."""

    vocabulary: Hashes
    """Ascending, shape (d,)."""
    idf: Floats
    row: Ints
    column: Ints
    value: Floats


class Texts:
    """Texts that others are compared with."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Take them apart: about 0.1 ms for each."""
        self._count = len(texts)
        normalized = [normalize(text) for text in texts]
        self._blocks = [
            _block([np.unique(ngrams(text), return_counts=True) for text in normalized]) for ngrams in NGRAMS
        ]

    def likeness(self, text: str) -> Floats:
        """The likeness of each text to another one, shape (n,), 0 to 1."""
        text, total = normalize(text), np.zeros(self._count)
        for ngrams, block in zip(NGRAMS, self._blocks, strict=True):
            found, times = np.unique(ngrams(text), return_counts=True)
            if not len(found) or not len(block.vocabulary):
                continue
            columns = np.minimum(np.searchsorted(block.vocabulary, found), len(block.vocabulary) - 1)
            known = block.vocabulary[columns] == found
            rarest = float(idf(self._count, np.zeros(1, dtype=np.int64))[0])
            weights = (np.log(times) + 1.0) * np.where(known, block.idf[columns], rarest)
            asked = np.zeros(len(block.vocabulary))
            asked[columns[known]] = weights[known] / np.sqrt(weights @ weights)
            total += np.bincount(block.row, weights=block.value * asked[block.column], minlength=self._count)
        return total / len(self._blocks)

    def to_groups(self, labels: Ints, groups: int) -> Floats:
        """The likeness of each text to the mean of the others of each group, shape (n, groups).

        Args:
            labels: The group of each text, 0 to `groups` - 1, shape (n,).
            groups: Their number.
        """
        total = np.zeros((self._count, groups))
        for block in self._blocks:
            cell = labels[block.row] * len(block.vocabulary) + block.column
            sums = np.bincount(cell, weights=block.value, minlength=groups * len(block.vocabulary))
            sums = sums.reshape(groups, -1)
            squares = (sums**2).sum(axis=1)
            dots = np.stack(
                [np.bincount(block.row, weights=block.value * s[block.column], minlength=self._count) for s in sums], 1
            )
            lengths = np.broadcast_to(squares, dots.shape).copy()
            own = np.arange(self._count), labels
            # A text is not compared with itself: |s - x|^2 = s.s - 2 s.x + 1, and (s - x).x = s.x - 1.
            lengths[own] = squares[labels] - 2.0 * dots[own] + 1.0
            dots[own] = dots[own] - 1.0
            total += dots / np.sqrt(np.maximum(lengths, 1e-12))
        return total / len(self._blocks)


class Examples:
    """The examples of mixtures, of which the nearest to a question are found."""

    def __init__(self, examples: Mapping[str, Sequence[str]]) -> None:
        """Take questions by mixture."""
        self._pairs = [(mixture, text) for mixture, texts in examples.items() for text in texts]
        self._texts = Texts([text for _, text in self._pairs])

    def nearest(self, text: str, count: int = 3) -> tuple[Neighbor, ...]:
        """The `count` examples that are most like a text, without those that are not at all, the likest first."""
        likeness = self._texts.likeness(text)
        order: NDArray[np.intp] = np.argsort(-likeness, kind="stable")[:count]
        return tuple(
            Neighbor(mixture, text, float(likeness[at]))
            for at in order
            for mixture, text in (self._pairs[at],)
            if likeness[at] > 0.0
        )


def _block(found: Sequence[tuple[Hashes, Ints]]) -> _Block:
    hashes = np.concatenate([each for each, _ in found]) if found else np.empty(0, dtype=np.uint64)
    vocabulary, column = np.unique(hashes, return_inverse=True)
    row = np.repeat(np.arange(len(found)), [len(each) for each, _ in found])
    weight = idf(len(found), np.bincount(column, minlength=len(vocabulary)))
    times = np.concatenate([counted for _, counted in found]) if found else np.empty(0)
    value = (np.log(times) + 1.0) * weight[column]
    length = np.sqrt(np.bincount(row, weights=value**2, minlength=len(found)))
    return _Block(vocabulary, weight, row, column, value / length[row])
