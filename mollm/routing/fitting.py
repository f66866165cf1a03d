"""Examples as weights: one linear separator per mixture, calibrated on examples it did not see.

The only module of the routing part that imports scikit-learn, and only while it fits.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.errors import ConfigError, missing
from mollm.routing.features import NGRAMS, NOWHERE, Block, Floats, Hashes, idf, normalize
from mollm.routing.models import NgramModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mollm.routing.calibration import Ints
    from mollm.routing.models import Model

FOLDS = 5
PENALTY = 1.0
"""`C` of the linear SVM; 0.3 to 3 differ by less than half a point on CLINC150's validation split."""
COUNTED = 0.05
"""Weight of complement naive Bayes beside the SVM: what rare words say, which a margin leaves unused.
On the packaged examples (cross-validated) it lowers the log loss from 0.62 to 0.59; more costs rejection."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """A model, and what models like it say of the examples that they did not see."""

    model: Model
    """Fitted on all examples."""
    scores: Floats
    """Raw scores, shape (n, K), of each held-out example."""
    familiarity: Floats
    """As `Model.measure` gives it, shape (n,)."""
    held_out: NDArray[np.bool_]
    """Which of the examples have these, shape (n,): where a label has only one, it is always fitted on."""


@dataclass(frozen=True, slots=True)
class _Counts:
    """How often each text has each n-gram: a sparse matrix, taken apart."""

    matrix: Any
    """CSR, shape (texts, n-grams); the blocks' columns follow each other."""
    vocabularies: tuple[Hashes, ...]
    """The n-grams of each block, ascending."""
    row: Ints
    """Row of each stored count."""
    block: Ints
    """Block of each stored count."""

    def weighted(self, seen: NDArray[np.bool_]) -> Any:
        """The TF-IDF matrix of all texts as the `seen` rows alone would have it, each block at length 1."""
        matrix = self.matrix.copy()
        weights = (np.log(matrix.data) + 1.0) * self.idf(seen)[matrix.indices]
        cell = self.row * len(self.vocabularies) + self.block
        length = np.sqrt(np.bincount(cell, weights=weights**2))
        matrix.data = weights / length[cell]
        return matrix

    def idf(self, seen: NDArray[np.bool_]) -> Floats:
        columns = self.matrix.indices[seen[self.row]]
        return idf(int(seen.sum()), np.bincount(columns, minlength=self.matrix.shape[1]))


def fit(texts: Sequence[str], labels: Ints) -> Crossed:
    """Fit separators over n-grams, and cross-validate them.

    Args:
        texts: The examples, none of them blank.
        labels: Which mixture each belongs to, 0 to K-1, K at least 2, none of them unused.

    Raises:
        ConfigError: Scikit-learn is not installed.
    """
    _check_installed()
    counts = _count(texts)
    everything = np.ones(len(texts), dtype=np.bool_)
    coefficients, intercept = _separate(counts.weighted(everything), labels)
    model = NgramModel(_blocks(counts, counts.idf(everything), coefficients), intercept)
    scores, held_out = _cross_validate(counts, labels)
    return Crossed(model, scores, np.zeros(len(texts)), held_out)


def _check_installed() -> None:
    if find_spec("sklearn") is None:
        error = missing("learned", "a learned router is fitted with scikit-learn, which is not installed")
        raise ConfigError(f"{error}, or name the folder of a fitted router as `router.path`")


def _blocks(counts: _Counts, idfs: Floats, coefficients: Floats) -> tuple[Block, ...]:
    """Give each block its part, with a last row for the n-grams that no text has."""
    unseen = idf(len(counts.matrix.indptr) - 1, np.zeros(1, dtype=np.int64))
    ends = np.cumsum([len(vocabulary) for vocabulary in counts.vocabularies])[:-1]
    parts = zip(counts.vocabularies, np.split(idfs, ends), np.split(coefficients, ends), strict=True)
    return tuple(
        Block(
            hashes=np.append(vocabulary, NOWHERE),
            idf=np.concatenate([idf, unseen]),
            weights=np.vstack([weights, np.zeros((1, weights.shape[1]))]).astype(np.float16),
        )
        for vocabulary, idf, weights in parts
    )


def _count(texts: Sequence[str]) -> _Counts:
    from scipy.sparse import csr_matrix

    normalized = [normalize(text) for text in texts]
    rows, columns, times = [], [], []
    vocabularies: list[Hashes] = []
    for ngrams in NGRAMS:
        found = [np.unique(ngrams(text), return_counts=True) for text in normalized]
        vocabulary, column = np.unique(np.concatenate([hashes for hashes, _ in found]), return_inverse=True)
        rows.append(np.repeat(np.arange(len(texts)), [len(hashes) for hashes, _ in found]))
        columns.append(column + sum(map(len, vocabularies)))
        times.append(np.concatenate([counted for _, counted in found]))
        vocabularies.append(vocabulary)
    widths = [len(vocabulary) for vocabulary in vocabularies]
    cells = np.concatenate(rows), np.concatenate(columns)
    matrix = csr_matrix((np.concatenate(times).astype(np.float64), cells), shape=(len(texts), sum(widths)))
    return _Counts(
        matrix=matrix,
        vocabularies=tuple(vocabularies),
        row=np.repeat(np.arange(len(texts)), np.diff(matrix.indptr)),
        block=np.repeat(np.arange(len(NGRAMS)), widths)[matrix.indices],
    )


def _separate(features: Any, labels: Ints) -> tuple[Floats, Floats]:
    """One separator per label, against all the others: weights (d, K) and intercept (K,)."""
    from sklearn.naive_bayes import ComplementNB
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=PENALTY, class_weight="balanced", max_iter=20_000, tol=1e-3, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")  # many mixtures, few examples: still labels
        machine.fit(features, labels)
    weights, intercept = machine.coef_.T, machine.intercept_
    if len(intercept) == 1:  # two labels share one separator
        weights, intercept = np.hstack([-weights, weights]), np.concatenate([-intercept, intercept])
    evidence = ComplementNB(alpha=0.1).fit(features, labels).feature_log_prob_.T
    evidence = evidence - evidence.mean(axis=1, keepdims=True)
    return weights + COUNTED * evidence, intercept


def _cross_validate(counts: _Counts, labels: Ints) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores (n, K) of each example by separators that did not see it, and which examples have them."""
    fold = _folds(labels)
    scores = np.zeros((len(labels), int(labels.max()) + 1))
    for number in range(FOLDS):
        held_out = fold == number
        if held_out.any():
            features = counts.weighted(~held_out)
            weights, intercept = _separate(features[~held_out], labels[~held_out])
            scores[held_out] = features[held_out] @ weights + intercept
    return scores, fold >= 0


def _folds(labels: Ints) -> Ints:
    """A fold for each example, every label spread evenly; -1, always seen, where a label has only one."""
    generator = np.random.default_rng(0)
    fold = np.full(len(labels), -1)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        if len(members) > 1:
            fold[members] = np.arange(len(members)) % FOLDS
    return fold
