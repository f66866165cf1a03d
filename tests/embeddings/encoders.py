"""A BERT of a few kilobytes, by chance, and the arithmetic of the paper: one text after the other, in double."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

WORDS = [
    *("what", "is", "the", "weather", "like", "in", "paris", "tomorrow", "translate", "cat", "into", "french"),
    *("play", "music", "##s", "##ing", "cafe", ",", "?"),
]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 16,
    "vocab_size": 32,
    "max_position_embeddings": 260,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def arrays() -> dict[str, NDArray[np.float32]]:
    """Weights by chance, named as in a file of sentence-transformers."""
    chance = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (32, 8),
        "embeddings.position_embeddings.weight": (260, 8),
        "embeddings.token_type_embeddings.weight": (2, 8),
        "embeddings.LayerNorm.weight": (8,),
        "embeddings.LayerNorm.bias": (8,),
    }
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        maps = {f"attention.self.{name}": (8, 8) for name in ("query", "key", "value")}
        maps |= {"attention.output.dense": (8, 8), "intermediate.dense": (16, 8), "output.dense": (8, 16)}
        for name, shape in maps.items():
            shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}.{name}.weight": (8,), f"{layer}.{name}.bias": (8,)}
    return {name: chance.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write(folder: Path, weights: dict[str, NDArray[Any]] | None = None, config: dict[str, Any] | None = None) -> Path:
    """Write an encoder to `folder`."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    marks = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    tokenizer.enable_padding(length=128)  # as MiniLM's own file has it
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(config or CONFIG))
    save_file(weights or arrays(), folder / "model.safetensors")
    return folder


def expected(tokens: Sequence[int]) -> NDArray[np.float64]:
    """The vector of one text."""
    weights = {name: array.astype(np.float64) for name, array in arrays().items()}

    def linear(state: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return np.asarray(state @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])

    def norm(state: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centered = state - state.mean(axis=1, keepdims=True)
        centered /= np.sqrt((centered**2).mean(axis=1, keepdims=True) + 1e-12)
        return np.asarray(centered * weights[f"{name}.weight"] + weights[f"{name}.bias"])

    state = weights["embeddings.word_embeddings.weight"][list(tokens)]
    state = state + weights["embeddings.position_embeddings.weight"][: len(tokens)]
    state = norm(state + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        query, key, value = (linear(state, f"{layer}.attention.self.{part}") for part in ("query", "key", "value"))
        heads = []
        for head in (slice(0, 4), slice(4, 8)):
            shares = np.exp(query[:, head] @ key[:, head].T / 2.0)
            heads.append(shares / shares.sum(axis=1, keepdims=True) @ value[:, head])
        mixed = linear(np.hstack(heads), f"{layer}.attention.output.dense")
        state = norm(state + mixed, f"{layer}.attention.output.LayerNorm")
        inner = linear(state, f"{layer}.intermediate.dense")
        inner = inner * np.vectorize(lambda x: (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0)(inner)
        state = norm(state + linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    mean = state.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))
