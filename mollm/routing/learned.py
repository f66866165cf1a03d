"""The scorer that learns from examples of each mixture's questions.

A linear separator over word and character n-grams, calibrated, with a threshold under which it does not know.
Scoring takes numpy and a tenth of a millisecond; fitting takes scikit-learn and seconds, so a fitted scorer is
kept, by the digest of what it was fitted on, and that of the packaged mixtures comes with them.
"""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mollm.errors import ConfigError
from mollm.routing import artifacts
from mollm.routing.base import Scores
from mollm.routing.decision import Decision
from mollm.routing.features import NGRAMS, NOWHERE, Block, Floats, normalize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mollm.calling.calls import Calls
    from mollm.types import Question

LARGEST = 1e6
"""Of the numbers of a router that is read; fitted ones stay below a thousand, and sums of these are finite."""


@dataclass(frozen=True, slots=True)
class LearnedScorer:
    """Finds the mixture whose examples a question resembles; make one with `fit`, `cached` or `load`.

    Its weights are in half precision: on the packaged examples no decision is another one for that.
    """

    kind: ClassVar[str] = "learned"
    reads_last_only: ClassVar[bool] = True

    mixtures: tuple[str, ...]
    """Mixtures with examples, sorted; K in number."""
    fallback: str
    """The mixture whose examples took no part in the threshold; may be one of `mixtures`."""
    threshold: float
    """Probability from 0 to 1 that 95 % of the other mixtures' own (held-out) questions reach."""
    scale: float
    """Turns distances into logits; fitted on held-out examples."""
    digest: str
    """Of what it was fitted on."""
    blocks: tuple[Block, ...]
    intercept: Floats
    """Shape (K,)."""

    @classmethod
    def fit(cls, examples: Mapping[str, Sequence[str]], *, fallback: str) -> LearnedScorer:
        """Fit on questions by mixture; blank and repeated ones are dropped, mixtures without any ignored.

        Args:
            examples: Mixture to questions; some hundred per mixture make a good router, 20 a usable one.
            fallback: The mixture that answers what no other one knows; examples of its own are welcome.

        Raises:
            ConfigError: Fewer than two mixtures have examples, or scikit-learn is not installed.
        """
        from mollm.routing import fitting

        cleaned = _cleaned(examples)
        mixtures = tuple(cleaned)
        fitted = fitting.fit(
            [text for texts in cleaned.values() for text in texts],
            np.repeat(np.arange(len(cleaned)), [len(texts) for texts in cleaned.values()]),
            fallback=mixtures.index(fallback) if fallback in mixtures else None,
        )
        return cls(
            mixtures=mixtures,
            fallback=fallback,
            threshold=fitted.threshold,
            scale=fitted.scale,
            digest=_digest(cleaned, fallback),
            blocks=fitted.blocks,
            intercept=fitted.intercept,
        )

    @classmethod
    def cached(
        cls, examples: Mapping[str, Sequence[str]], *, fallback: str, shipped: Path | None = None
    ) -> LearnedScorer:
        """Like `fit`, but read the scorer where the same was fitted before: in `shipped`, or in the cache folder.

        The cache is a convenience: what is missing, unreadable, changed or cannot be written only costs a new fit.
        """
        digest = _digest(_cleaned(examples), fallback)
        routers = artifacts.cache_folder()
        for folder in (shipped, routers / digest if routers else None):
            if folder is not None:
                with suppress(ConfigError):
                    return cls.load(folder, digest=digest)
        scorer = cls.fit(examples, fallback=fallback)
        if routers is not None:
            with suppress(OSError):
                scorer.save(routers / digest)
                artifacts.prune(routers)
        return scorer

    def save(self, folder: str | Path) -> None:
        """Write the scorer to `folder`, made if missing; a reader never sees half a file.

        Raises:
            OSError: The folder cannot be made or written.
        """
        arrays: dict[str, NDArray[Any]] = {"intercept": self.intercept}
        for number, block in enumerate(self.blocks):
            arrays |= {
                f"hashes_{number}": block.hashes,
                f"idf_{number}": block.idf,
                f"weights_{number}": block.weights,
            }
        manifest = {
            "mixtures": list(self.mixtures),
            "fallback": self.fallback,
            "threshold": self.threshold,
            "scale": self.scale,
            "digest": self.digest,
        }
        artifacts.write(Path(folder), manifest, arrays)

    @classmethod
    def load(cls, folder: str | Path, *, digest: str | None = None) -> LearnedScorer:
        """Read a scorer written by `save`; one that has not the `digest` is refused, where that is given.

        Raises:
            ConfigError: There is no router in `folder`, or not one that can be used as it is.
        """
        manifest, arrays = artifacts.read(Path(folder), digest)
        try:
            return _scorer_of(manifest, arrays)
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"{folder}: its contents do not make a router ({error}); train it again") from error

    def decision(self, threshold: float | Literal["auto"] = "auto") -> Decision:
        """Decide with the threshold that was fitted, or with one's own. Raises `ConfigError` as `Decision`."""
        return Decision(self.fallback, self.threshold if threshold == "auto" else threshold)

    async def score(self, question: Question, calls: Calls) -> Scores:  # noqa: ARG002 - nobody is called
        """Score the last message of a question."""
        return self.scores(question.last)

    def scores(self, text: str) -> Scores:
        """Score a text; without a single known n-gram every mixture is as likely as any other."""
        distances, familiarity = self.distances(text)
        if not familiarity:
            everyone = dict.fromkeys((self.fallback, *self.mixtures))
            equal = dict.fromkeys(everyone, 1.0 / len(everyone))
            return Scores(equal, "nothing in it is known from any example", familiarity=0.0)
        powers = np.exp((distances - distances.max()) * self.scale)
        shares = (powers / powers.sum()).tolist()
        probabilities = {self.fallback: 0.0} | dict(zip(self.mixtures, shares, strict=True))
        likeliest = max(probabilities, key=probabilities.__getitem__)
        return Scores(probabilities, f"most like the examples of {likeliest}", likeliest, familiarity)

    def distances(self, text: str) -> tuple[Floats, float]:
        """How far `text` lies on the side of each mixture, shape (K,), and the share of it that is known, 0 to 1."""
        text = normalize(text)
        total, known, length = self.intercept, 0.0, 0.0
        for ngrams, block in zip(NGRAMS, self.blocks, strict=True):
            rows, values = block.weigh(ngrams(text))
            if len(rows):
                square = float(values @ values)
                total = total + values @ block.weights[rows].astype(np.float64) / math.sqrt(square)
                familiar = values[rows < len(block.idf) - 1]
                known, length = known + float(familiar @ familiar), length + square
        return total, known / length if length else 0.0


