"""The scorer that compares a question with each example of the mixtures by meaning.

Nothing is trained: the examples' vectors are kept, and a mixture is as good as its few nearest ones. That is right
for few examples, or for descriptions alone; from some dozen examples a mixture, `learned` with vectors decides better.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from mollm.errors import ConfigError
from mollm.routing import artifacts
from mollm.routing.base import Scores
from mollm.routing.calibration import FALSE_ALARMS, calibrate, pick_threshold, softmax
from mollm.routing.decision import Decision
from mollm.routing.explaining import Neighbor
from mollm.routing.features import shortened
from mollm.routing.vectors import vector_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mollm.calling.calls import Calls
    from mollm.embeddings.base import Embedder
    from mollm.routing.calibration import Ints
    from mollm.routing.features import Floats
    from mollm.types import Question

NEAREST = 3
"""Examples of a mixture whose mean likeness is its score."""
SPREAD = 10.0
"""Of the scores, so that their calibration lies where it is looked for."""
ENOUGH = 30
"""Examples from which on probabilities are calibrated and thresholds fitted."""
SCALE, THRESHOLD = 3.0, 0.5
"""What takes their place where there are fewer."""
AT_ONCE = 512
"""Examples that are compared with all others at a time."""


@dataclass(frozen=True, slots=True)
class Compared(Scores):
    """Scores, with what finds the examples that they come from."""

    nearest: Callable[[], tuple[Neighbor, ...]] = tuple


@dataclass(frozen=True, slots=True)
class SemanticScorer:
    """Finds the mixture whose examples are nearest in meaning; make one with `of`."""

    kind: ClassVar[str] = "semantic"
    reads_last_only: ClassVar[bool] = True

    mixtures: tuple[str, ...]
    """K in number."""
    fallback: str
    texts: tuple[str, ...]
    """Examples, or descriptions of mixtures without any; n in number, those of a mixture side by side."""
    labels: Ints
    """Which of the mixtures each belongs to, ascending, shape (n,)."""
    vectors: Floats
    """Shape (n, d)."""
    embedder: Embedder
    scale: float = SCALE
    threshold: float = THRESHOLD
    familiarity: float = 0.0

    @classmethod
    def of(
        cls,
        examples: Mapping[str, Sequence[str]],
        embedder: Embedder,
        *,
        fallback: str,
        descriptions: Mapping[str, str] | None = None,
        false_alarms: float = FALSE_ALARMS,
    ) -> SemanticScorer:
        """Embed the examples, or read their vectors where the same were embedded before.

        Args:
            examples: Mixture to questions; blank and repeated ones are dropped.
            embedder: Makes the vectors.
            fallback: The mixture that answers what is near nothing; its description takes no part.
            descriptions: Mixture to description, for those without examples.
            false_alarms: Share of the examples, 0 to 1, that either threshold may call into doubt.

        Raises:
            ConfigError: Fewer than two mixtures have anything to compare with, or the embedder cannot be used.
            RunError: The embedder failed.
        """
        told = {name: [text] for name, text in (descriptions or {}).items() if name != fallback}
        found = {name: list(dict.fromkeys(filter(None, map(str.strip, texts)))) for name, texts in examples.items()}
        found = told | {name: texts for name, texts in found.items() if texts}
        if len(found) < 2:
            raise ConfigError("a semantic router needs examples or descriptions of at least two mixtures")
        mixtures = tuple(sorted(found))
        texts = tuple(text for name in mixtures for text in found[name])
        labels = np.repeat(np.arange(len(mixtures)), [len(found[name]) for name in mixtures])
        plain = cls(mixtures, fallback, texts, labels, _embedded(texts, embedder), embedder)
        return plain._calibrated(false_alarms) if len(texts) >= ENOUGH else plain

    def decision(self, threshold: float | Literal["auto"] = "auto") -> Decision:
        """Decide with the thresholds that were fitted, or with one's own. Raises `ConfigError` as `Decision`."""
        likely = self.threshold if threshold == "auto" else threshold
        return Decision(self.fallback, likely, familiarity=self.familiarity)

    async def score(self, question: Question, calls: Calls) -> Scores:
        """Score the last message of a question; without an opinion where its vector cannot be had in time."""
        vector = await vector_of(question.last, self.embedder, calls)
        return vector if isinstance(vector, Scores) else self._scores(vector)

    def scores(self, text: str) -> Scores:
        """Score a text. Raises as the embedder."""
        return self._scores(self.embedder.embed([shortened(text)])[0])

    def nearest(self, vector: Floats, count: int = 3) -> tuple[Neighbor, ...]:
        """The examples nearest in meaning to a vector, the nearest first."""
        alike = self.vectors @ vector
        first = np.argsort(-alike)[:count]
        return tuple(Neighbor(self.mixtures[self.labels[row]], self.texts[row], float(alike[row])) for row in first)

    def _scores(self, vector: Floats) -> Scores:
        if not vector.any():
            return Scores({}, "it has no vector", familiarity=0.0)
        raw, nearest = self._compared((self.vectors @ vector)[None])
        shares = softmax(raw[0] * self.scale).tolist()
        probabilities = {self.fallback: 0.0} | dict(zip(self.mixtures, shares, strict=True))
        likeliest = max(probabilities, key=probabilities.__getitem__)
        reason = f"nearest in meaning to {likeliest}"
        return Compared(probabilities, reason, likeliest, float(nearest[0]), nearest=partial(self.nearest, vector))

    def _compared(self, alike: Floats) -> tuple[Floats, Floats]:
        """What likenesses, shape (m, n), say: raw scores, shape (m, K), and familiarity, shape (m,)."""
        bounds = np.searchsorted(self.labels, np.arange(len(self.mixtures) + 1))
        scores = np.empty((len(alike), len(self.mixtures)))
        for mixture, (start, end) in enumerate(pairwise(bounds.tolist())):
            count = min(NEAREST, end - start)
            part = np.partition(alike[:, start:end], end - start - count, axis=1)[:, -count:]
            # Of an example that is left out itself there is one less.
            scores[:, mixture] = np.where(np.isneginf(part), part.max(axis=1, keepdims=True), part).mean(axis=1)
        return SPREAD * scores, np.clip(alike.max(axis=1), 0.0, 1.0)

    def _calibrated(self, false_alarms: float) -> SemanticScorer:
        """Fit scale and thresholds on the examples, each compared with all others; those without one of its own not."""
        several = np.flatnonzero(np.bincount(self.labels)[self.labels] > 1)
        if not len(several):
            return self
        parts = []
        for start in range(0, len(several), AT_ONCE):
            rows = several[start : start + AT_ONCE]
            alike = self.vectors[rows] @ self.vectors.T
            alike[np.arange(len(rows)), rows] = -np.inf
            parts.append(self._compared(alike))
        scores, familiar = np.concatenate([part for part, _ in parts]), np.concatenate([part for _, part in parts])
        scale = calibrate(scores, self.labels[several])
        return SemanticScorer(
            self.mixtures,
            self.fallback,
            self.texts,
            self.labels,
            self.vectors,
            self.embedder,
            scale=scale,
            threshold=pick_threshold(softmax(scores * scale).max(axis=1), false_alarms),
            familiarity=pick_threshold(familiar, false_alarms),
        )


def _embedded(texts: Sequence[str], embedder: Embedder) -> Floats:
    """The vectors of the examples, shape (n, d), kept by the digest of both as fitted routers are."""
    material = json.dumps(["semantic", artifacts.FORMAT, embedder.name, embedder.digest, texts])
    digest = hashlib.sha256(material.encode()).hexdigest()
    routers = artifacts.cache_folder()
    if routers is not None:
        with suppress(ConfigError):
            vectors = artifacts.read(routers / digest, digest)[1].get("vectors")
            if vectors is not None and vectors.ndim == 2 and len(vectors) == len(texts) and np.isfinite(vectors).all():
                return vectors.astype(np.float64)
    vectors = embedder.embed([shortened(text) for text in texts])
    if not vectors.any():
        raise ConfigError(f"{embedder.name}: none of the examples has a vector")
    if routers is not None:
        with suppress(OSError):
            artifacts.write(routers / digest, {"digest": digest}, {"vectors": vectors})
            artifacts.prune(routers)
    return vectors.astype(np.float64)
