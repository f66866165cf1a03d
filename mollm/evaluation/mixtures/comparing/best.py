"""Which member is the best one on all questions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.comparing.scoring import score_questions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mollm.evaluation.mixtures.records import Gathered
    from mollm.evaluation.mixtures.scores.base import Score


def best_by(score: Score) -> Callable[[Gathered], Awaitable[str]]:
    """Name the member with the highest score on all questions; of several, the first.

    An answer of which nothing can be said counts as one that is wrong.
    """

    async def best(gathered: Gathered) -> str:
        said = (await score_questions(gathered, score, {})).values()
        totals = {
            name: sum(value for one in said if not math.isnan(value := one.value(name))) for name in gathered.members
        }
        return max(totals, key=totals.__getitem__)

    return best
