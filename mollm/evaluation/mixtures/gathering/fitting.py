"""For how many questions a ceiling is enough, whatever they take, before anything is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.gathering.journal import Key
from mollm.evaluation.mixtures.gathering.planning import outlook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.catalog import Catalog
    from mollm.evaluation.mixtures.gathering.ceiling import Ceiling
    from mollm.evaluation.mixtures.gathering.journal import Journal
    from mollm.evaluation.mixtures.gathering.planning import Outlook
    from mollm.evaluation.mixtures.rows import Row


@dataclass(frozen=True, slots=True)
class Asking:
    """Of whom questions are asked."""

    catalog: Catalog
    mixtures: Sequence[str]
    lacking: Mapping[str, Mapping[str, str]]
    """By mixture, the questions that cannot be asked, by id, and why."""
    routes: bool
    """Whether the router is asked as well."""
    readers: bool
    """Whether LLMs that read proposals and are no workers are asked alone."""

    def of(self, rows: Sequence[Row], *, itself: bool = False) -> Outlook:
        """What questions may take of all, and of self-mixtures, which come later."""
        return outlook(
            self.catalog, self.mixtures, rows, self.lacking, itself=itself, routes=self.routes, readers=self.readers
        )

    def is_kept(self, row: Row, journal: Journal) -> bool:
        """Whether all mixtures have answered a question before; a member may be lacking still."""
        asked = [name for name in self.mixtures if row.id not in self.lacking.get(name, ())]
        return all(journal.done(Key("mixture", name, row.id)) for name in asked)


@dataclass(frozen=True, slots=True)
class Fit:
    """How many questions, in order, a ceiling is enough for."""

    sure: int
    """Those that are in the journal among them."""
    first: Outlook | None
    """What the first one takes for which it may be too little; None: it is enough for all."""


def fit_of(asking: Asking, rows: Sequence[Row], journal: Journal, ceiling: Ceiling) -> Fit:
    """Add up the worst cases of the questions that are to be asked, until the ceiling is reached.

    Raises:
        LimitError: It is one of USD, and an LLM has no price.
    """
    calls, cost, sure = 0, 0.0, 0
    for number, row in enumerate(rows):
        if not asking.is_kept(row, journal):
            one = asking.of([row])
            calls, cost = calls + one.worst.calls, cost + ceiling.price_of(one.worst)
            if not ceiling.is_enough(calls, cost):
                kept = sum(asking.is_kept(other, journal) for other in rows[number:])
                return Fit(sure + kept, one)
        sure += 1
    return Fit(sure, None)
