"""The scorer that learns from examples of each mixture's questions.

A model (`models.py`) that was fitted on them, calibrated, with thresholds under which it does not know. Over word and
character n-grams scoring takes numpy and a tenth of a millisecond; fitting takes scikit-learn and seconds, so a fitted
scorer is kept, by the digest of what it was fitted on, and that of the packaged mixtures comes with them.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np

from mollm.embeddings.pledged import PledgedEmbedder
from mollm.errors import ConfigError, RunError
from mollm.routing import artifacts, versions
from mollm.routing.base import Scores
from mollm.routing.calibration import FALSE_ALARMS, calibrate, logistic, pick_second, pick_thresholds, softmax
from mollm.routing.decision import Decision
from mollm.routing.features import shortened
from mollm.routing.models import LARGEST, Model, NgramModel
from mollm.routing.naming import OF_FILE, with_names
from mollm.routing.vector_model import BothModel, VectorModel
from mollm.routing.vectors import vector_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from mollm.calling.calls import Calls
    from mollm.embeddings.base import Embedder
    from mollm.routing.calibration import Ints
    from mollm.routing.features import Floats
    from mollm.routing.fitting import Crossed
    from mollm.types import Question

ENCODER = "encoder"
"""Folder, in that of a router, of the encoder that was fine-tuned for it."""

MODELS: dict[str, type[Model]] = {model.kind: model for model in (NgramModel, VectorModel, BothModel)}
"""What may have been learned, by the kind that a manifest names."""

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
    """The mixture that answers what no other one knows; may be one of `mixtures`."""
    threshold: float
    """Probability, 0 to 1, that a pick must reach."""
    familiarity: float
    """Familiarity, 0 to 1, that a question must reach; 95 % of all (held-out) questions reach both."""
    second: float
    """How well, from 0 to 1, a second mixture suits at most 5 % of all (held-out) questions, which are for one."""
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
        cls,
        examples: Mapping[str, Sequence[str]],
        *,
        fallback: str,
        false_alarms: float = FALSE_ALARMS,
        method: Method = "linear",
        named: int = 0,
        embedder: Embedder | None = None,
    ) -> LearnedScorer:
        """Fit on questions by mixture; blank and repeated ones are dropped, mixtures without any ignored.

        Args:
            examples: Mixture to questions; some hundred per mixture make a good router, 20 a usable one.
            fallback: The mixture that answers what no other one knows; examples of its own are welcome.
            false_alarms: Share of all these questions, 0 to 1, that both thresholds together may call into doubt.
            named: The mixtures' names may stand in questions, and are to say little: of so many examples, one is
                changed for it (see `naming`). 0: none.
            method: `linear`, `naive-bayes`, or with an embedder `embeddings` or `both`.
            embedder: Makes the vectors that these two are fitted on.

        Raises:
            ConfigError: Fewer than two mixtures have examples, scikit-learn is not installed, or the embedder cannot be
                used.
            RunError: The embedder failed.
        """
        fit = _way(method, embedder)
        return cls.fit_by(
            fit, examples, method=method, fallback=fallback, false_alarms=false_alarms, named=named, embedder=embedder
        )

    @classmethod
    def fit_by(
        cls,
        fit: Callable[[Sequence[str], Ints], Crossed],
        examples: Mapping[str, Sequence[str]],
        *,
        method: Method,
        fallback: str,
        false_alarms: float = FALSE_ALARMS,
        named: int = 0,
        embedder: Embedder | None = None,
    ) -> LearnedScorer:
        """Like `fit`, by a way of one's own to make a model of texts and their labels, 0 to K-1."""
        cleaned = _cleaned(examples)
        labels = np.repeat(np.arange(len(cleaned)), [len(texts) for texts in cleaned.values()])
        read = with_names(cleaned, named) if named else cleaned
        crossed = fit([text for texts in read.values() for text in texts], labels)
        scores, known = crossed.scores[crossed.held_out], labels[crossed.held_out]
        scale = calibrate(scores, known)
        likeliest = softmax(scores * scale).max(axis=1)
        threshold, familiarity = pick_thresholds(likeliest, crossed.familiarity[crossed.held_out], false_alarms)
        return cls(
            mixtures=tuple(cleaned),
            fallback=fallback,
            second=pick_second(logistic(scores), false_alarms),
            threshold=threshold,
            familiarity=familiarity,
            scale=scale,
            method=method,
            digest=_digest(cleaned, fallback, embedder),
            model=crossed.model,
            embedder=embedder if crossed.model.needs_vector else None,
        )

    @classmethod
    def of_examples(
        cls, examples: Mapping[str, Sequence[str]], *, fallback: str, embedder: Embedder | None = None
    ) -> LearnedScorer:
        """Fit as the examples in a configuration are: `linear`, with an embedder `both`, and `named`; raises as it."""
        method: Method = "linear" if embedder is None else "both"
        return cls.fit(examples, fallback=fallback, method=method, embedder=embedder, named=OF_FILE)

    @classmethod
    def cached(
        cls,
        examples: Mapping[str, Sequence[str]],
        *,
        fallback: str,
        shipped: Path | None = None,
        embedder: Embedder | None = None,
    ) -> LearnedScorer:
        """Like `of_examples`, but read what was fitted before: in `shipped`, or in the cache folder.

        The cache is a convenience: what is missing, unreadable, changed or cannot be written only costs a new fit.
        """
        digest = _digest(_cleaned(examples), fallback, embedder)
        routers = artifacts.cache_folder()
        for folder in (shipped, routers / digest if routers else None):
            if folder is not None:
                with suppress(ConfigError):
                    return cls.load(folder, digest=digest, embedder=embedder)
        scorer = cls.of_examples(examples, fallback=fallback, embedder=embedder)
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
            "second": self.second,
            "scale": self.scale,
            "digest": self.digest,
        }
        if self.embedder is not None:
            manifest["embeddings"] = {"name": self.embedder.name, "digest": self.embedder.digest}
        artifacts.write(Path(folder), manifest, self.model.arrays())

    @classmethod
    def load(cls, folder: str | Path, *, digest: str | None = None, embedder: Embedder | None = None) -> LearnedScorer:
        """Read a scorer written by `save`.

        Args:
            folder: Where it lies; of a folder of versions, the one in force is read.
            digest: One with another digest is refused, where this is given.
            embedder: Makes vectors, for a router that was trained on vectors; None: what it was trained with, where a
                package carries that.

        Raises:
            ConfigError: There is no router in `folder`, not one that can be used as it is, or one that was trained on
                the vectors of another embedder.
        """
        folder = versions.in_force(Path(folder))
        manifest, arrays = artifacts.read(folder, digest)
        try:
            scorer = _scorer_of(manifest, arrays)
            if not scorer.model.needs_vector:
                return scorer
            return replace(scorer, embedder=_embedder_of(manifest["embeddings"], Path(folder), scorer.method, embedder))
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"{folder}: its contents do not make a router ({error}); train it again") from error

    def decision(self, threshold: float | Literal["auto"] = "auto") -> Decision:
        """Decide with the thresholds that were fitted, or with one's own. Raises `ConfigError` as `Decision`."""
        likely = self.threshold if threshold == "auto" else threshold
        return Decision(self.fallback, likely, familiarity=self.familiarity, second=self.second)

    async def score(self, question: Question, calls: Calls) -> Scores:
        """Score the last message of a question; without an opinion where its vector cannot be had in time."""
        if self.embedder is None:
            return self.scores(question.last)
        vector = await vector_of(question.last, self.embedder, calls)
        if isinstance(vector, Scores):
            return vector
        return self._scores(*self.model.measure(question.last, vector))

    def scores(self, text: str) -> Scores:
        """Score a text; without anything known in it every mixture is as likely as any other.

        Raises:
            RunError, ConfigError: Its vector cannot be had.
        """
        return self.scores_of([text])[0]

    def scores_of(self, texts: Sequence[str]) -> list[Scores]:
        """Score many texts, whose vectors, if it needs them, are made together."""
        if self.embedder is None:
            return [self._scores(*self.model.measure(text)) for text in texts]
        vectors = self.embedder.embed([shortened(text) for text in texts]).astype(np.float64)
        return [self._scores(*self.model.measure(*pair)) for pair in zip(texts, vectors, strict=True)]

    def _scores(self, raw: Floats, familiarity: float) -> Scores:
        if not familiarity:
            everyone = dict.fromkeys((self.fallback, *self.mixtures))
            equal = dict.fromkeys(everyone, 1.0 / len(everyone))
            return Scores(equal, "nothing in it is known from any example", familiarity=0.0)
        shares = softmax(raw * self.scale).tolist()
        probabilities = {self.fallback: 0.0} | dict(zip(self.mixtures, shares, strict=True))
        likeliest = max(probabilities, key=probabilities.__getitem__)

        def suits(mixture: str) -> float:
            return float(logistic(raw)[self.mixtures.index(mixture)]) if mixture in self.mixtures else 0.0

        return Scores(probabilities, f"most like the examples of {likeliest}", likeliest, familiarity, suits)


