"""What was learned over vectors: separators, and how near a question lies to the means of the examples.

A mixture may have examples of several kinds, each with a separator and a mean of its own; the mixture's score is the
sum of theirs (as powers). Ten domains of fifteen intents each are told apart rightly in 95.0 % by one separator for
each domain, and in 97.9 % by fifteen (CLINC150, validation split, vectors of MiniLM).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mollm.routing.models import LARGEST, NgramModel, belongs, evidence_of, finite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mollm.routing.calibration import Ints
    from mollm.routing.features import Floats


@dataclass(frozen=True, slots=True)
class VectorModel:
    """Separates vectors of length 1."""

    kind: ClassVar[str] = "vectors"
    needs_vector: ClassVar[bool] = True

    weights: NDArray[np.float32]
    """Shape (d, S): a separator for each of S kinds of examples, those of one mixture side by side."""
    intercept: Floats
    """Shape (S,)."""
    means: NDArray[np.float32]
    """Of examples that are close to each other, of length 1, shape (M, d)."""
    first: NDArray[np.int64]
    """The first kind of each of K mixtures, ascending from 0."""
    usual: Floats
    """What questions of the mixtures have as largest score and as product with the nearest mean: mean and deviation
    of each, shape (2, 2)."""

    @classmethod
    def of(
        cls,
        weights: Floats,
        intercept: Floats,
        vectors: Floats,
        labels: Ints,
        unseen: Floats,
        *,
        kinds: Ints | None = None,
        clusters: Ints | None = None,
    ) -> VectorModel:
        """Make one of separators and of what they were fitted on.

        Args:
            weights: Shape (d, S).
            intercept: Shape (S,).
            vectors: Of the examples, shape (n, d).
            labels: Their kinds, 0 to S-1; without `kinds` these are the mixtures.
            unseen: Vectors of questions that were not fitted on; where there are none, those of the examples do.
            kinds: The mixture of each kind, ascending, shape (S,).
            clusters: To which of M clusters each example belongs, 0 to M-1, shape (n,); else its kind is one.
        """
        mixtures = np.arange(len(intercept)) if kinds is None else kinds
        first = np.flatnonzero(np.diff(mixtures, prepend=-1)).astype(np.int64)
        plain = cls(
            np.ascontiguousarray(weights, dtype=np.float32),
            np.asarray(intercept, dtype=np.float64),
            means_of(vectors, labels if clusters is None else clusters),
            first,
            np.array([[0.0, 1.0], [0.0, 1.0]]),
        )
        scores, closeness = plain.measured(unseen if len(unseen) > 1 else vectors)
        usual = usual_of(scores.max(axis=1), closeness)
        return cls(plain.weights, plain.intercept, plain.means, first, usual)

    def measured(self, vectors: Floats) -> tuple[Floats, Floats]:
        """Score many vectors, shape (n, d): raw scores (n, K), and products with the nearest mean (n,)."""
        scores = vectors @ self.weights + self.intercept
        if len(self.first) < len(self.intercept):
            scores = np.logaddexp.reduceat(scores, self.first, axis=1)
        return np.asarray(scores, dtype=np.float64), nearness(vectors, self.means)

    def measure(self, text: str, vector: Floats | None = None) -> tuple[Floats, float]:  # noqa: ARG002 - by its vector
        """Score a vector; it is familiar if its largest score and its nearest mean are such as usual questions have."""
        assert vector is not None  # noqa: S101 - it needs one
        scores, closeness = self.measured(vector[None])
        if not vector.any():
            return scores[0], 0.0
        return scores[0], familiarity_of(self.usual, scores.max(), closeness[0])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its five arrays."""
        return {
            "weights": self.weights,
            "intercept": self.intercept,
            "means": self.means,
            "first": self.first,
            "usual": self.usual,
        }

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], mixtures: int) -> VectorModel:
        """Check shapes, types, order and ranges."""
        width, kinds = arrays["weights"].shape
        clusters = max(1, len(arrays["means"]))
        weights = finite(arrays["weights"], np.float32, (width, kinds))
        intercept = finite(arrays["intercept"], np.float64, (kinds,))
        means = finite(arrays["means"], np.float32, (clusters, width))
        usual = finite(arrays["usual"], np.float64, (2, 2))
        first = arrays["first"]
        if first.dtype != np.int64 or first.shape != (mixtures,) or not width:
            raise ValueError("no vectors, or kinds of other mixtures")
        if first[0] != 0 or first[-1] >= kinds or (np.diff(first) < 1).any():
            raise ValueError("kinds that are not in order")
        if (
            max(np.abs(part).max() for part in (weights, intercept, means, usual)) > LARGEST
            or usual[:, 1].min() < LEAST
        ):
            raise ValueError("a number out of range")
        return cls(weights, intercept, means, first, usual)


