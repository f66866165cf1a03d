"""How many questions came in the last 60 seconds, whenever one looks."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

MINUTE = 60.0


@dataclass(slots=True, eq=False)
class Entry:
    """Questions that came at one time."""

    at: float
    questions: int


class Window:
    """Counts questions for 60 seconds each. It holds no more entries than it counts questions."""

    __slots__ = ("_count", "_entries")

    def __init__(self) -> None:
        self._entries: OrderedDict[Entry, None] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._entries)

    def count(self, now: float) -> int:
        """Count those of the 60 seconds before `now`, and forget older ones."""
        while self._entries and now - (oldest := next(iter(self._entries))).at >= MINUTE:
            self._count -= oldest.questions
            del self._entries[oldest]
        return self._count

    def wait(self, questions: int, most: int, now: float) -> float:
        """Return the seconds until so many more make no more than `most`; 0: they may come now."""
        over, wait = self.count(now) + questions - most, 0.0
        for entry in self._entries:
            if over <= 0:
                break
            over -= entry.questions
            wait = entry.at + MINUTE - now
        return wait

    def add(self, questions: int, now: float) -> Entry:
        """Count further ones."""
        entry = Entry(now, questions)
        self._entries[entry] = None
        self._count += questions
        return entry

    def take_back(self, entry: Entry, questions: int) -> None:
        """Count so many less of an entry, if it still counts."""
        if entry in self._entries:
            taken = min(questions, entry.questions)
            entry.questions -= taken
            self._count -= taken
            if not entry.questions:
                del self._entries[entry]
