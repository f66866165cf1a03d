"""The router that learns from examples of each mixture's questions.

A linear separator over word and character n-grams, calibrated, with a threshold under which it says that it
does not know. Deciding takes numpy and about a third of a millisecond; fitting takes scikit-learn and
seconds, so a fitted router is kept, by the digest of what it was fitted on.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np

from mollm.errors import ConfigError
from mollm.routing.features import NGRAMS, Block, Floats, normalise
from mollm.types import Route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.calling.calls import Calls

Threshold: TypeAlias = float | Literal["auto"]

FORMAT = 2
"""Raise it when a file of before would be read, or would decide, differently."""
MANIFEST, ARRAYS = "router.json", "router.safetensors"
KEPT = 16
"""Fitted routers that stay in the cache folder, the latest."""


@dataclass(frozen=True, slots=True)
class LearnedRouter:
    """Sends a question to the mixture whose examples it resembles; make one with `fit`, `cached` or `load`."""

    kind: ClassVar[str] = "learned"

    mixtures: tuple[str, ...]
    """Mixtures with examples, sorted; K in number."""
    fallback: str
    """Answers when no other mixture reaches the threshold; may be one of `mixtures`."""
    threshold: float
    """Probability from 0 to 1 that a mixture other than the fallback must reach."""
    scale: float
    """Turns scores into logits; fitted on held-out examples."""
    digest: str
    """Of what it was fitted on."""
    blocks: tuple[Block, ...]
    weights: tuple[Floats, ...]
    """Shape (d + 1, K) for each block; the last row, of unknown n-grams, is zero."""
    intercept: Floats
    """Shape (K,)."""

    @classmethod
    def fit(
        cls, examples: Mapping[str, Sequence[str]], *, fallback: str, threshold: Threshold = "auto"
    ) -> LearnedRouter:
        """Fit on questions by mixture; blank and repeated ones are dropped, mixtures without any ignored.

        Args:
            examples: Mixture to questions; some hundred per mixture make a good router, 20 a usable one.
            fallback: The mixture that answers what no other one knows; examples of its own are welcome.
            threshold: `auto` sends 5 % of the other mixtures' own (held-out) questions to the fallback.

        Raises:
            ConfigError: Fewer than two mixtures have examples, or the threshold is not between 0 and 1.
        """
        from mollm.routing import fitting

        _check_threshold(threshold)
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
            threshold=fitted.threshold if threshold == "auto" else threshold,
            scale=fitted.scale,
            digest=_digest(cleaned, fallback, threshold),
            blocks=tuple(map(Block.of, NGRAMS, fitted.vocabularies, fitted.idfs)),
            weights=tuple(_padded(weights) for weights in fitted.weights),
            intercept=fitted.intercept,
        )

    @classmethod
    def cached(
        cls, examples: Mapping[str, Sequence[str]], *, fallback: str, threshold: Threshold = "auto"
    ) -> LearnedRouter:
        """Like `fit`, but take the router from the cache folder where the same was fitted before.

        The folder is `$MOLLM_CACHE`, else `$XDG_CACHE_HOME/mollm`, else `~/.cache/mollm`. It is a
        convenience: what is missing, unreadable, changed or cannot be written only costs a new fit.
        """
        _check_threshold(threshold)
        digest = _digest(_cleaned(examples), fallback, threshold)
        routers = _cache_folder()
        if routers is None:
            return cls.fit(examples, fallback=fallback, threshold=threshold)
        folder = routers / digest
        with suppress(ConfigError):
            found = cls.load(folder)
            if found.digest == digest:
                return found
        router = cls.fit(examples, fallback=fallback, threshold=threshold)
        with suppress(OSError):
            router.save(folder)
            _prune(routers)
        return router

    def save(self, folder: str | Path) -> None:
        """Write the router to `folder`, made if missing; a reader never sees half a file.

        Raises:
            OSError: The folder cannot be made or written.
        """
        from safetensors.numpy import save

        arrays: dict[str, np.ndarray[Any, Any]] = {"intercept": self.intercept}
        for number, (block, weights) in enumerate(zip(self.blocks, self.weights, strict=True)):
            text = "\n".join(block.index).encode("utf-8", "surrogatepass")
            arrays[f"ngrams_{number}"] = np.frombuffer(text, dtype=np.uint8)
            arrays[f"idf_{number}"] = block.idf
            arrays[f"weights_{number}"] = weights
        # safetensors writes the memory as it lies, and a transposed array lies column by column.
        body = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "mixtures": list(self.mixtures),
            "fallback": self.fallback,
            "threshold": self.threshold,
            "scale": self.scale,
            "digest": self.digest,
        }
        manifest["checksum"] = _checksum(manifest, body)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / ARRAYS, body)
        _write(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())

    @classmethod
    def load(cls, folder: str | Path, *, threshold: Threshold = "auto") -> LearnedRouter:
        """Read a router written by `save`; a number as `threshold` takes the place of the saved one.

        Raises:
            ConfigError: There is no router in `folder`, or not one that can be used as it is.
        """
        _check_threshold(threshold)
        folder = Path(folder)
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            body = (folder / ARRAYS).read_bytes()
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{folder}: no learned router can be read there: {error}") from error
        router = _parse(manifest, body, folder)
        return router if threshold == "auto" else replace(router, threshold=threshold)

    def scores(self, query: str) -> Floats | None:
        """How far `query` lies on the side of each mixture, shape (K,); None if no n-gram of it is known."""
        text = normalise(query)
        total, is_known = self.intercept, False
        for block, weights in zip(self.blocks, self.weights, strict=True):
            rows, values = block.weigh(text)
            if len(rows):
                is_known = is_known or bool(rows.min() < len(block.index))
                total = total + values @ weights[rows] / math.sqrt(values @ values)
        return total if is_known else None

    def decide(self, query: str) -> Route:
        """Decide which mixture answers `query`."""
        start = time.perf_counter()
        scores = self.scores(query)
        if scores is None:
            everyone = dict.fromkeys((*self.mixtures, self.fallback))
            mixture, probabilities = self.fallback, dict.fromkeys(everyone, 1.0 / len(everyone))
            is_sure = False
            reason = f"nothing in it is known from any example, so the fallback {self.fallback} answers"
        else:
            powers = np.exp((scores - scores.max()) * self.scale)
            shares = (powers / powers.sum()).tolist()
            probabilities = {self.fallback: 0.0} | dict(zip(self.mixtures, shares, strict=True))
            likeliest = max(probabilities, key=probabilities.__getitem__)
            mixture, reason = self._choose(likeliest, probabilities[likeliest])
            is_sure = probabilities[likeliest] >= self.threshold
        return Route(mixture, probabilities, self.kind, reason, time.perf_counter() - start, is_sure=is_sure)

    async def route(self, query: str, calls: Calls, *, before: str = "") -> Route:  # noqa: ARG002 - nobody is called
        """Decide which mixture answers `query`; where that is the fallback, joined with the message before it."""
        route = self.decide(query)
        if route.mixture != self.fallback or not before:
            return route
        joined = self.decide(f"{before}\n{query}")
        seconds = route.seconds + joined.seconds
        return replace(route if joined.mixture == self.fallback else joined, seconds=seconds)

    def _choose(self, likeliest: str, probability: float) -> tuple[str, str]:
        if likeliest == self.fallback or probability >= self.threshold:
            return likeliest, f"most like the examples of {likeliest} (probability {probability:.2f})"
        return self.fallback, (
            f"{likeliest} is likeliest, but its probability {probability:.2f} is below "
            f"the threshold {self.threshold:.2f}, so the fallback {self.fallback} answers"
        )


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


def _check_threshold(threshold: Threshold) -> None:
    if threshold != "auto" and not 0.0 <= threshold <= 1.0:
        raise ConfigError(f"threshold {threshold!r}: allowed are 'auto' and numbers from 0 to 1")


def _digest(cleaned: Mapping[str, Sequence[str]], fallback: str, threshold: Threshold) -> str:
    material = json.dumps([FORMAT, cleaned, fallback, threshold])
    return hashlib.sha256(material.encode()).hexdigest()


def _checksum(manifest: Mapping[str, Any], body: bytes) -> str:
    fields = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode() + b"\n" + body).hexdigest()


def _padded(weights: Floats) -> Floats:
    return np.vstack([weights, np.zeros((1, weights.shape[1]))])


def _parse(manifest: Any, body: bytes, folder: Path) -> LearnedRouter:
    """Build a router from what `save` wrote, trusting nothing."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ConfigError(f"{folder / MANIFEST}: not a router of format {FORMAT}; train it again")
    if manifest.get("checksum") != _checksum(manifest, body):
        raise ConfigError(f"{folder}: its files are damaged, changed or not of the same router; train it again")
    try:
        return _router_from(manifest, body)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{folder}: its contents do not make a router ({error}); train it again") from error


