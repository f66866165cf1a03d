"""What a score is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.evaluation.mixtures.rows import Row


class Score(Protocol):
    """Says how good answers are, 0 (wrong) to 1 (right)."""

    name: str
    """As the option names it: `exact`, `rouge-l`, ..."""
    is_exact: bool
    """Whether it is 0 or 1 and nothing between."""

    def problem(self, row: Row) -> str | None:
        """Say why nothing can be held against the reference of a question; None if something can."""

    async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
        """Score the answers to one question.

        Args:
            row: The question; one without a `problem`.
            texts: The answers, by who gave them. Failures are not among them; they count 0.

        Returns:
            By the same names; None for an answer of which nothing can be said, because whoever judges it failed.
        """

    def notes(self) -> Sequence[str]:
        """What a reader of the report has to know about the figures, such as how far a judge can be trusted."""
