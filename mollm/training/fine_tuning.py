"""A small encoder, and a separator on its vectors, trained together on examples. Needs torch; what it writes does not.

The separator is fitted first, on the vectors as they are, so that the encoder is not torn apart by one that knows
nothing; then both are trained. The vectors of tokens stay as they are: few examples have few of the words.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from mollm.embeddings.bert import TOKENIZER, BertEmbedder, load_tokenizer, token_numbers
from mollm.embeddings.bert_forward import CONFIG, WEIGHTS
from mollm.training.bert_torch import Encoder
from mollm.training.course import Course

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mollm.routing.calibration import Ints
    from mollm.routing.features import Floats
    from mollm.training.course import Tell

BATCH = 32
TOKENS = 64
"""Of a text, while it is learned from; the beginning says what it is about, and the time grows with the longest."""
RATE, SEPARATOR_RATE = 1e-4, 1e-3
WARM_UP = 0.1
"""Share of the steps in which the rates rise; then they fall to 0."""
FROZEN = 2
"""Lowest layers that stay as they are, which takes a quarter less time."""
SHARPNESS = 20.0
"""What the products of unit vectors are multiplied by, so that weights of their own size separate them."""
PENALTY = 30.0
"""`C` of the separator that is fitted first; 10 to 100 differ by half a point on CLINC150's validation split."""
AHEAD = 32
"""Batches that are put together at once, of texts of like length."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """An encoder in a folder, and the separator on its vectors."""

    embedder: BertEmbedder
    weights: Floats
    """Shape (d, K); log-probabilities are `SHARPNESS` times what it says of a vector."""
    intercept: Floats
    """Shape (K,)."""


def fine_tune(
    texts: Sequence[str],
    labels: Ints,
    base: BertEmbedder,
    folder: Path,
    *,
    epochs: int,
    tell: Tell,
) -> Tuned:
    """Train an encoder and a separator, and write the encoder to `folder`, in half precision.

    Args:
        texts: The examples.
        labels: Which mixture each belongs to, 0 to K-1, none of them unused.
        base: The encoder to begin with.
        folder: Made if missing.
        epochs: How many times each example is seen.
        tell: Is told of the progress, a line after every batch.

    Raises:
        ConfigError: `base` cannot be read.
        OSError: The folder cannot be written.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = load_tokenizer(base.folder)
        tokenizer.enable_truncation(TOKENS)
        tokens = [token_numbers(tokenizer, text) for text in texts]
        known = torch.tensor(labels, device=device)
        tell(f"separating the vectors of {len(texts):,} examples as they are")
        separator = _separate(torch.tensor(base.embed(texts), device=device), known)
        encoder = _read(base.folder).to(device)
        _train(encoder, separator, tokens, known, epochs, tell)
    _write(encoder, base.folder, folder)
    return Tuned(
        embedder=BertEmbedder("transformer", folder),
        weights=separator.weight.detach().cpu().numpy().T.astype(np.float64),
        intercept=separator.bias.detach().cpu().numpy().astype(np.float64),
    )


def _read(folder: Path) -> Encoder:
    encoder = Encoder(json.loads((folder / CONFIG).read_text("utf-8")))
    arrays = load_file(folder / WEIGHTS)
    wanted = encoder.state_dict().keys()
    encoder.load_state_dict({name: array.float() for name, array in arrays.items() if name in wanted})
    encoder.embeddings.requires_grad_(False)
    for layer in encoder.encoder["layer"][:FROZEN]:
        layer.requires_grad_(False)
    return encoder


def _separate(vectors: Tensor, known: Tensor) -> nn.Linear:
    """Fit a penalized softmax on vectors that do not change."""
    separator = nn.Linear(vectors.shape[1], int(known.max()) + 1, device=vectors.device)
    nn.init.zeros_(separator.weight)
    nn.init.zeros_(separator.bias)
    optimizer = torch.optim.LBFGS(separator.parameters(), max_iter=100, line_search_fn="strong_wolfe")
    penalty = SHARPNESS**2 / (2.0 * PENALTY * len(known))

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(SHARPNESS * separator(vectors), known)
        value = value + penalty * separator.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return separator


def _train(
    encoder: Encoder,
    separator: nn.Linear,
    tokens: Sequence[Sequence[int]],
    known: Tensor,
    epochs: int,
    tell: Tell,
) -> None:
    learned = [weights for weights in encoder.parameters() if weights.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [weights for weights in learned if weights.ndim > 1], "lr": RATE, "weight_decay": 0.01},
        {"params": [weights for weights in learned if weights.ndim == 1], "lr": RATE, "weight_decay": 0.0},
        {"params": separator.parameters(), "lr": SEPARATOR_RATE, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups)
    each = math.ceil(len(tokens) / BATCH)
    steps = epochs * each
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (WARM_UP * steps), (steps - step) / ((1.0 - WARM_UP) * steps))
    )
    encoder.train()
    chance = random.Random(0)  # noqa: S311 - no secret
    course = Course(epochs, each)
    for _ in range(epochs):
        for batch in _batches(tokens, chance):
            scores = SHARPNESS * separator(encoder([tokens[number] for number in batch]))
            loss = functional.cross_entropy(scores, known[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            schedule.step()
            tell(course.after(loss.item()))


def _batches(tokens: Sequence[Sequence[int]], chance: random.Random) -> Iterator[list[int]]:
    """All texts in batches by chance, each of texts of like length."""
    numbers = list(range(len(tokens)))
    chance.shuffle(numbers)
    batches = []
    for start in range(0, len(numbers), BATCH * AHEAD):
        pool = sorted(numbers[start : start + BATCH * AHEAD], key=lambda number: len(tokens[number]))
        batches += [pool[first : first + BATCH] for first in range(0, len(pool), BATCH)]
    chance.shuffle(batches)
    yield from batches


def _write(encoder: Encoder, base: Path, folder: Path) -> None:
    """Write the encoder as `BertEmbedder` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: array.detach().cpu().half().contiguous() for name, array in encoder.state_dict().items()}
    (folder / WEIGHTS).write_bytes(save(arrays))
    for name in (CONFIG, TOKENIZER):
        shutil.copyfile(base / name, folder / name)
