"""Examples as separators of their vectors, alone or added to separators of their n-grams.

Imports scikit-learn while it fits, as `fitting` does.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mollm.errors import ConfigError
from mollm.routing import fitting
from mollm.routing.calibration import calibrate, softmax
from mollm.routing.counting import count
from mollm.routing.features import shortened, word_ngrams
from mollm.routing.fitting import Crossed
from mollm.routing.folding import FOLDS, folds
from mollm.routing.kinds import kinds_of
from mollm.routing.models import NgramModel
from mollm.routing.vector_model import BothModel, VectorModel, familiarity_of, means_of, nearness, usual_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mollm.embeddings.base import Embedder
    from mollm.routing.calibration import Ints
    from mollm.routing.features import Floats

PENALTIES: Final = (3.0, 10.0, 30.0)
"""`C` of the logistic regression, of which cross-validation picks one. On CLINC150 (validation split) it is more
accurate than a linear SVM by half a point to a point and a half, with many examples and with ten of each label."""
OF_A_KIND = 100
"""Examples that make a kind of their own."""
MOST_KINDS = 15
"""Of one mixture."""
OF_A_CLUSTER = 8
"""Examples of a cluster, to whose mean a question may be near. To the mean of a whole kind it says less: with vectors
alone and 150 intents 81.5 instead of 74.5 % of the questions of no kind are recognized at 5 % false alarms (CLINC150,
validation split, static vectors)."""
MOST_CLUSTERS = 2_000
"""Of all mixtures together; they are compared with every question."""
STEPS = 80
"""Of the solver; more change no tenth of a point."""
COMPARED = 3_000
"""Held-out examples that decide how two models are added, and with which penalty one is fitted."""


def fit(texts: Sequence[str], labels: Ints, embedder: Embedder) -> Crossed:
    """Fit separators over vectors, and cross-validate them; as `fitting.fit`.

    Args:
        texts: The examples, none of them blank.
        labels: Which mixture each belongs to, 0 to K-1, K at least 2, none of them unused.
        embedder: Makes the vectors.

    Raises:
        ConfigError: Scikit-learn is not installed, or the embedder cannot be used.
        RunError: The embedder failed.
    """
    fitting.check_installed()
    found = _fit(_vectors(texts, embedder), labels, folds(count(texts, [word_ngrams]).weigh_words(), labels))
    model = found.model
    measures = zip(found.scores.max(axis=1), found.closeness, strict=True)
    familiarity = np.array([familiarity_of(model.usual, *each) for each in measures])
    return Crossed(model, found.scores, familiarity, found.held_out)


def fit_both(texts: Sequence[str], labels: Ints, embedder: Embedder) -> Crossed:
    """Fit separators over n-grams and over vectors, and how much each of them has to say; as `fit`."""
    ngrams, evidence = fitting.fit_with_evidence(texts, labels)
    assert isinstance(ngrams.model, NgramModel)  # noqa: S101 - it makes no other
    fold = folds(count(texts, [word_ngrams]).weigh_words(), labels)
    found = _fit(_vectors(texts, embedder), labels, fold)
    held_out = ngrams.held_out & found.held_out
    shares = _shares(ngrams.scores[held_out], found.scores[held_out], labels[held_out])
    scores = shares[0] * ngrams.scores + shares[1] * found.scores
    measures = scores.max(axis=1), evidence, found.closeness
    seen = held_out if held_out.any() else np.ones(len(labels), dtype=np.bool_)
    usual = usual_of(*(measure[seen] for measure in measures))
    familiarity = np.array([familiarity_of(usual, *each) for each in zip(*measures, strict=True)])
    return Crossed(BothModel(ngrams.model, found.model, shares, usual), scores, familiarity, held_out)


@dataclass(frozen=True, slots=True)
class _Fitted:
    model: VectorModel
    scores: Floats
    """Of each held-out example, shape (n, K)."""
    closeness: Floats
    """Of each held-out example to the nearest mean, shape (n,)."""
    held_out: NDArray[np.bool_]


def _vectors(texts: Sequence[str], embedder: Embedder) -> Floats:
    vectors = embedder.embed([shortened(text) for text in texts])
    if not vectors.any():
        raise ConfigError(f"{embedder.name}: none of the examples has a vector")
    return np.asarray(vectors, dtype=np.float64)


def _fit(vectors: Floats, labels: Ints, fold: Ints) -> _Fitted:
    kinds = kinds_of(vectors, labels, size=OF_A_KIND, most=MOST_KINDS)
    mixtures = np.array([labels[kinds == kind][0] for kind in range(int(kinds.max()) + 1)])
    penalty = _penalty(vectors, kinds, mixtures, labels, fold)
    numbers = _enough(fold)
    held_out = np.isin(fold, numbers)
    scores = _cross_validate(vectors, kinds, mixtures, fold, penalty, numbers)
    closeness = _nearest(vectors, kinds, fold, numbers)
    weights, intercept = _separate(vectors, kinds, penalty)
    clusters = _clusters(vectors, kinds)
    model = VectorModel.of(weights, intercept, vectors, kinds, vectors[:0], kinds=mixtures, clusters=clusters)
    if held_out.any():
        usual = usual_of(scores[held_out].max(axis=1), closeness[held_out])
        model = VectorModel(model.weights, model.intercept, model.means, model.first, usual)
    return _Fitted(model, scores, closeness, held_out)


def _enough(fold: Ints) -> list[int]:
    """The first folds, as many as have enough examples; the others are not held out. As `fitting` does."""
    sizes = np.bincount(fold[fold >= 0], minlength=FOLDS)
    before = np.cumsum(sizes) - sizes
    return np.flatnonzero((sizes > 0) & (before < fitting.ENOUGH)).tolist()


def _nearest(vectors: Floats, kinds: Ints, fold: Ints, numbers: Sequence[int]) -> Floats:
    """The product of each example of these folds with the nearest mean of the others, shape (n,); else 0."""
    closeness = np.zeros(len(kinds))
    for number in numbers:
        held_out = fold == number
        if held_out.any() and not held_out.all():
            seen = vectors[~held_out]
            means = means_of(seen, _clusters(seen, kinds[~held_out]))
            closeness[held_out] = nearness(vectors[held_out], means)
    return closeness


def _clusters(vectors: Floats, kinds: Ints) -> Ints:
    """The cluster of each example, 0 to M-1: `OF_A_CLUSTER` of one kind that are close to each other."""
    from sklearn.cluster import KMeans

    size = max(OF_A_CLUSTER, len(kinds) / MOST_CLUSTERS)
    clusters, number = np.zeros(len(kinds), dtype=np.int64), 0
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        if (wanted := round(len(members) / size)) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # fewer different vectors than clusters
                found = KMeans(wanted, n_init=1, max_iter=10, random_state=0).fit_predict(vectors[members])
            clusters[members] = number + np.unique(found, return_inverse=True)[1]
        else:
            clusters[members] = number
        number = int(clusters[members].max()) + 1
    return clusters


def _separate(vectors: Floats, kinds: Ints, penalty: float) -> tuple[Floats, Floats]:
    """One separator for each kind, against all the others: weights (d, S) and intercept (S,)."""
    from sklearn.linear_model import LogisticRegression

    center = vectors.mean(axis=0)
    machine = LogisticRegression(C=penalty, max_iter=STEPS, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged to the last digit; many kinds, few examples: still labels
        machine.fit((vectors - center).astype(np.float32), kinds)
    weights, intercept = machine.coef_.T.astype(np.float64), machine.intercept_.astype(np.float64)
    if len(intercept) == 1:  # two kinds share one separator
        weights, intercept = np.hstack([-weights, weights]) / 2.0, np.array([-1.0, 1.0]) * intercept / 2.0
    return weights, intercept - center @ weights


def _cross_validate(
    vectors: Floats,
    kinds: Ints,
    mixtures: Ints,
    fold: Ints,
    penalty: float,
    numbers: Sequence[int],
) -> Floats:
    """Scores (n, K) of each example of these folds by separators that did not see it; 0 for the others."""
    scores = np.zeros((len(kinds), int(mixtures.max()) + 1))
    for number in numbers:
        held_out = fold == number
        seen = ~held_out
        # A kind of which nothing is left is left out itself: its mixture has others, or is held out nowhere.
        left, of_seen = np.unique(kinds[seen], return_inverse=True)
        if held_out.any() and len(left) > 1 and len(np.unique(mixtures[left])) == scores.shape[1]:
            weights, intercept = _separate(vectors[seen], of_seen, penalty)
            model = VectorModel.of(weights, intercept, vectors[seen], of_seen, vectors[:0], kinds=mixtures[left])
            scores[held_out] = model.measured(vectors[held_out])[0]
    return scores


def _penalty(vectors: Floats, kinds: Ints, mixtures: Ints, labels: Ints, fold: Ints) -> float:
    """The penalty under which held-out examples are least surprising; where there are thousands, those of one fold."""
    numbers = range(1) if len(labels) > COMPARED else range(FOLDS)
    held_out = np.isin(fold, list(numbers))
    if not held_out.any():
        return PENALTIES[1]

    def surprise(penalty: float) -> float:
        scores = _cross_validate(vectors, kinds, mixtures, fold, penalty, numbers)
        return _surprise(scores[held_out], labels[held_out])

    return min(PENALTIES, key=surprise)


def _surprise(scores: Floats, labels: Ints) -> float:
    """How surprising the labels are under calibrated scores, in nats."""
    right = softmax(scores * calibrate(scores, labels))[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(right, 1e-300)).mean())


def _shares(ngrams: Floats, vectors: Floats, labels: Ints) -> Floats:
    """Factors of both raw scores: each calibrated, and weighed so that the labels are least surprising."""
    step = max(1, len(labels) // COMPARED)
    ngrams, vectors, labels = ngrams[::step], vectors[::step], labels[::step]
    scales = np.array([calibrate(ngrams, labels), calibrate(vectors, labels)])
    if not len(labels):
        return scales
    weights = np.linspace(0.0, 1.0, 21)

    def surprise(weight: float) -> float:
        return _surprise((1.0 - weight) * scales[0] * ngrams + weight * scales[1] * vectors, labels)

    best = min(weights.tolist(), key=surprise)
    return np.asarray(np.array([1.0 - best, best]) * scales, dtype=np.float64)
