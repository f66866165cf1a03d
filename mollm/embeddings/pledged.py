"""The vectors that something was trained with, and no others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mollm.embeddings.signs import same
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.embeddings.base import Embedder, Vectors


class PledgedEmbedder:
    """An embedder that gives no vectors unless they are those of the digest, which it finds out with the first.

    An address that does not answer now can be asked later, so the digest is not compared when this is made.
    """

    def __init__(self, embedder: Embedder, name: str, digest: str) -> None:
        """Take an embedder for what was trained on the vectors of another, or its own.

        Args:
            embedder: Makes the vectors.
            name: What the embedder was called whose vectors were trained on.
            digest: Its digest.

        Raises:
            ConfigError: The embedder has another name.
        """
        if embedder.name != name:
            raise ConfigError(f"trained on the vectors of {name!r}, and {embedder.name!r} is configured")
        self._embedder, self._digest, self._is_same = embedder, digest, False

    @property
    def name(self) -> str:
        """Of the embedder."""
        return self._embedder.name

    @property
    def digest(self) -> str:
        """What was trained on has this."""
        return self._digest

    def check(self) -> None:
        """Compare the digests. Raises `ConfigError` if they are of different vectors, and as the embedder."""
        if not self._is_same:
            found = self._embedder.digest
            if not same(found, self._digest):
                trained, now = f"{self.name!r} {self._digest[:12]}", f"{self.name!r} {found[:12]}"
                raise ConfigError(f"trained on the vectors of {trained}, and those here are of {now}; train it again")
            self._is_same = True

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As the embedder. Raises `ConfigError` if the vectors are others."""
        self.check()
        return self._embedder.embed(texts)

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """As the embedder. Raises `ConfigError` if the vectors are others."""
        if not self._is_same:
            await asyncio.to_thread(self.check)
        return await self._embedder.aembed(texts)
