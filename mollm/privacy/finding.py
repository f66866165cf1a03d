"""Finds in a text what is to be masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from mollm.privacy.addresses import emails, machines
from mollm.privacy.keys import keys
from mollm.privacy.numbers import accounts, cards

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from mollm.config.privacy import Kind

    Find: TypeAlias = Callable[[str], Iterator[tuple[int, int]]]

_SHORTEST = 6
"""Characters: nothing shorter is looked for."""


class Span(NamedTuple):
    """Where a value stands in a text."""

    start: int
    end: int
    kind: Kind


class Finder:
    """Finds values of some kinds, in time that grows with the text and no faster."""

    def __init__(self, kinds: Collection[Kind], region: str | None = None) -> None:
        """Prepare to find `kinds`; `region`: the country whose phone numbers are found without its code.

        Raises:
            ConfigError: A library is not installed.
            ValueError: There is no such region.
        """
        known: dict[Kind, Find] = {"key": keys, "iban": accounts, "card": cards, "email": emails, "ip": machines}
        self._finders: list[tuple[Kind, Find]] = [(kind, find) for kind, find in known.items() if kind in kinds]
        if "phone" in kinds:
            from mollm.privacy.phones import phones

            self._finders.append(("phone", phones(region)))

    def spans(self, text: str) -> list[Span]:
        """What is found, in order and apart: where two kinds overlap, both are one, of the kind that begins first."""
        if len(text) < _SHORTEST:
            return []
        found = [Span(*span, kind) for kind, find in self._finders for span in find(text)]
        if len(found) < 2:
            return found
        found.sort(key=lambda span: (span.start, -span.end))
        apart = found[:1]
        for span in found[1:]:
            last = apart[-1]
            if span.start >= last.end:
                apart.append(span)
            elif span.end > last.end:
                apart[-1] = Span(last.start, span.end, last.kind)
        return apart