def _cleaned(examples: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Examples by mixture, sorted by name, without blanks and repetitions."""
    cleaned = {
        mixture: list(dict.fromkeys(text.strip() for text in examples[mixture] if text.strip()))
        for mixture in sorted(examples)
    }
    cleaned = {mixture: texts for mixture, texts in cleaned.items() if texts}
    if len(cleaned) < 2:
        found = f"only {next(iter(cleaned))!r} has any" if cleaned else "none has any"
        raise ConfigError(
            f"a learned router tells mixtures apart by their examples, but {found}: "
            "give at least two mixtures examples (the fallback may be one of them), or use router kind 'fixed'"
        )
    return cleaned


def _digest(cleaned: Mapping[str, Sequence[str]], fallback: str) -> str:
    material = json.dumps([artifacts.FORMAT, cleaned, fallback])
    return hashlib.sha256(material.encode()).hexdigest()


def _scorer_of(manifest: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> LearnedScorer:
    mixtures = tuple(str(name) for name in manifest["mixtures"])
    blocks = []
    for number in range(len(NGRAMS)):
        hashes = arrays[f"hashes_{number}"]
        if hashes.dtype != np.uint64 or not hashes.size or hashes[-1] != NOWHERE or (hashes[1:] <= hashes[:-1]).any():
            raise ValueError("n-grams that are not in order")
        idf = _finite(arrays[f"idf_{number}"], np.float64, (len(hashes),))
        if not 1.0 <= idf.min() <= idf.max() <= LARGEST:
            raise ValueError("an n-gram that does not count, or that alone does")
        weights = _finite(arrays[f"weights_{number}"], np.float16, (len(hashes), len(mixtures)))
        blocks.append(Block(hashes, idf, weights))
    threshold, scale = float(manifest["threshold"]), float(manifest["scale"])
    if not (len(set(mixtures)) == len(mixtures) >= 2 and 0.0 <= threshold <= 1.0 and 0.0 < scale <= LARGEST):
        raise ValueError("mixtures, threshold or scale out of range")
    intercept = _finite(arrays["intercept"], np.float64, (len(mixtures),))
    if np.abs(intercept).max() > LARGEST:
        raise ValueError("a mixture that all belongs to")
    return LearnedScorer(
        mixtures=mixtures,
        fallback=str(manifest["fallback"]),
        threshold=threshold,
        scale=scale,
        digest=str(manifest["digest"]),
        blocks=tuple(blocks),
        intercept=intercept,
    )


def _finite(array: NDArray[Any], dtype: type[np.floating[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.shape != shape or array.dtype != dtype or not np.isfinite(array).all():
        raise ValueError(f"an array of shape {array.shape} where finite numbers of shape {shape} belong")
    return array
