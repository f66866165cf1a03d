"""What an embedder is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Vectors = NDArray[np.float32]


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors whose products say how alike the texts are."""

    @property
    def name(self) -> str:
        """For people: `wordllama`, `minilm`, `openai/text-embedding-3-small`."""
        ...

    @property
    def digest(self) -> str:
        """Changes when the vectors do, so that what is trained on them is used with no others.

        Of the weights, where these can be read; else of the name and of the signs of a few vectors (`signs`), which do
        not depend on the address.
        """
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Turn texts into vectors of length 1, shape (n, d); a blank text becomes zeros.

        Raises:
            ConfigError: It cannot be used here at all.
            RunError: It failed.
        """
        ...

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """Like `embed`, on an event loop, which it does not block for longer than a millisecond."""
        ...
