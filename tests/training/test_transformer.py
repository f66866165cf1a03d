from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mollm.embeddings.bert import BertEmbedder
from mollm.errors import ConfigError
from mollm.routing.fitting import Crossed
from mollm.routing.learned import LearnedScorer
from mollm.routing.vector_model import VectorModel
from mollm.training.transformer import held_out, train
from tests.embeddings.encoders import arrays, write
from tests.routing.fitted import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mollm.routing.calibration import Ints

QUESTIONS = {
    "weather": ["what is the weather like in paris", "weather in paris tomorrow", "the weather tomorrow ?"],
    "french": ["translate cat into french", "translate music into french", "what is cat in french ?"],
    "music": ["play music", "play the music", "music , play"],
}


@pytest.fixture
def scorer(tmp_path: Path) -> LearnedScorer:
    """A router as `train` leaves it in a folder, of an encoder by chance and of the means of its vectors."""
    embedder = BertEmbedder("transformer", write(tmp_path / "encoder"))

    def fit(texts: Sequence[str], labels: Ints) -> Crossed:
        vectors = embedder.embed(texts).astype(np.float64)
        means = np.stack([vectors[labels == label].mean(axis=0) for label in range(3)])
        model = VectorModel.of(means.T, np.zeros(3), vectors, labels, vectors[:0])
        measured = [model.measure(text, vector) for text, vector in zip(texts, vectors, strict=True)]
        scores, familiarity = (np.array(part) for part in zip(*measured, strict=True))
        return Crossed(model, scores, familiarity, np.ones(len(texts), dtype=np.bool_))

    scorer = LearnedScorer.fit_by(fit, QUESTIONS, method="transformer", fallback="music", embedder=embedder)
    scorer.save(tmp_path)
    return scorer


@pytest.fixture
def folder(scorer: LearnedScorer, tmp_path: Path) -> Path:
    """Where that router lies."""
    assert scorer.method == "transformer"
    return tmp_path


def test_a_router_brings_its_own_encoder_along(scorer: LearnedScorer, folder: Path) -> None:
    """It is read from the folder alone, without torch, and scores as it did."""
    read = LearnedScorer.load(folder)

    for questions in QUESTIONS.values():
        for question in questions:
            now, before = read.scores(question), scorer.scores(question)
            assert now.probabilities == pytest.approx(before.probabilities, abs=1e-4)
            assert now.familiarity == pytest.approx(before.familiarity, abs=1e-3)
    assert read.scores("").familiarity == 0.0


def test_an_encoder_that_it_was_not_trained_with_is_refused_by_name(folder: Path) -> None:
    """Vectors of another one mean something else."""
    write(folder / "encoder", {name: array * np.float32(0.5) for name, array in arrays().items()})

    with pytest.raises(ConfigError, match=str(folder)):
        LearnedScorer.load(folder)


def test_a_router_whose_encoder_is_gone_says_so(folder: Path) -> None:
    """And which file is missing."""
    (folder / "encoder" / "model.safetensors").unlink()

    with pytest.raises(ConfigError, match=r"no encoder in .*model\.safetensors"):
        LearnedScorer.load(folder)


def test_a_manifest_without_its_vectors_is_refused(folder: Path) -> None:
    """Whatever else it says; its checksum is not what stands in the way."""
    scorer = LearnedScorer.load(folder)
    manifest = json.loads((folder / "router.json").read_text())
    assert manifest["embeddings"]["name"] == "transformer"
    from mollm.routing import artifacts

    fields = {key: value for key, value in manifest.items() if key not in ("embeddings", "checksum", "format")}
    artifacts.write(folder, fields, scorer.model.arrays())

    with pytest.raises(ConfigError, match=f"{folder}"):
        LearnedScorer.load(folder)


def test_without_torch_the_command_that_brings_it_is_named(tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(ConfigError, match=r"torch==\d"):
        train(EXAMPLES, tmp_path / "router", fallback="general")

    assert not (tmp_path / "router").exists()


@pytest.mark.parametrize(("counts", "every", "kept"), [([20, 5, 4, 1], 5, [4, 1, 0, 0]), ([100, 19, 4], 20, [5, 1, 0])])
def test_some_of_every_label_that_has_enough_are_measured(counts: list[int], every: int, kept: list[int]) -> None:
    """None of a label that would not have enough left."""
    labels = np.repeat(np.arange(len(counts)), counts)

    apart = held_out(labels, every)

    assert [int(apart[labels == label].sum()) for label in range(len(counts))] == kept
