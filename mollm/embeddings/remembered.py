"""Vectors that are asked for again and again, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.embeddings.base import Embedder, Vectors


class RememberedEmbedder:
    """Makes the vectors of known texts together, with the first that is asked for; others whenever they are."""

    def __init__(self, embedder: Embedder, texts: Sequence[str]) -> None:
        """Take an embedder and the texts; nothing is embedded yet."""
        self._embedder, self._texts = embedder, list(dict.fromkeys(texts))
        self._vectors: dict[str, Vectors] = {}

    @property
    def name(self) -> str:
        """Of the embedder."""
        return self._embedder.name

    @property
    def digest(self) -> str:
        """Of the embedder."""
        return self._embedder.digest

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As the embedder."""
        if self._texts:
            self._vectors.update(zip(self._texts, self._embedder.embed(self._texts), strict=True))
            self._texts = []
        if all(text in self._vectors for text in texts):
            return np.array([self._vectors[text] for text in texts])
        return self._embedder.embed(texts)

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """As the embedder."""
        return await self._embedder.aembed(texts)