def _way(method: Method, embedder: Embedder | None) -> Callable[[Sequence[str], Ints], Crossed]:
    """How a method makes a model of texts and labels. Raises `ConfigError` for one that cannot be had like this."""
    from mollm.routing import fitting, fitting_vectors

    ways = {"linear": fitting.fit, "naive-bayes": fitting.fit_naive_bayes}
    with_vectors = {"embeddings": fitting_vectors.fit, "both": fitting_vectors.fit_both}
    if method in ways:
        return ways[method]
    if method not in with_vectors:
        raise ConfigError(f"the method {method!r} is not one of these: {', '.join([*ways, *with_vectors])}")
    if embedder is None:
        raise ConfigError(f"the method {method!r} needs vectors; say under `embeddings` where they come from")
    return partial(with_vectors[method], embedder=embedder)


def _embedder_of(trained: Any, folder: Path, method: Method, given: Embedder | None) -> Embedder:
    """The embedder of a router that was trained on vectors, held to those."""
    name, digest = str(trained["name"]), str(trained["digest"])
    if method == "transformer":
        from mollm.embeddings.bert import BertEmbedder

        given = BertEmbedder("transformer", folder / ENCODER)
    elif given is None:
        from mollm.embeddings.factory import PACKAGED

        if name not in PACKAGED:
            raise ConfigError(
                f"{folder}: trained on the vectors of {name!r}; say under `embeddings` where they come from"
            )
        given = PACKAGED[name]()
    try:
        pledged = PledgedEmbedder(given, name, digest)
        with suppress(RunError):  # an address that does not answer now is compared when it does
            pledged.check()
    except ConfigError as error:
        raise ConfigError([f"{folder}: {problem}" for problem in error.problems]) from error
    return pledged


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


def _digest(cleaned: Mapping[str, Sequence[str]], fallback: str, embedder: Embedder | None) -> str:
    vectors = [] if embedder is None else [embedder.name, embedder.digest]
    material = json.dumps([artifacts.FORMAT, cleaned, fallback, *vectors])
    return hashlib.sha256(material.encode()).hexdigest()


def _scorer_of(manifest: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> LearnedScorer:
    mixtures = tuple(str(name) for name in manifest["mixtures"])
    threshold, familiarity, second = (float(manifest[key]) for key in ("threshold", "familiarity", "second"))
    scale = float(manifest["scale"])
    shares = all(0.0 <= share <= 1.0 for share in (threshold, familiarity, second))
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
        second=second,
        scale=scale,
        method=method,
        digest=str(manifest["digest"]),
        model=MODELS[manifest["model"]].read(arrays, len(mixtures)),
    )
