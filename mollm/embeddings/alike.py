"""Which open texts say the same, as far as their vectors tell: for agreement where there is no final answer.

Whatever an embedder does, it costs an answer no more than a little time: what it raises and what it returns is read
here, and one that hangs is not waited for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mollm.calling.health import Breaker, Standing
from mollm.errors import MollmError

if TYPE_CHECKING:
    from mollm.embeddings.base import Embedder, Vectors

MOST_CHARACTERS = 20_000
"""Of a text that are embedded, from its beginning."""
MOST_SECONDS = 10.0
"""An embedder that takes longer is not waited for, and not asked again for a while."""
SHARE = 0.25
"""Of the time of a layer that a comparison may take: the workers are to have the most of it."""


@dataclass(frozen=True, slots=True)
class Alike:
    """How texts are compared."""

    embedder: Embedder
    least: float
    """Cosine of the vectors, above 0 to 1, from which on two texts say the same."""
    seconds: float = MOST_SECONDS
    """The most that one comparison may take."""
    breaker: Breaker = field(default_factory=lambda: Breaker(failures=1), compare=False)
    """Open after a comparison that took too long: nobody waits for the next ones."""

    def texts(self) -> AlikeTexts:
        """Begin with no text, as each layer does."""
        return AlikeTexts(self)


class AlikeTexts:
    """Open texts in groups that say the same.

    A text is compared with the first one of each group and joins the group of the one that it is most like: so
    whom a text agrees with hangs on no text that came after it. After the first one that could not be compared none
    is: what is left out would look like a text that agrees with no other.

    Attributes:
        failed: Why texts could not be compared; None if they could.
    """

    def __init__(self, how: Alike) -> None:
        self._how = how
        self._groups: dict[str, Vectors] = {}
        self.failed: str | None = None

    async def group(self, worker: str, text: str) -> str | None:
        """Return the worker whose text began the group that a text belongs to; None where that cannot be told."""
        vector = None if self.failed else await self._vector(text[:MOST_CHARACTERS])
        if vector is None or self.failed:  # of another text, meanwhile
            return None
        if any(vector.shape != first.shape for first in self._groups.values()):
            self.give_up("the vectors of two texts have different lengths")
            return None
        found = max(((float(first @ vector), who) for who, first in self._groups.items()), default=None)
        if found and found[0] >= self._how.least:
            return found[1]
        if not vector.any():  # a text without a word that the embedder knows is like no other
            return None
        self._groups[worker] = vector
        return worker

    def give_up(self, why: str) -> None:
        """Compare no further text, and say why; the first reason is the one that stays."""
        self.failed = self.failed or f"open texts were not compared: {why}"

    async def _vector(self, text: str) -> Vectors | None:
        """The vector of a text, at length 1, or why there is none in `failed`."""
        from mollm.embeddings.rows import vectors_of  # with an embedder NumPy is there; without one it is not needed

        embedder, breaker, now = self._how.embedder, self._how.breaker, asyncio.get_running_loop().time
        slow = f"{embedder.name} took longer than {self._how.seconds:g} s"
        if breaker.standing(now()) is Standing.OPEN:
            self.give_up(f"{slow}; it is asked again in {breaker.opens_in(now()):.0f} s")
            return None
        is_probe = breaker.begin(now())
        clock = asyncio.timeout(self._how.seconds)
        try:
            async with clock:
                found = await embedder.aembed([text])
        except Exception as error:  # noqa: BLE001 - an embedder of one's own may raise anything
            if clock.expired():
                breaker.failure(now(), was_probe=is_probe)
                self.give_up(slow)
            else:
                breaker.release(was_probe=is_probe)
                known = isinstance(error, MollmError)
                self.give_up(str(error) if known else f"{embedder.name} failed ({type(error).__name__})")
            return None
        except asyncio.CancelledError:
            breaker.release(was_probe=is_probe)
            raise
        breaker.success(was_probe=is_probe)
        vectors = vectors_of(found, 1)
        if vectors is None:
            self.give_up(f"{embedder.name} returned something else than one vector of numbers for each text")
            return None
        row: Vectors = vectors[0]
        return row
