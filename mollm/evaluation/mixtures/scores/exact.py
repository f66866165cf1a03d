"""Whether the final answer is the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.final.replies import is_right, is_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.evaluation.mixtures.rows import Row


class Exact:
    """1 if the final answer of a reply is the reference as a value, else 0."""

    name, is_exact = "exact", True

    def problem(self, row: Row) -> str | None:
        return None if is_value(row.reference) else f"the reference {row.reference[:60]!r} is no final answer"

    async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
        return {who: float(is_right(text, row.reference)) for who, text in texts.items()}

    def notes(self) -> tuple[str, ...]:
        return ()
