"""Counting equal final answers: used for asking, voting, the best proposal and agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.final.forms import unit_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Tally:
    """Counts equal final answers, and remembers who gave them.

    Whether two final answers are one is a matter of these two alone, as `forms.is_same` says: 50 % is 0.5 and never
    50, whatever others said. Groups are made of that by one rule, whatever the order of arrival: answers of one value
    are one group, unless two units stand beside it; then each unit is a group of its own, and so are those without a
    unit (5 and 5 cm agree; 5, 5 cm and 5 m are three groups). So all in a group are the same two by two, and answers
    that are the same are parted only where the one without a unit is the same as two that are not.

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
    def leading(self) -> list[int]:
        """The largest group; empty if there is no final answer."""
        return self.groups[0] if self._finals else []

    @property
    def agreement(self) -> float | None:
        """Size of the largest group divided by all that answered, above 0 to 1; None if there is no final answer."""
        if not self._finals:
            return None
        return len(self.leading) / len(self.answered)


def _grouped(finals: Mapping[int, str]) -> list[list[int]]:
    values: dict[str, dict[int, str]] = {}
    for who, final in finals.items():
        values.setdefault(final, {})[who] = unit_of(final)
    groups: dict[tuple[str, str], list[int]] = {}
    for value, units in values.items():
        is_parted = len(set(units.values()) - {""}) > 1
        for who, unit in units.items():
            groups.setdefault((value, unit if is_parted else ""), []).append(who)
    return list(groups.values())
