"""Scores that are not asked for twice."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.scores.base import spent_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.mixtures.scores.base import Score, Spent


class Remembered:
    """A score that says the same of the same answer of the same member, and asks a judge of it once."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self.name = score.name
        self._known: defaultdict[str, dict[tuple[str, str], float | None]] = defaultdict(dict)

    @property
    def is_exact(self) -> bool:
        """As the score says."""
        return self._score.is_exact

    def problem(self, row: Row) -> str | None:
        """As the score says."""
        return self._score.problem(row)

    async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
        """As the score says, of texts that it has not seen yet."""
        known = self._known[row.id]
        new = {who: text for who, text in texts.items() if (who, text) not in known}
        if new:
            found = await self._score.score(row, new)
            known |= {(who, text): found.get(who) for who, text in new.items()}
        return {who: known[who, text] for who, text in texts.items()}

    @property
    def spent(self) -> Spent:
        """As the score says."""
        return spent_by(self._score)

    def notes(self) -> Sequence[str]:
        """As the score says."""
        return self._score.notes()
