"""Examples as weights of n-grams: one linear separator per mixture, or naive Bayes, cross-validated.

With `fitting_vectors` the only module of the routing part that imports scikit-learn, and only while it fits.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.errors import ConfigError, missing
from mollm.routing.calibration import surprises
from mollm.routing.counting import count
from mollm.routing.features import NOWHERE, Block, Floats, idf
from mollm.routing.folding import FOLDS, folds
from mollm.routing.kinds import directions_of, firsts, kinds_of
from mollm.routing.models import NgramModel, belongs, evidence_of, familiarity_of, with_kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mollm.routing.calibration import Ints
    from mollm.routing.counting import Counts
    from mollm.routing.models import Model

OF_A_KIND, SEVERAL, MOST_KINDS = 190, 4, 15
"""Examples that make a kind of their own, and the least and most kinds of a mixture. With ten domains of 1,500
examples each the right one is likeliest for 97.5 to 97.6 instead of 97.4 % of the questions, and 90 instead of 86 % of
those that belong to no domain are recognized (CLINC150, validation split)."""
ENOUGH = 2_000
"""Held-out examples after which no further fold is scored: they place a threshold for 5 % to half a point."""
PENALTIES = (1.0, 0.2, 5.0)
"""`C` of the linear SVM; the first, unless cross-validation says that another is better."""
FEW = 100
"""Examples below which what is better by cross-validation is so by chance."""
TRIED = 2_500
"""Examples, at most, on which it is picked; a fifth of them is held out."""
COUNTED = 0.05
"""Weight of complement naive Bayes beside the SVM: what rare words say, which a margin leaves unused.
On the packaged examples (cross-validated) it lowers the log loss from 0.62 to 0.59; more costs rejection."""
STEEPEST = 50.0
"""Of factors of margins; few examples that are told apart perfectly would drive it to infinity."""
SMOOTHING = 0.1
"""How much more often naive Bayes takes each n-gram to be seen than it was."""


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
    """Which of the examples have these, shape (n,): some thousand, and where a label has only one example, none."""


@dataclass(frozen=True, slots=True)
class _Separators:
    """What each n-gram says for each label."""

    weights: NDArray[np.float32]
    """Shape (d, K)."""
    intercept: Floats
    """Shape (K,)."""


def fit(texts: Sequence[str], labels: Ints) -> Crossed:
    """Fit separators over n-grams, and cross-validate them.

    Args:
        texts: The examples, none of them blank.
        labels: Which mixture each belongs to, 0 to K-1, K at least 2, none of them unused.

    Raises:
        ConfigError: Scikit-learn is not installed.
    """
    return fit_with_evidence(texts, labels)[0]


def fit_with_evidence(texts: Sequence[str], labels: Ints) -> tuple[Crossed, Floats]:
    """As `fit`, and what the familiarity of each held-out example is made of, shape (n,), as `evidence_of` has it."""
    check_installed()
    counts = count(texts)
    return _crossed(counts, labels, penalty=pick_penalty(counts, labels))


def fit_naive_bayes(texts: Sequence[str], labels: Ints) -> Crossed:
    """Fit multinomial naive Bayes over the same n-grams: the baseline of every comparison. As `fit`."""
    check_installed()
    return _crossed(count(texts), labels, penalty=None)[0]


def check_installed() -> None:
    """Raise `ConfigError` unless scikit-learn is there; names the command that brings it."""
    if find_spec("sklearn") is None:
        error = missing("learned", "a learned router is fitted with scikit-learn, which is not installed")
        raise ConfigError(f"{error}, or name the folder of a fitted router as `router.path`")


def _crossed(counts: Counts, labels: Ints, penalty: float | None) -> tuple[Crossed, Floats]:
    """Cross-validate first: what it takes in memory is free again when all examples are fitted on."""
    kinds = None if penalty is None else _kinds(counts, labels)
    first = np.empty(0, dtype=np.int64) if kinds is None else firsts(kinds, labels)
    margins, known, held_out = _cross_validate(counts, labels, penalty, ENOUGH, kinds)
    slope = _slope(margins[held_out], labels[held_out])
    weighed = counts.weigh(np.ones(len(labels), dtype=np.bool_))
    fitted = _separate_all(weighed.features, labels, penalty, kinds)
    model = NgramModel(blocks(counts, weighed.idf, fitted.weights), fitted.intercept, slope, first)
    evidence = evidence_of(margins.max(axis=1), known[:, 0])
    return Crossed(model, belongs(margins, slope), familiarity_of(evidence, known[:, 1]), held_out), evidence


def _kinds(counts: Counts, labels: Ints) -> Ints | None:
    """The kind of each example; None where most labels have too few for a larger model to be worth it."""
    if np.median(np.bincount(labels)) < SEVERAL * OF_A_KIND:
        return None
    features = counts.weigh(np.ones(len(labels), dtype=np.bool_)).features
    return kinds_of(directions_of(features), labels, size=OF_A_KIND, most=MOST_KINDS, tries=4)


def blocks(counts: Counts, idfs: Floats, weights: NDArray[np.float32]) -> tuple[Block, ...]:
    """Give each block its part, with a last row for the n-grams that no text has."""
    unseen = idf(counts.matrix.shape[0], np.zeros(1, dtype=np.int64))
    parts = zip(counts.vocabularies, counts.by_block(idfs), counts.by_block(weights), strict=True)
    return tuple(
        Block(
            hashes=np.append(vocabulary, NOWHERE),
            idf=np.append(idf, unseen),
            weights=np.vstack([part.astype(np.float16), np.zeros((1, part.shape[1]), np.float16)]),
        )
        for vocabulary, idf, part in parts
    )


def _separate_all(features: Any, labels: Ints, penalty: float | None, kinds: Ints | None) -> _Separators:
    """One separator per label, and behind these one per kind, if there are kinds."""
    found = _separate(features, labels, penalty)
    if kinds is None:
        return found
    of_kinds = _separate(features, kinds, penalty)
    weights = np.hstack([found.weights, of_kinds.weights])
    return _Separators(weights, np.concatenate([found.intercept, of_kinds.intercept]))


def _separate(features: Any, labels: Ints, penalty: float | None) -> _Separators:
    """One separator per label, against all the others; without a penalty, naive Bayes."""
    if penalty is None:
        return _naive_bayes(features, labels)
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=penalty, class_weight="balanced", max_iter=20_000, tol=1e-2, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")  # many mixtures, few examples: still labels
        machine.fit(features, labels)
    weights, intercept = machine.coef_.astype(np.float32), machine.intercept_
    del machine
    if len(intercept) == 1:  # two labels share one separator
        weights, intercept = np.vstack([-weights, weights]), np.concatenate([-intercept, intercept])
    weights += COUNTED * _rarity(features, labels)
    return _Separators(weights.T, intercept)


def _rarity(features: Any, labels: Ints) -> NDArray[np.float32]:
    """Complement naive Bayes, shape (K, d), about its mean: how rare an n-gram is among the other labels."""
    seen = _by_label(features, labels)
    others = seen.sum(axis=0) + SMOOTHING - seen
    evidence = -np.log(others / others.sum(axis=1, keepdims=True))
    return np.asarray(evidence - evidence.mean(axis=0), dtype=np.float32)


def _naive_bayes(features: Any, labels: Ints) -> _Separators:
    """How common an n-gram is with each label, about its mean, and how common the label is."""
    seen = _by_label(features, labels) + np.float32(SMOOTHING)
    evidence = np.log(seen / seen.sum(axis=1, keepdims=True))
    common = np.log(np.bincount(labels) / len(labels))
    return _Separators(np.asarray((evidence - evidence.mean(axis=0)).T, dtype=np.float32), common)


def _by_label(features: Any, labels: Ints) -> NDArray[np.float32]:
    """The sum of the features of each label, shape (K, d)."""
    from scipy.sparse import csr_matrix

    cells = labels, np.arange(len(labels))
    members = csr_matrix((np.ones(len(labels), dtype=np.float32), cells))
    return np.asarray((members @ features).toarray(), dtype=np.float32)


def _cross_validate(
    counts: Counts, labels: Ints, penalty: float | None, enough: int, kinds: Ints | None = None
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Margins (n, K) and known shares (n, 2) of examples by separators that did not see them, and which have them."""
    fold = folds(counts.weigh_words(), labels)
    margins, known = np.zeros((len(labels), int(labels.max()) + 1)), np.zeros((len(labels), 2))
    done = np.zeros(len(labels), dtype=np.bool_)
    for number in range(FOLDS):
        held_out = fold == number
        if held_out.any() and done.sum() < enough:
            weighed = counts.weigh(~held_out)
            seen = ~held_out
            # A kind of which nothing is left is left out itself; something of every label is.
            left = None if kinds is None else np.unique(kinds[seen], return_inverse=True)[1]
            fitted = _separate_all(weighed.features[seen], labels[seen], penalty, left)
            found = weighed.features[held_out] @ fitted.weights + fitted.intercept
            margins[held_out] = found if left is None else with_kinds(found, firsts(left, labels[seen]))
            known[held_out] = weighed.known[held_out]
            done |= held_out
    return margins, known, done


