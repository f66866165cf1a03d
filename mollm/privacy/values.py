"""The values of one conversation, and the placeholder of each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mollm.privacy.placeholders import mentioned, replaced

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.config.privacy import Kind
    from mollm.privacy.finding import Finder


class Values:
    """Values and their placeholders, numbered by first occurrence: `[EMAIL_1]`.

    The same conversation gives the same placeholders, in every request and every process. A value that an LLM was the
    first to write is numbered apart (`[EMAIL_R1]`), so that it cannot take the number of one that the conversation has
    later; and so is one that only a panel for one request has (`[EMAIL_P1]`), since a run may go on without it.
    """

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._names: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._taken: set[str] = set()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def all(self) -> tuple[str, ...]:
        """The values themselves."""
        return tuple(self._names)

    def reserve(self, text: str) -> str:
        """Give no value a placeholder that stands in this text already; returns the text."""
        self._taken.update(mentioned(text))
        return text

    def conceal(self, text: str) -> str:
        """Put placeholders in place of all values."""
        return self._concealed(text, lambda value, kind: self._name(value, kind, ""))

    def conceal_reply(self, text: str) -> str:
        """As `conceal`, in what an LLM wrote."""
        return self._concealed(text, lambda value, kind: self._name(value, kind, "R"))

    def conceal_panel(self, text: str) -> str:
        """As `conceal`, in a panel for one request."""
        return self._concealed(text, lambda value, kind: self._name(value, kind, "P"))

    def conceal_known(self, text: str) -> str:
        """Put placeholders in place of the values that have one; others stay."""
        return self._concealed(text, lambda value, _: self._names.get(value)) if self._names else text

    def reveal(self, text: str) -> str:
        """Put values in place of their placeholders."""
        return replaced(text, self._value) if self._values else text

    def reveal_in_json(self, text: str) -> str:
        """As `reveal`, in the text of a JSON document, where a value is part of a string."""
        return replaced(text, self._escaped) if self._values else text

    def _concealed(self, text: str, name: Callable[[str, Kind], str | None]) -> str:
        spans = self._finder.spans(text)
        if not spans:
            return text
        parts, over = [], 0
        for start, end, kind in spans:
            value = text[start:end]
            parts += [text[over:start], name(value, kind) or value]
            over = end
        return "".join([*parts, text[over:]])

    def _name(self, value: str, kind: Kind, series: str) -> str:
        if value not in self._names:
            label = f"{kind.upper()}_{series}"
            number = self._counts.get(label, 0) + 1
            while f"{label}{number}" in self._taken:
                number += 1
            self._counts[label] = number
            self._values[f"{label}{number}"] = value
            self._names[value] = f"[{label}{number}]"
        return self._names[value]

    def _value(self, name: str) -> str | None:
        return self._values.get(name)

    def _escaped(self, name: str) -> str | None:
        value = self._values.get(name)
        return None if value is None else json.dumps(value, ensure_ascii=False)[1:-1]
