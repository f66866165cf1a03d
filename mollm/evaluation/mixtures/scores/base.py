"""What a score is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.evaluation.mixtures.rows import Row


RIGHT = 0.5
"""From this score on an answer counts as right, where it has to be right or wrong."""


class Score(Protocol):
    """Says how good answers are, 0 (wrong) to 1 (right)."""

    name: str
    """As the option names it: `exact`, `rouge-l`, ..."""

    @property
    def is_exact(self) -> bool:
        """Whether every score so far is 0 or 1, and says that an answer is wrong or right; else one is only better."""

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


@dataclass(frozen=True, slots=True)
class Spent:
    """What scoring took: the calls of a judge."""

    calls: int = 0
    usage: Usage = Usage()
    cost_usd: float | None = None
    """None without calls, or where the LLM has no price."""


def spent_by(score: Score) -> Spent:
    """What a score has taken so far; nothing, unless it says so by a property `spent`."""
    found = getattr(score, "spent", None)
    return found if isinstance(found, Spent) else Spent()


SHOWN = 5
"""Lines that tell of single rows."""


def told(lines: Sequence[str], what: str) -> tuple[str, ...]:
    """Say a few of many lines, and how many more there are of `what`; nothing of no lines."""
    left = len(lines) - SHOWN
    return (*lines[:SHOWN], *([f"and {left} more {what}"] if left > 0 else []))
