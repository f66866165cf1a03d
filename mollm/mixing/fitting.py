"""Recorded scores as weights: ridge regression over n-grams, of what each LLM gains on a question.

What is learned is the gain, an LLM's score minus the mean score of all LLMs on the same question: how hard a question
is says nothing about whom to ask, and would be most of what is learned from the scores themselves.

The only module of the mixing part that needs SciPy, and only while it fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.routing.counting import count
from mollm.routing.fitting import blocks, check_installed
from mollm.routing.models import NgramModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mollm.routing.features import Floats

FOLDS = 5
PENALTIES = tuple(2.0**power for power in range(-1, 8))
"""Among which cross-validation decides. A text has length 2, so that 1 is weak and 100 strong."""
STEPS, CLOSE = 200, 1e-3
"""Conjugate gradients end after so many steps, or when what is left of the targets is this part of them."""
TINY = 1e-300
PLAIN = np.array([1.0, 0.0])
"""The curve of a model whose margins are what is wanted."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model of gains, and what models like it say of the questions that they did not see."""

    model: NgramModel
    """Fitted on all questions; its scores are predicted gains."""
    predicted: Floats
    """Gains predicted for each question by a model that did not see it, shape (n, K)."""
    penalty: float
    orderings: dict[float, float]
    """What `ordering` says of each penalty."""


def fit(texts: Sequence[str], scores: Floats, tell: Callable[[str], None] = lambda _: None) -> Fitted:
    """Fit a model, with the penalty at which predicted gains order the questions best.

    Args:
        texts: The questions, at least `FOLDS`, none of them blank.
        scores: Of each of K LLMs on each question, 0 to 1, shape (n, K), K at least 2.
        tell: Told of each step, in a few words.

    Raises:
        ConfigError: Scikit-learn, with which SciPy comes, is not installed.
    """
    check_installed()
    tell(f"counting the n-grams of {len(texts):,} questions")
    counts = count(texts)
    gains = gains_of(scores)
    everything = np.ones(len(texts), dtype=np.bool_)
    fold = np.random.default_rng(0).permutation(len(texts)) % FOLDS
    crossed = np.zeros((len(PENALTIES), *gains.shape))
    for number in range(FOLDS):
        tell(f"cross-validating, {number + 1} of {FOLDS}")
        unseen = fold == number
        features = counts.weigh(~unseen).features
        means = gains[~unseen].mean(axis=0)
        for index, weights in enumerate(ridge(features[~unseen], gains[~unseen] - means, PENALTIES)):
            crossed[index, unseen] = features[unseen] @ weights + means
    orderings = {penalty: ordering(crossed[index], scores) for index, penalty in enumerate(PENALTIES)}
    best = max(orderings, key=orderings.__getitem__)
    tell(f"fitting all with penalty {best:g}")
    means = gains.mean(axis=0)
    weighed = counts.weigh(everything)
    [weights] = ridge(weighed.features, gains - means, [best])
    model = NgramModel(blocks(counts, weighed.idf, weights.astype(np.float32)), means, PLAIN)
    return Fitted(model, crossed[PENALTIES.index(best)], best, orderings)


def gains_of(scores: Floats) -> Floats:
    """What each LLM scores above the mean of all on the same question, shape (n, K) as `scores`."""
    return np.asarray(scores - scores.mean(axis=1, keepdims=True), dtype=np.float64)


def ordering(predicted: Floats, scores: Floats) -> float:
    """How well predicted gains order the questions, mean over all pairs of LLMs.

    Of a pair, the questions are given to the first one by falling predicted difference, one after the other; what that
    brings, on average over how many are given to it, is compared with questions in any order. Only the order counts,
    so it says the same for whatever price the two have, and for gains that are predicted too small.

    Args:
        predicted: Shape (n, K), or anything that differs from gains by a number for each question.
        scores: Shape (n, K).

    Returns:
        In the unit of the scores; 0 for an order that tells nothing.
    """
    found = []
    for first in range(1, scores.shape[1]):
        for second in range(first):
            order = np.argsort(predicted[:, second] - predicted[:, first], kind="stable")
            gain = (scores[:, first] - scores[:, second])[order]
            # The first question counts in every share that is given away, the last in one of n.
            found.append(float(gain @ np.arange(len(gain), 0, -1)) / len(gain) ** 2 - gain.mean() / 2)
    return float(np.mean(found))


def ridge(features: Any, targets: Floats, penalties: Sequence[float]) -> Iterator[Floats]:
    """Solve ridge regressions for several penalties at once.

    Conjugate gradients on the equations of the n questions. All penalties share the directions that are searched, so
    that further ones cost no further products with `features`, which are never made dense.

    Args:
        features: CSR matrix, shape (n, d).
        targets: Shape (n, K), their mean near zero.
        penalties: Above 0, ascending.

    Yields:
        For each penalty the weights, shape (d, K).
    """
    turned = features.T.tocsr()
    shifts = np.array(penalties)[:, None] - penalties[0]
    left = direction = targets
    size = wanted = (targets**2).sum(axis=0)
    solved = np.zeros((len(shifts), *targets.shape))
    directions = np.repeat(targets[None], len(shifts), axis=0)
    # By which the residuals of further penalties are shorter, in this step and the one before (Jegerlehner 1996).
    scale = before = np.ones((len(shifts), targets.shape[1]))
    length_before, turn = np.ones(targets.shape[1]), np.zeros(targets.shape[1])
    for _ in range(STEPS):
        if (size <= CLOSE**2 * wanted).all():
            break
        image = features @ (turned @ direction.astype(features.dtype)) + penalties[0] * direction
        # 1 where nothing is left of a target: its direction is zero, and a length of zero would be divided by.
        length = np.where(size > 0.0, size / np.maximum((direction * image).sum(axis=0), TINY), 1.0)
        after = scale * before * length_before
        after = after / (length * turn * (before - scale) + before * length_before * (1.0 + shifts * length))
        solved += (length * after / scale)[:, None, :] * directions
        left = left - length * image
        size, last = (left**2).sum(axis=0), size
        turn = size / np.maximum(last, TINY)
        direction = left + turn * direction
        directions = after[:, None, :] * left + (turn * (after / scale) ** 2)[:, None, :] * directions
        scale, before, length_before = after, scale, length
    for dual in solved:
        yield np.asarray(turned @ dual.astype(features.dtype), dtype=np.float64)