@dataclass(frozen=True, slots=True)
class BothModel:
    """N-grams and vectors: what each says, as calibrated log-probabilities, added."""

    kind: ClassVar[str] = "both"
    needs_vector: ClassVar[bool] = True

    ngrams: NgramModel
    vectors: VectorModel
    shares: Floats
    """Factor of the raw scores of the n-grams, and of those of the vectors, shape (2,)."""
    usual: Floats
    """What questions of the mixtures have as largest sum, as evidence of the n-grams, and as product with the nearest
    mean: mean and deviation of each, shape (3, 2)."""

    def measure(self, text: str, vector: Floats | None = None) -> tuple[Floats, float]:
        """Score a text and its vector; familiarity is as with vectors alone, and by the n-grams' evidence too."""
        assert vector is not None  # noqa: S101 - it needs one
        margins, known = self.ngrams.margins(text)
        scores, closeness = self.vectors.measured(vector[None])
        total = self.shares[0] * belongs(margins, self.ngrams.slope) + self.shares[1] * scores[0]
        if not vector.any():
            return total, LEAST if known.anything else 0.0
        evidence = float(evidence_of(margins.max(), known.weight))
        return total, familiarity_of(self.usual, total.max(), evidence, closeness[0])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Those of both models, each behind its kind and a dot, and two of its own."""
        parts = {
            f"{model.kind}.{name}": array
            for model in (self.ngrams, self.vectors)
            for name, array in model.arrays().items()
        }
        return {**parts, "shares": self.shares, "usual": self.usual}

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], mixtures: int) -> BothModel:
        """Check both models, and the range of what joins them."""
        shares = finite(arrays["shares"], np.float64, (2,))
        usual = finite(arrays["usual"], np.float64, (3, 2))
        if not 0.0 <= shares.min() <= shares.max() <= LARGEST:
            raise ValueError("shares out of range")
        if np.abs(usual).max() > LARGEST or usual[:, 1].min() < LEAST:
            raise ValueError("a number out of range")
        ngrams = NgramModel.read(_behind(arrays, NgramModel.kind), mixtures)
        return cls(ngrams, VectorModel.read(_behind(arrays, VectorModel.kind), mixtures), shares, usual)


LEAST = 1e-7
"""Deviation of anything."""


def usual_of(*measures: Floats) -> Floats:
    """Mean and deviation of each of some measures of the same questions, shape (measures, 2)."""
    return np.array([[part.mean(), max(float(part.std()), 1e-6)] for part in measures])


def familiarity_of(usual: Floats, *found: float) -> float:
    """How the measures of a question compare with what is usual: 0.5 if they are so on average, and towards 0 below.

    Of several ways to join them the plain sum of deviations told questions of no kind from others best on CLINC150's
    validation split.
    """
    unusual = float(((np.array(found) - usual[:, 0]) / usual[:, 1]).mean())
    return 1.0 / (1.0 + math.exp(min(-unusual, 15.0)))  # never 0, which stands for nothing at all


def means_of(vectors: Floats, labels: Ints) -> NDArray[np.float32]:
    """The mean of the vectors of each label, 0 to S-1, at length 1; shape (S, d)."""
    means = np.stack([vectors[labels == label].mean(axis=0) for label in range(int(labels.max()) + 1)])
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def nearness(vectors: Floats, means: NDArray[np.float32]) -> Floats:
    """The product of each vector, shape (n, d), with the nearest of some means, shape (M, d); shape (n,)."""
    return np.asarray((vectors.astype(np.float32) @ means.T).max(axis=1), dtype=np.float64)


def _behind(arrays: Mapping[str, NDArray[Any]], kind: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(f"{kind}."): array for name, array in arrays.items() if name.startswith(f"{kind}.")}
