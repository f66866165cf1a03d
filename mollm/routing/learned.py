"""The scorer that learns from examples of each mixture's questions.

A model (`models.py`) that was fitted on them, calibrated, with thresholds under which it does not know. Over word and
character n-grams scoring takes numpy and a tenth of a millisecond; fitting takes scikit-learn and seconds, so a fitted
scorer is kept, by the digest of what it was fitted on, and that of the packaged mixtures comes with them.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np

from mollm.errors import ConfigError
from mollm.routing import artifacts
from mollm.routing.base import Scores
from mollm.routing.calibration import FALSE_ALARMS, calibrate, pick_threshold, softmax
from mollm.routing.decision import Decision
from mollm.routing.models import LARGEST, MODELS, Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mollm.calling.calls import Calls
    from mollm.embeddings.base import Embedder
    from mollm.routing.features import Floats
    from mollm.types import Question

Method: TypeAlias = Literal["naive-bayes", "linear", "embeddings", "both", "transformer"]
"""How a router may be trained."""


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
    familiarity: float
    """Familiarity from 0 to 1 that 95 % of all (held-out) questions reach."""
    scale: float
    """Turns raw scores into logits; fitted on held-out examples."""
    method: Method
    """How it was trained."""
    digest: str
    """Of what it was fitted on."""
    model: Model
    embedder: Embedder | None = None
    """Whose vectors the model was fitted on, if it needs vectors."""

    @classmethod
    def fit(
        cls, examples: Mapping[str, Sequence[str]], *, fallback: str, false_alarms: float = FALSE_ALARMS
    ) -> LearnedScorer:
        """Fit on questions by mixture; blank and repeated ones are dropped, mixtures without any ignored.

        Args:
            examples: Mixture to questions; some hundred per mixture make a good router, 20 a usable one.
            fallback: The mixture that answers what no other one knows; examples of its own are welcome.
            false_alarms: Share of all these questions, 0 to 1, that either threshold may call into doubt.

        Raises:
            ConfigError: Fewer than two mixtures have examples, or scikit-learn is not installed.
        """
        from mollm.routing import fitting

        cleaned = _cleaned(examples)
        mixtures = tuple(cleaned)
        labels = np.repeat(np.arange(len(cleaned)), [len(texts) for texts in cleaned.values()])
        crossed = fitting.fit([text for texts in cleaned.values() for text in texts], labels)
        scores, known = crossed.scores[crossed.held_out], labels[crossed.held_out]
        scale = calibrate(scores, known)
        return cls(
            mixtures=mixtures,
            fallback=fallback,
            threshold=pick_threshold(softmax(scores * scale).max(axis=1), false_alarms),
            familiarity=pick_threshold(crossed.familiarity[crossed.held_out], false_alarms),
            scale=scale,
            method="linear",
            digest=_digest(cleaned, fallback),
            model=crossed.model,
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
        manifest = {
            "method": self.method,
            "model": self.model.kind,
            "mixtures": list(self.mixtures),
            "fallback": self.fallback,
            "threshold": self.threshold,
            "familiarity": self.familiarity,
            "scale": self.scale,
            "digest": self.digest,
        }
        artifacts.write(Path(folder), manifest, self.model.arrays())

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
        """Decide with the thresholds that were fitted, or with one's own. Raises `ConfigError` as `Decision`."""
        likely = self.threshold if threshold == "auto" else threshold
        return Decision(self.fallback, likely, familiarity=self.familiarity)

    async def score(self, question: Question, calls: Calls) -> Scores:  # noqa: ARG002 - nobody is called
        """Score the last message of a question."""
        if self.embedder is None:
            return self.scores(question.last)
        [vector] = await self.embedder.aembed([question.last])
        return self._scores(*self.model.measure(question.last, vector))

    def scores(self, text: str) -> Scores:
        """Score a text; without anything known in it every mixture is as likely as any other."""
        vector = None if self.embedder is None else self.embedder.embed([text])[0]
        return self._scores(*self.model.measure(text, vector))

    def _scores(self, raw: Floats, familiarity: float) -> Scores:
        if not familiarity:
            everyone = dict.fromkeys((self.fallback, *self.mixtures))
            equal = dict.fromkeys(everyone, 1.0 / len(everyone))
            return Scores(equal, "nothing in it is known from any example", familiarity=0.0)
        shares = softmax(raw * self.scale).tolist()
        probabilities = {self.fallback: 0.0} | dict(zip(self.mixtures, shares, strict=True))
        likeliest = max(probabilities, key=probabilities.__getitem__)
        return Scores(probabilities, f"most like the examples of {likeliest}", likeliest, familiarity)


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
    threshold, familiarity, scale = (float(manifest[key]) for key in ("threshold", "familiarity", "scale"))
    shares = 0.0 <= threshold <= 1.0 and 0.0 <= familiarity <= 1.0
    if not (len(set(mixtures)) == len(mixtures) >= 2 and shares and 0.0 < scale <= LARGEST):
        raise ValueError("mixtures, thresholds or scale out of range")
    method = manifest["method"]
    if method not in get_args(Method):
        raise ValueError(f"the method {method!r:.40}")
    return LearnedScorer(
        mixtures=mixtures,
        fallback=str(manifest["fallback"]),
        threshold=threshold,
        familiarity=familiarity,
        scale=scale,
        method=method,
        digest=str(manifest["digest"]),
        model=MODELS[manifest["model"]].read(arrays, len(mixtures)),
    )
