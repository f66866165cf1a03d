"""`mollm train router --method transformer`: a router whose encoder was fine-tuned on its own examples."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from mollm.embeddings.bert import BertEmbedder, minilm
from mollm.errors import missing
from mollm.routing.calibration import FALSE_ALARMS
from mollm.routing.fitting import Crossed
from mollm.routing.learned import ENCODER, LearnedScorer
from mollm.routing.vector_model import VectorModel
from mollm.training.course import unheard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mollm.routing.calibration import Ints
    from mollm.routing.features import Floats
    from mollm.training.course import Tell

FEW = 3000
"""Examples below which there are two trainings: one that is measured, on four fifths, and one on all of them."""


def train(
    examples: Mapping[str, Sequence[str]],
    out: Path,
    *,
    fallback: str,
    false_alarms: float = FALSE_ALARMS,
    base: BertEmbedder | None = None,
    epochs: int = 3,
    tell: Tell = unheard,
) -> LearnedScorer:
    """Fine-tune an encoder with a separator on its vectors, and write the router to `out`.

    Args:
        examples: Mixture to questions.
        out: Folder of the router, made if missing; the encoder lies in a folder within.
        fallback: The mixture that answers what no other one knows.
        false_alarms: Share of these questions, 0 to 1, that either threshold may call into doubt.
        base: The encoder to begin with; MiniLM if None.
        epochs: How many times each example is seen.
        tell: Is told of the progress, a line after every batch.

    Raises:
        ConfigError: Torch or the encoder to begin with is not installed, or fewer than two mixtures have examples.
        OSError: The folder cannot be written.
    """
    if find_spec("torch") is None:
        raise missing("train", "a transformer is fine-tuned with torch, which is not installed")
    from mollm.training.fine_tuning import fine_tune

    start = base or minilm()

    def tune(texts: Sequence[str], labels: Ints, unseen: Sequence[str], tell: Tell) -> tuple[VectorModel, Floats]:
        tuned = fine_tune(texts, labels, start, out / ENCODER, epochs=epochs, tell=tell)
        tell(f"vectors of {len(texts) + len(unseen):,} examples by the trained encoder")
        seen, vectors = (tuned.embedder.embed(part).astype(np.float64) for part in (texts, unseen))
        return VectorModel.of(tuned.weights, tuned.intercept, seen, labels, vectors), vectors

    def fit(texts: Sequence[str], labels: Ints) -> Crossed:
        few = len(texts) < FEW
        apart = held_out(labels, 5 if few else 20)
        seen, unseen = ([texts[number] for number in np.flatnonzero(part).tolist()] for part in (~apart, apart))
        model, vectors = tune(seen, labels[~apart], unseen, _numbered(1, tell) if few else tell)
        scores, familiarity = np.zeros((len(texts), int(labels.max()) + 1)), np.zeros(len(texts))
        for number, text, vector in zip(np.flatnonzero(apart), unseen, vectors, strict=True):
            scores[number], familiarity[number] = model.measure(text, vector)
        if few:
            model = replace(tune(texts, labels, (), _numbered(2, tell))[0], usual=model.usual)
        return Crossed(model, scores, familiarity, apart)

    scorer = LearnedScorer.fit_by(fit, examples, method="transformer", fallback=fallback, false_alarms=false_alarms)
    scorer = replace(scorer, embedder=BertEmbedder("transformer", out / ENCODER))
    scorer.save(out)
    return scorer


def _numbered(training: int, tell: Tell) -> Tell:
    """Say of one of two trainings which it is."""
    return lambda line: tell(f"training {training} of 2, {line}")


def held_out(labels: Ints, every: int) -> NDArray[np.bool_]:
    """Choose the examples that are measured, shape (n,): one of `every` so many of a label, or one of at least five."""
    chance = np.random.default_rng(0)
    apart = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        members = chance.permutation(np.flatnonzero(labels == label))
        if len(members) >= min(5, every):
            apart[members[: max(1, len(members) // every)]] = True
    return apart
