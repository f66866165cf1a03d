"""How often each of many texts has each n-gram, and what weight that gives it. Imports scipy, and only while it counts.

Single precision where it is many numbers: fifteen thousand questions of 150 intents are fitted in 600 MB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.routing.features import NGRAMS, Floats, Hashes, idf, normalize, single_words, word_ngrams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mollm.routing.calibration import Ints


@dataclass(frozen=True, slots=True)
class Weighed:
    """Texts as numbers, as some of them alone would have it."""

    features: Any
    """TF-IDF, CSR, shape (texts, n-grams), each block at length 1."""
    idf: Floats
    """Of each n-gram."""
    known: Floats
    """How much of each text those some have as well, as `models.Known` has it: by weight and by count, shape
    (texts, 2), each 0 to 1."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each text has each n-gram."""

    matrix: Any
    """CSR, shape (texts, n-grams); the blocks' columns follow each other."""
    vocabularies: tuple[Hashes, ...]
    """The n-grams of each block, ascending."""
    is_word: NDArray[np.bool_]
    """Which of all n-grams are single words."""

    def weigh(self, seen: NDArray[np.bool_]) -> Weighed:
        """Weigh the n-grams of all texts by how many of the `seen` ones have each."""
        matrix, blocks = self.matrix, len(self.vocabularies)
        row = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
        frequency = np.bincount(matrix.indices[seen[row]], minlength=matrix.shape[1])
        idfs = idf(int(seen.sum()), frequency)
        weights = (np.log(matrix.data) + 1.0) * idfs[matrix.indices]
        cell = row * blocks + np.repeat(np.arange(blocks, dtype=np.int32), self._widths)[matrix.indices]
        square = np.bincount(cell, weights=weights**2, minlength=matrix.shape[0] * blocks)
        is_known = frequency[matrix.indices] > 0
        known = np.bincount(cell[is_known], weights=weights[is_known] ** 2, minlength=len(square))
        features = type(matrix)((weights / np.sqrt(square)[cell], matrix.indices, matrix.indptr), matrix.shape)
        shares = known[::blocks] / np.maximum(square[::blocks], 1e-300)
        is_word = self.is_word[matrix.indices]
        words, familiar = (np.bincount(row[part], minlength=matrix.shape[0]) for part in (is_word, is_word & is_known))
        return Weighed(features.astype(np.float32), idfs, np.stack([shares, familiar / np.maximum(words, 1)], axis=1))

    def weigh_words(self) -> Any:
        """TF-IDF of the words and their pairs alone, CSR, shape (texts, words)."""
        everything = np.ones(self.matrix.shape[0], dtype=np.bool_)
        words = Counts(self.matrix[:, : self._widths[0]], self.vocabularies[:1], self.is_word[: self._widths[0]])
        return words.weigh(everything).features

    def rows(self, chosen: Ints) -> Counts:
        """Those of some of the texts; n-grams that none of them has keep their columns."""
        return Counts(self.matrix[chosen], self.vocabularies, self.is_word)

    def by_block(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Take apart what has a row for each n-gram."""
        return np.split(values, np.cumsum(self._widths)[:-1])

    @property
    def _widths(self) -> list[int]:
        return [len(vocabulary) for vocabulary in self.vocabularies]


def count(texts: Sequence[str], kinds: Sequence[Callable[[str], Hashes]] = NGRAMS) -> Counts:
    """Count the n-grams of some texts, those of words first."""
    from scipy.sparse import csr_matrix, hstack

    normalized = [normalize(text) for text in texts]
    parts, vocabularies, is_word = [], [], []
    for ngrams in kinds:
        found = [ngrams(text) for text in normalized]
        ends = np.cumsum([0, *map(len, found)], dtype=np.int32)
        vocabulary, column = np.unique(np.concatenate(found), return_inverse=True)
        once = np.ones(len(column), dtype=np.float32), column.astype(np.int32), ends
        part = csr_matrix(once, shape=(len(texts), len(vocabulary)))
        part.sum_duplicates()
        parts.append(part)
        vocabularies.append(vocabulary)
        words = single_words if ngrams is word_ngrams else _none
        is_word.append(np.isin(vocabulary, np.concatenate([words(each) for each in found])))
    return Counts(hstack(parts, format="csr"), tuple(vocabularies), np.concatenate(is_word))


def _none(ngrams: Hashes) -> Hashes:
    return ngrams[:0]
