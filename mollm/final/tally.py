"""Counting equal final answers: used for asking, voting, the best proposal and agreement."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mollm.final.forms import PERCENT, unit_of, unscaled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_VOTES_WITHOUT = 2
"""Votes a bare number needs before a percentage counts for it: whether they agree then hangs on no percentage."""


class Tally:
    """Counts equal final answers, and remembers who gave them.

    Final answers are equal as `forms.is_same` says. A number without a unit counts with those in a unit as long as
    these have all the same one. A percentage counts for the bare number, 60 % for 60, if that has two votes without.

    Attributes:
        answered: Who replied, with or without a final answer, in order of arrival.
    """

    __slots__ = ("_finals", "_groups", "answered")

    def __init__(self, finals: Iterable[str | None] = ()) -> None:
        """Count `finals`, given by 0, 1, 2 and so on; None is a reply without a final answer."""
        self.answered: list[int] = []
        self._finals: dict[int, str] = {}
        self._groups: list[list[int]] | None = None
        for who, final in enumerate(finals):
            self._enter(who, final)

    def add(self, who: int, final: str | None) -> int:
        """Count the reply of `who`; return how many have given the same final answer so far, 0 if `final` is None."""
        self._enter(who, final)
        return self.support(who) if final is not None else 0

    def _enter(self, who: int, final: str | None) -> None:
        self.answered.append(who)
        if final is not None:
            self._finals[who] = final
            self._groups = None

    def support(self, who: int) -> int:
        """Return how many gave the same final answer as `who`, including `who`: at least 1."""
        return next((len(group) for group in self.groups if who in group), 1)

    @property
    def has_finals(self) -> bool:
        """Whether any reply has a final answer."""
        return bool(self._finals)

    @property
    def groups(self) -> list[list[int]]:
        """Groups with equal final answers, each in ascending order; the largest first, ties by the earliest member."""
        # Counted anew after each reply: one may part a group (5 m after 5 and 5 cm), or join two.
        if self._groups is None:
            ascending = map(sorted, _grouped(self._finals))
            self._groups = sorted(ascending, key=lambda group: (-len(group), group[0]))
        return self._groups

    @property
    def agreement(self) -> float | None:
        """Size of the largest group divided by all that answered, above 0 to 1; None if there is no final answer."""
        if not self._finals:
            return None
        return len(self.groups[0]) / len(self.answered)


def _grouped(finals: Mapping[int, str]) -> list[list[int]]:
    bare = Counter(final for final in finals.values() if not unit_of(final))
    in_units = {final for final in finals.values() if unit_of(final) not in ("", PERCENT)}
    values: dict[str, dict[int, str]] = {}
    for who, final in finals.items():
        number = unscaled(final)
        if number is not None and bare[number] >= _VOTES_WITHOUT and number not in in_units:
            values.setdefault(number, {})[who] = ""
        else:
            values.setdefault(final, {})[who] = unit_of(final)
    groups: dict[tuple[str, str], list[int]] = {}
    for value, units in values.items():
        is_parted = len(set(units.values()) - {""}) > 1
        for who, unit in units.items():
            groups.setdefault((value, unit if is_parted else ""), []).append(who)
    return list(groups.values())
