"""Kinds of examples within one label: many subjects of one mixture lie apart, and one separator fits them badly.

Imports scikit-learn, and only while it looks for them.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mollm.routing.folding import FOLDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mollm.routing.calibration import Ints
    from mollm.routing.features import Floats

DIRECTIONS: Final = 60
"""Of n-grams, along which clusters are looked for; 150 find none that are better."""


def kinds_of(vectors: Floats, labels: Ints, *, size: int, most: int, tries: int = 1) -> Ints:
    """The kind of each example, 0 to S-1, those of one label side by side.

    Args:
        vectors: Of the examples, shape (n, d).
        labels: 0 to K-1, shape (n,), none of them unused.
        size: Examples that make a kind of their own.
        most: Kinds of one label.
        tries: Beginnings, of which the one with the closest clusters is taken.
    """
    from sklearn.cluster import KMeans

    kinds = np.zeros(len(labels), dtype=np.int64)
    number = 0
    for label in range(int(labels.max()) + 1):
        members = np.flatnonzero(labels == label)
        wanted = min(most, max(1, round(len(members) / size)))
        kinds[members] = number
        if wanted > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # fewer different vectors than clusters
                found = KMeans(wanted, n_init=tries, max_iter=30, random_state=0).fit_predict(vectors[members])
            _, found, counts = np.unique(found, return_inverse=True, return_counts=True)
            if counts.min() >= FOLDS:  # kinds too small to be held out are none
                kinds[members] += found
        number = int(kinds[members].max()) + 1
    return kinds


def firsts(kinds: Ints, labels: Ints) -> NDArray[np.int64]:
    """The first kind of each label, ascending from 0, shape (K,)."""
    return np.array([kinds[labels == label].min() for label in range(int(labels.max()) + 1)], dtype=np.int64)


def directions_of(features: Any) -> Floats:
    """The directions in which sparse features, shape (n, d), lie, at length 1; shape (n, at most `DIRECTIONS`)."""
    from sklearn.decomposition import TruncatedSVD

    count = min(DIRECTIONS, *(length - 1 for length in features.shape))
    found = TruncatedSVD(count, n_iter=2, random_state=0).fit_transform(features)
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12), dtype=np.float64)
