"""Which open texts say the same, as far as their vectors tell: for agreement where there is no final answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mollm.errors import ConfigError, RunError

if TYPE_CHECKING:
    from mollm.embeddings.base import Embedder

MOST_CHARACTERS = 20_000
"""Of a text that are embedded, from its beginning."""


@dataclass(frozen=True, slots=True)
class Alike:
    """How texts are compared."""

    embedder: Embedder
    least: float
    """Cosine of the vectors, above 0 to 1, from which on two texts say the same."""

    def texts(self) -> AlikeTexts:
        """Begin with no text, as each layer does."""
        return AlikeTexts(self)


class AlikeTexts:
    """Open texts in groups that say the same.

    A text is compared with the first one of each group and joins the group of the one that it is most like: so
    whom a text agrees with hangs on no text that came after it.

    Attributes:
        failed: Why texts could not be compared; None if they could.
    """

    def __init__(self, how: Alike) -> None:
        self._how = how
        self._groups: dict[str, Any] = {}
        self.failed: str | None = None

    async def group(self, worker: str, text: str) -> str | None:
        """Return the worker whose text began the group that a text belongs to; None where that cannot be told."""
        try:
            (vector,) = await self._how.embedder.aembed([text[:MOST_CHARACTERS]])
            found = max(((float(first @ vector), who) for who, first in self._groups.items()), default=None)
        except (ConfigError, RunError, ValueError) as error:  # of an embedder of one's own, or of vectors that changed
            self.failed = f"open texts were not compared: {error}"
            return None
        if found and found[0] >= self._how.least:
            return found[1]
        if not vector.any():  # a text without a word that the embedder knows is like no other
            return None
        self._groups[worker] = vector
        return worker
