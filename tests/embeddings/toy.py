"""An embedder whose vectors are the counts of a few stems: alike where texts share some, and quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mollm.embeddings.rows import unit
from mollm.errors import EmbeddingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.embeddings.base import Vectors

STEMS: tuple[str, ...] = (
    "car",
    "tyre",
    "brake",
    "oil",
    "engine",
    "batter",
    "start",
    "sleep",
    "nap",
    "snor",
    "night",
    "tired",
    "wake",
)
STEMS += ("hello", "napoleon", "bread", "capital")


class ToyEmbedder:
    """Counts stems; `failures` of its calls fail first."""

    def __init__(self, name: str = "toy", digest: str = "d1", failures: int = 0) -> None:
        self.name, self.digest, self.failures = name, digest, failures
        self.calls = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Raise `EmbeddingError` while it is to fail."""
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise EmbeddingError("toy is out of order")
        counts = [[text.lower().count(stem) for stem in STEMS] for text in texts]
        return unit(np.array(counts, dtype=np.float32).reshape(len(texts), len(STEMS)))

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """As `embed`."""
        return self.embed(texts)
