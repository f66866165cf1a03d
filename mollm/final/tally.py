"""Counting equal final answers: used for asking, voting, the best proposal and agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Tally:
    """Counts equal final answers, and remembers who gave them.

    Attributes:
        answered: Who replied, with or without a final answer, in order of arrival.
    """

    __slots__ = ("_groups", "_sizes", "answered")

    def __init__(self, finals: Iterable[str | None] = ()) -> None:
        """Count `finals`, given by 0, 1, 2 and so on; None is a reply without a final answer."""
        self.answered: list[int] = []
        self._groups: dict[str, list[int]] = {}
        self._sizes: dict[int, list[int]] = {}
        for who, final in enumerate(finals):
            self.add(who, final)

    def add(self, who: int, final: str | None) -> int:
        """Count the reply of `who`; return how many have given the same final answer so far, 0 if `final` is None."""
        self.answered.append(who)
        if final is None:
            return 0
        group = self._groups.setdefault(final, [])
        group.append(who)
        self._sizes[who] = group
        return len(group)

    def support(self, who: int) -> int:
        """Return how many gave the same final answer as `who`, including `who`: at least 1."""
        return len(self._sizes.get(who, (who,)))

    @property
    def has_finals(self) -> bool:
        """Whether any reply has a final answer."""
        return bool(self._groups)

    @property
    def groups(self) -> list[list[int]]:
        """Groups with equal final answers, each in ascending order; the largest first, ties by the earliest member."""
        ascending = [sorted(group) for group in self._groups.values()]
        return sorted(ascending, key=lambda group: (-len(group), group[0]))

    @property
    def agreement(self) -> float | None:
        """Size of the largest group divided by all that answered, above 0 to 1; None if there is no final answer."""
        if not self._groups:
            return None
        return max(map(len, self._groups.values())) / len(self.answered)
