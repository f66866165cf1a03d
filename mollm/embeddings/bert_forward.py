"""The forward pass of a small BERT, with numpy alone.

No token is spent on padding: the tokens of all texts of a batch stand below each other in one matrix, and only the
attention, which must not look from one text into the next, takes it apart by texts of equal length.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mollm.embeddings.base import Vectors

Pair: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights (in, out) and bias of a linear map, or the gain and bias of a normalization."""

CONFIG, WEIGHTS = "config.json", "model.safetensors"
BATCH = 1024
"""Tokens that are computed at once: with fewer the weights are read more often, with more the states fit no cache."""
MOST = {"hidden_size": 4096, "num_hidden_layers": 48, "intermediate_size": 16384, "vocab_size": 1 << 20}
LARGEST = 1e4
"""Of the weights that are read; trained ones stay below 100."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One of the encoder's layers."""

    inputs: Pair
    """Queries, keys and values in one; the queries are divided by the root of a head's width."""
    mixed: Pair
    mixed_norm: Pair
    up: Pair
    down: Pair
    norm: Pair


@dataclass(frozen=True, slots=True)
class Bert:
    """Token numbers become vectors of width d."""

    heads: int
    epsilon: np.float32
    words: NDArray[np.floating[Any]]
    """Shape (vocabulary, d), as precise as the file has it."""
    positions: NDArray[np.float32]
    """Shape (longest text, d), with the one type of token that there is added."""
    norm: Pair
    layers: tuple[Layer, ...]

    @classmethod
    def read(cls, folder: Path) -> Bert:
        """Read `config.json` and `model.safetensors`, which nobody vouches for.

        Raises:
            OSError: One of them cannot be read.
            LookupError, TypeError, ValueError, OverflowError: They do not make an encoder.
        """
        from safetensors import SafetensorError, safe_open

        config = json.loads((folder / CONFIG).read_text("utf-8"))
        sizes = {name: _size(config, name, most) for name, most in MOST.items()}
        heads = _size(config, "num_attention_heads", sizes["hidden_size"])
        epsilon = float(config["layer_norm_eps"])
        if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
            raise ValueError("an encoder of another kind than BERT with exact GELU")
        if sizes["hidden_size"] % heads or not 0.0 < epsilon < 1.0:
            raise ValueError("its heads do not divide its width, or its epsilon is out of range")
        try:
            with safe_open(folder / WEIGHTS, framework="numpy") as file:
                return _assemble(_Reader(file.get_tensor, sizes["hidden_size"], sizes["intermediate_size"]), config)
        except SafetensorError as error:
            raise ValueError(str(error)) from error

    def vectors(self, texts: Sequence[Sequence[int]]) -> Vectors:
        """Turn texts, each at least one token, into the means of their tokens' states, of length 1: shape (n, d)."""
        found = np.empty((len(texts), self.words.shape[1]), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        start = tokens = 0
        for end, number in enumerate(order):
            tokens += len(texts[number])
            if tokens > BATCH and end > start:
                found[order[start:end]] = self._pooled([texts[i] for i in order[start:end]])
                start, tokens = end, len(texts[number])
        if order:
            found[order[start:]] = self._pooled([texts[i] for i in order[start:]])
        return found

    def _pooled(self, texts: Sequence[Sequence[int]]) -> Vectors:
        """Vectors of texts that are sorted by length."""
        groups = _groups([len(text) for text in texts])
        state = self._states(texts, groups)
        means = [state[tokens].reshape(count, -1, state.shape[1]).mean(axis=1) for tokens, count in groups]
        pooled = np.concatenate(means)
        pooled /= np.sqrt(np.einsum("ij,ij->i", pooled, pooled))[:, None] + np.float32(1e-12)
        return pooled

    def _states(self, texts: Sequence[Sequence[int]], groups: Sequence[Group]) -> Vectors:
        places = np.concatenate([np.arange(len(text)) for text in texts])
        state = self.words[np.concatenate(texts)].astype(np.float32)
        state += self.positions[places]
        self._normalize(state, self.norm)
        for layer in self.layers:
            mixed = _linear(self._attention(_linear(state, layer.inputs), groups), layer.mixed)
            mixed += state
            self._normalize(mixed, layer.mixed_norm)
            inner = _linear(mixed, layer.up)
            _gelu(inner)
            state = _linear(inner, layer.down)
            state += mixed
            self._normalize(state, layer.norm)
        return state

    def _attention(self, inputs: Vectors, groups: Sequence[Group]) -> Vectors:
        width = inputs.shape[1] // 3
        found = np.empty((len(inputs), width), dtype=np.float32)
        for tokens, count in groups:
            parts = inputs[tokens].reshape(count, -1, 3, self.heads, width // self.heads)
            queries, keys, values = parts.transpose(2, 0, 3, 1, 4)
            shares = queries @ keys.transpose(0, 1, 3, 2)
            shares -= shares.max(axis=-1, keepdims=True)
            np.exp(shares, out=shares)
            shares /= shares.sum(axis=-1, keepdims=True)
            # A group's rows lie together, so that this reshape is a view, which is written to.
            found[tokens].reshape(count, -1, self.heads, width // self.heads)[...] = (shares @ values).swapaxes(1, 2)
        return found

    def _normalize(self, state: Vectors, norm: Pair) -> None:
        state -= state.mean(axis=1, keepdims=True)
        variance = np.einsum("ij,ij->i", state, state) / np.float32(state.shape[1])
        state *= (np.float32(1.0) / np.sqrt(variance + self.epsilon))[:, None]
        state *= norm[0]
        state += norm[1]


Group: TypeAlias = tuple[slice, int]
"""The rows of the tokens of texts of one length, and how many texts."""


def _groups(lengths: Sequence[int]) -> list[Group]:
    """Take ascending lengths apart."""
    groups: list[Group] = []
    start = 0
    for length, count in zip(*(part.tolist() for part in np.unique(lengths, return_counts=True)), strict=True):
        groups.append((slice(start, start + length * count), count))
        start += length * count
    return groups


def _linear(state: Vectors, pair: Pair) -> Vectors:
    found = state @ pair[0]
    found += pair[1]
    return found


EDGE, STEPS = 6.0, 8192
"""Beyond `EDGE`, GELU is 0 or its argument up to 1e-8; between the edges it is this many straight lines."""
BLOCK = 1 << 14
"""Numbers that fit the cache with all that is worked out on the way."""


@cache
def _lines() -> Pair:
    """Intercept and slope of each line, and of the two beyond the edges. They are nowhere wrong by more than 1e-6."""
    ends = np.linspace(-EDGE, EDGE, STEPS + 1)
    values = np.array([x * (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0 for x in ends.tolist()])
    values[0], values[-1] = 0.0, EDGE
    slopes = np.diff(values) / np.diff(ends)
    intercepts = values[:-1] - slopes * ends[:-1]
    return (
        np.concatenate([[0.0], intercepts, [0.0]]).astype(np.float32),
        np.concatenate([[0.0], slopes, [1.0]]).astype(np.float32),
    )


def _gelu(state: Vectors) -> None:
    """Replace each x by x times the normal distribution's share below x."""
    intercepts, slopes = _lines()
    flat = state.reshape(-1)
    drafts = np.empty(min(BLOCK, len(flat)), dtype=np.float32)
    places = np.empty(len(drafts), dtype=np.intp)
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        draft, place = drafts[: len(block)], places[: len(block)]
        np.multiply(block, np.float32(STEPS / (2.0 * EDGE)), out=draft)
        draft += np.float32(STEPS / 2 + 1)
        place[...] = draft
        block *= slopes.take(place, mode="clip", out=draft)
        block += intercepts.take(place, mode="clip", out=draft)


def _size(config: dict[str, Any], name: str, most: int) -> int:
    size = config[name]
    if type(size) is not int or not 1 <= size <= most:
        raise ValueError(f"{name} {size!r:.40}, which is no number from 1 to {most}")
    return size


@dataclass(frozen=True, slots=True)
class _Reader:
    """Arrays of a file by their names, checked."""

    tensor: Callable[[str], NDArray[Any]]
    width: int
    inner: int

    def array(self, name: str, *shape: int) -> Vectors:
        return self.checked(name, *shape).astype(np.float32)

    def checked(self, name: str, *shape: int) -> NDArray[Any]:
        array = self.tensor(name)
        if array.dtype not in (np.float16, np.float32) or array.shape != shape:
            raise ValueError(f"{name}: {array.dtype} of shape {array.shape} where floats of shape {shape} belong")
        # The sum of a finite array may overflow, its extremes do not; a NaN is neither.
        if not (array.min() >= -LARGEST and array.max() <= LARGEST):
            raise ValueError(f"{name}: a number that is not finite, or above {LARGEST:g}")
        return array

    def linear(self, name: str, into: int, out: int) -> Pair:
        weights = np.ascontiguousarray(self.array(f"{name}.weight", out, into).T)
        return weights, self.array(f"{name}.bias", out)

    def norm(self, name: str) -> Pair:
        return self.array(f"{name}.weight", self.width), self.array(f"{name}.bias", self.width)


def _assemble(reader: _Reader, config: dict[str, Any]) -> Bert:
    width = reader.width
    words = reader.checked("embeddings.word_embeddings.weight", config["vocab_size"], width)
    longest = _size(config, "max_position_embeddings", 1 << 16)
    positions = reader.array("embeddings.position_embeddings.weight", longest, width)
    types = reader.array("embeddings.token_type_embeddings.weight", _size(config, "type_vocab_size", 16), width)
    heads = config["num_attention_heads"]
    layers = [_layer(reader, f"encoder.layer.{i}", heads) for i in range(config["num_hidden_layers"])]
    return Bert(
        heads=heads,
        epsilon=np.float32(config["layer_norm_eps"]),
        words=words,
        positions=positions + types[0],
        norm=reader.norm("embeddings.LayerNorm"),
        layers=tuple(layers),
    )


def _layer(reader: _Reader, name: str, heads: int) -> Layer:
    width, inner = reader.width, reader.inner
    parts = [reader.linear(f"{name}.attention.self.{part}", width, width) for part in ("query", "key", "value")]
    share = np.float32(1.0 / math.sqrt(width / heads))
    parts[0] = parts[0][0] * share, parts[0][1] * share
    return Layer(
        inputs=(np.concatenate([part[0] for part in parts], axis=1), np.concatenate([part[1] for part in parts])),
        mixed=reader.linear(f"{name}.attention.output.dense", width, width),
        mixed_norm=reader.norm(f"{name}.attention.output.LayerNorm"),
        up=reader.linear(f"{name}.intermediate.dense", width, inner),
        down=reader.linear(f"{name}.output.dense", inner, width),
        norm=reader.norm(f"{name}.output.LayerNorm"),
    )
