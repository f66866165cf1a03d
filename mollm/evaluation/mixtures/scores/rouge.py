"""How many words of a reference an answer has."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from mollm.evaluation.rouge import rouge_l, rouge_n, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mollm.evaluation.mixtures.rows import Row

FIGURES: dict[str, Callable[[str, str], float]] = {
    "rouge-1": partial(rouge_n, n=1),
    "rouge-2": partial(rouge_n, n=2),
    "rouge-l": rouge_l,
}


class Rouge:
    """F1 of ROUGE-1, ROUGE-2 or ROUGE-L between the whole answer and the reference, 0 to 1.

    Words are compared in small letters and without stemming; `mollm.evaluation.rouge` says what a word is.
    """

    is_exact = False

    def __init__(self, name: str) -> None:
        """Take the name of one of `FIGURES`."""
        self.name, self._figure = name, FIGURES[name]

    def problem(self, row: Row) -> str | None:
        if self.name == "rouge-2" and len(words_of(row.reference)) == 1:
            return f"the reference {row.reference[:60]!r} is one word, and has no two in a row"
        return None if words_of(row.reference) else f"the reference {row.reference[:60]!r} has no words"

    async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
        return await asyncio.to_thread(
            lambda: {who: self._figure(text, row.reference) for who, text in texts.items()},
        )

    def notes(self) -> tuple[str, ...]:
        return (f"{self.name} counts words in common with the reference, and does not see whether what they say is so",)