def pick_penalty(counts: Counts, labels: Ints) -> float:
    """The penalty under which held-out examples are least surprising; the usual one unless that is beyond chance."""
    usual, *others = PENALTIES
    if len(labels) < FEW:
        return usual
    tried = _evenly(labels, TRIED)
    counts, labels = counts.rows(tried), np.unique(labels[tried], return_inverse=True)[1]

    def tried_with(penalty: float) -> Floats:
        margins, _, held_out = _cross_validate(counts, labels, penalty, TRIED // FOLDS)
        margins, known = margins[held_out], labels[held_out]
        return surprises(belongs(margins, _slope(margins, known)), known)

    found, best = tried_with(usual), usual
    for penalty in others:
        better = found - tried_with(penalty)
        if better.mean() > 2.0 * better.std() / np.sqrt(len(better)):
            found, best = found - better, penalty
    return best


def _slope(margins: Floats, labels: Ints) -> Floats:
    """The logistic curve over margins under which the right labels are likeliest, as factor and term.

    One factor alone cannot be right both for a question that two mixtures want and for one that none wants: with 150
    intents its probabilities are off by 0.03, and those of a curve by 0.02 (CLINC150, validation split).
    """
    from scipy.optimize import minimize

    if not len(labels):
        return np.array([1.0, 0.0])
    bounds = [(-5.0, np.log(STEEPEST)), (-10.0, 5.0)]
    found = minimize(
        lambda curve: float(surprises(belongs(margins, np.array([np.exp(curve[0]), curve[1]])), labels).mean()),
        np.array([1.5, -1.0]),
        method="Nelder-Mead",
        bounds=bounds,
        options={"xatol": 1e-2, "fatol": 1e-5},
    )
    return np.array([np.exp(found.x[0]), found.x[1]])


def _evenly(labels: Ints, most: int) -> Ints:
    """At most so many examples, of each label its share."""
    step = max(1.0, len(labels) / most)
    order = np.argsort(labels, kind="stable")
    return np.sort(order[np.arange(0, len(labels), step).astype(np.intp)])
