"""What judges said, kept line by line while they judge, so that nobody pays a judge twice for the same verdict."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from mollm.evaluation.mixtures.gathering.lines import Lines
from mollm.evaluation.mixtures.scores.base import Spent
from mollm.types import Usage, total_cost

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mollm.evaluation.mixtures.gathering.ceiling import Share
    from mollm.evaluation.mixtures.rows import Row

FORMAT = 1
VERDICTS = {0: 0, 1: 1, 2: 2}
"""Neither, the first and the second of two texts is better."""


class Verdicts:
    """Which of two texts is better, by who says so and by what they read; in a file or in memory alone.

    Attributes:
        is_torn: The last line was cut off, and dropped.
    """

    def __init__(self) -> None:
        """Nothing is kept in a file."""
        self.is_torn = False
        self._known: dict[tuple[str, str], int] = {}
        self._count = Counter[str]()
        self._spent: defaultdict[str, Spent] = defaultdict(Spent)
        self._lines: Lines | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Go on with the verdicts in a file, or begin one. Raises `DataError`, as a journal."""
        found = cls()
        head = {"mollm": "verdicts", "format": FORMAT}
        found._lines = Lines.open(path, head, lambda _: "another version of mollm", found._take)
        found.is_torn = found._lines.is_torn
        return found

    @staticmethod
    def key(row: Row, pair: Sequence[str]) -> str:
        """A digest of what a judge reads: the question, its reference, and two texts in their order."""
        return _digest([row.id, row.question, row.reference, *pair])

    def of(self, judge: str) -> int:
        """How many verdicts of a judge there are."""
        return self._count[judge]

    def spent(self, judge: str) -> Spent:
        """What all of a judge's calls took, those of earlier starts and those without a verdict included."""
        return self._spent[judge]

    def said(self, judge: str, key: str) -> int | None:
        """What a judge said of a pair; None if it said nothing yet."""
        return self._known.get((judge, key))

    def add(self, judge: str, key: str, row: Row, better: int | None, share: Share) -> None:
        """Keep a verdict, or that calls brought none. Raises `DataError` if it cannot be written.

        Args:
            judge: A digest of who judges, and how.
            key: Of the pair.
            row: Its question.
            better: The verdict; None: there is none, and the judge is asked again at the next start.
            share: What it took.
        """
        line = {
            "judge": judge,
            "key": key,
            "id": row.id,
            "better": better,
            "calls": share.calls,
            "usage": asdict(share.usage),
            "cost_usd": share.known_cost,
        }
        self._take(line)
        if self._lines is not None:
            self._lines.write(line)

    def close(self) -> None:
        """Close the file."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def _take(self, line: dict[str, Any]) -> None:
        judge, better = line["judge"], line["better"]
        if better is not None:
            self._known[judge, line["key"]] = VERDICTS[better]
            self._count[judge] += 1
        before = self._spent[judge]
        self._spent[judge] = Spent(
            before.calls + line["calls"],
            before.usage + Usage(**line["usage"]),
            total_cost((before.cost_usd, line["cost_usd"])),
        )


def beside(journal: Path) -> Path:
    """Where the verdicts on what a journal holds are kept."""
    return journal.with_name(f"{journal.stem}.verdicts{journal.suffix}")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
