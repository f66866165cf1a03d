"""Review and analysis of the same proposals, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mollm.events import Analyzed, Comparing, Reviewed
from mollm.loops import all_of

if TYPE_CHECKING:
    from mollm.aggregation.base import Brief
    from mollm.calling.calls import Calls
    from mollm.comparing.analysis import Analyst
    from mollm.comparing.review import Review
    from mollm.types import Analysis, Ranking


async def compare(
    review: Review | None, analyst: Analyst | None, brief: Brief, calls: Calls
) -> tuple[Ranking | None, Analysis | None, tuple[str, ...]]:
    """Rank the proposals and compare them, as far as somebody does.

    Returns:
        The ranking and the analysis, each None where there is none; and why one is missing that was planned.
    """
    planned = (*(review.planned if review else ()), *((analyst.llm,) if analyst else ()))
    if planned:
        brief.observer.tell(Comparing(tuple(dict.fromkeys(planned))))

    async def ranked() -> tuple[Any, tuple[str, ...]]:
        found, why = await review.rank(brief, calls) if review else (None, ())
        if found:
            brief.observer.tell(Reviewed(found))
        return found, why

    async def analyzed() -> tuple[Any, tuple[str, ...]]:
        found, why = await analyst.analyze(brief, calls) if analyst else (None, ())
        if found:
            brief.observer.tell(Analyzed(found))
        return found, why

    (ranking, unranked), (analysis, unanalyzed) = await all_of([ranked(), analyzed()])
    return ranking, analysis, (*unranked, *unanalyzed)
