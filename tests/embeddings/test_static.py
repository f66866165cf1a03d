"""The vectors of the installed package wordllama."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mollm.embeddings.base import Embedder
from mollm.embeddings.static import PACKAGE, TOKENIZER, WEIGHTS, StaticEmbedder, wordllama
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    """Read once."""
    return wordllama()


def test_alike_texts_have_alike_vectors(embedder: StaticEmbedder) -> None:
    """Without a word in common; and the package is not imported for it."""
    car, brakes, nap = embedder.embed(["My car needs repair.", "The vehicle's brakes squeak.", "I sleep at noon."])

    assert car @ brakes > car @ nap + 0.1
    assert isinstance(embedder, Embedder)
    assert PACKAGE not in sys.modules


def test_vectors_have_length_one_and_blank_texts_none(embedder: StaticEmbedder) -> None:
    """Whatever stands in a text: surrogates, control characters, megabytes."""
    vectors = embedder.embed(["Hi", "\ud83d x", "\x00", "a b " * 300_000, "", " \n"])

    assert vectors.shape == (6, 256)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 1, 0, 0], abs=1e-5)


def test_an_event_loop_gets_the_same(embedder: StaticEmbedder) -> None:
    """For a question at once, for a long text from a thread."""
    texts = ["How are you?", "word " * 5000]

    assert np.array_equal(asyncio.run(embedder.aembed(texts)), embedder.embed(texts))
    assert np.array_equal(asyncio.run(embedder.aembed(texts[:1])), embedder.embed(texts[:1]))


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not there by the command that brings it, a file by its name, a broken file as such."""
    with pytest.raises(ConfigError, match=r"l2_supercat_256\.safetensors and no l2_supercat_tokenizer_config\.json"):
        StaticEmbedder(tmp_path)
    for file in (WEIGHTS, TOKENIZER):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_bytes(b"{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        StaticEmbedder(tmp_path).embed(["Hi"])
    monkeypatch.setattr("mollm.embeddings.static.PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match=r"run `.* wordllama`"):
        wordllama()
