"""The interface of choosers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mollm.types import Choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.calling.calls import Calls
    from mollm.types import PlannedCall, Question


class Chooser(Protocol):
    """Picks the workers of a mixture for a question.

    Whatever it says, `flow.py` keeps within the limits: workers at the end of its choice that do not fit are left out.
    """

    @property
    def kind(self) -> str:
        """What it chooses by, as the YAML names it; it becomes `Choice.by`."""
        ...

    @property
    def candidates(self) -> tuple[str, ...]:
        """The LLMs among which it chooses, in listed order."""
        ...

    @property
    def most(self) -> int:
        """How many it may choose, 1 to the number of candidates."""
        ...

    def plan(self, question: Question) -> Sequence[PlannedCall]:
        """Every call that it may make itself, in the role `router`; those of the workers are counted elsewhere."""
        ...

    async def choose(self, question: Question, calls: Calls) -> Choice:
        """Choose the workers for `question`, whose text may be empty.

        Args:
            question: The question.
            calls: Makes the calls of this question, if it needs an LLM.

        Returns:
            Candidates, the best first, each once, at least one and at most `most`.
        """
        ...


def in_listed_order(chooser: Chooser, why: str) -> Choice:
    """The first of the candidates, as many as may be chosen; `why` nothing better is known."""
    names = chooser.candidates[: chooser.most]
    what = f"the first {len(names)} as listed" if len(names) > 1 else "the first as listed"
    return Choice(names, chooser.kind, f"{why}, so {what}")
