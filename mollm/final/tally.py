"""Who said what: the one count behind asking, voting, the best proposal and agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Tally:
    """Counts equal final answers, and remembers who gave them.

    Attributes:
        answered: Who brought a reply, with a final answer or without, in the order in which they did.
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
        """Count the reply of `who`; return how many have given this final answer by now, 0 for none at all."""
        self.answered.append(who)
        if final is None:
            return 0
        group = self._groups.setdefault(final, [])
        group.append(who)
        self._sizes[who] = group
        return len(group)

    def support(self, who: int) -> int:
        """How many said what `who` said, `who` included: at least 1."""
        return len(self._sizes.get(who, (who,)))

    @property
    def has_finals(self) -> bool:
        """Somebody gave a final answer."""
        return bool(self._groups)

    @property
    def groups(self) -> list[list[int]]:
        """Who gave equal final answers, ascending; the largest group first, of equal ones the earliest."""
        ascending = [sorted(group) for group in self._groups.values()]
        return sorted(ascending, key=lambda group: (-len(group), group[0]))

    @property
    def agreement(self) -> float | None:
        """Size of the largest group over all that answered: above 0 to 1; None where nobody gave a final answer."""
        if not self._groups:
            return None
        return max(map(len, self._groups.values())) / len(self.answered)