def _router_from(manifest: dict[str, Any], body: bytes) -> LearnedRouter:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(body)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    mixtures = tuple(str(name) for name in manifest["mixtures"])
    blocks, weights = [], []
    for number, ngrams in enumerate(NGRAMS):
        text = arrays[f"ngrams_{number}"].tobytes().decode("utf-8", "surrogatepass")
        vocabulary = text.split("\n") if text else []
        rows = len(vocabulary) + 1
        blocks.append(Block.of(ngrams, vocabulary, _shaped(arrays[f"idf_{number}"], (rows,))))
        weights.append(_shaped(arrays[f"weights_{number}"], (rows, len(mixtures))))
    threshold, scale = float(manifest["threshold"]), float(manifest["scale"])
    if not (len(set(mixtures)) == len(mixtures) >= 2 and 0.0 <= threshold <= 1.0 and 0.0 < scale < math.inf):
        raise ValueError("mixtures, threshold or scale out of range")
    return LearnedRouter(
        mixtures=mixtures,
        fallback=str(manifest["fallback"]),
        threshold=threshold,
        scale=scale,
        digest=str(manifest["digest"]),
        blocks=tuple(blocks),
        weights=tuple(weights),
        intercept=_shaped(arrays["intercept"], (len(mixtures),)),
    )


def _shaped(array: np.ndarray[Any, Any], shape: tuple[int, ...]) -> Floats:
    if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
        raise ValueError(f"an array of shape {array.shape} where finite numbers of shape {shape} belong")
    return array


def _cache_folder() -> Path | None:
    """The folder of fitted routers; None where the user has no home."""
    own, shared = os.environ.get("MOLLM_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own) / "routers"
    if shared and Path(shared).is_absolute():
        return Path(shared) / "mollm" / "routers"
    with suppress(RuntimeError):
        return Path.home() / ".cache" / "mollm" / "routers"
    return None


def _prune(routers: Path) -> None:
    """Delete all but the latest few; a reader who loses one in the middle fits again."""
    by_age = sorted(routers.iterdir(), key=lambda folder: folder.stat().st_mtime)
    for folder in by_age[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step, whoever else is writing it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
