"""What was found on one half of the questions, on the other half, which the search never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.mixtures.report import Verdict
from mollm.evaluation.tuning.outcomes import Outcomes
from mollm.evaluation.tuning.settings import Setting
from mollm.evaluation.tuning.verdicts import gain_of, verdict_of

if TYPE_CHECKING:
    from mollm.evaluation.mixtures.report import Gain
    from mollm.evaluation.mixtures.table import Table
    from mollm.evaluation.tuning.outcomes import Outcome
    from mollm.evaluation.tuning.search import Found


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What came of it on the other half."""

    alone: Outcome
    """Of the member that was best on the search half."""
    vote: Outcome | None
    """Of as many members as the setting has, all asked, the best of the search half first."""
    outcome: Outcome | None
    """Of the setting that was found."""
    gain: Gain | None
    verdict: Verdict
    front: tuple[Outcome, ...]
    """Of the front that was found, in its order."""

    @property
    def is_mixture(self) -> bool:
        """The mixture is worth it; else the best member is the answer."""
        return self.verdict.kind == "better"


def halves(count: int, seed: int) -> tuple[list[int], list[int]]:
    """The numbers of the questions to search on, and of those to confirm on, each ascending."""
    drawn = np.random.default_rng(seed).permutation(count)
    first = (count + 1) // 2
    return sorted(map(int, drawn[:first])), sorted(map(int, drawn[first:]))


def confirm(found: Found, table: Table) -> Confirmed:
    """Hold what was found against the best member, on the questions of `table`, none of which the search saw."""
    outcomes = Outcomes(table, found.confidence)
    alone = outcomes.of(Setting((found.best_member,)))
    front = tuple(outcomes.of(setting) for setting, _ in found.front)
    if found.setting is None:
        return Confirmed(alone, None, None, None, Verdict("not better", why_none(found)), front)
    size = len(found.setting.members)
    vote, outcome = outcomes.of(Setting(found.by_score[:size], size)), outcomes.of(found.setting)
    return judged(found.best_member, alone, vote, outcome, front)


def judged(
    member: str, alone: Outcome, vote: Outcome | None, outcome: Outcome, front: tuple[Outcome, ...]
) -> Confirmed:
    """Say whether a mixture is better than a member."""
    gain = gain_of(member, outcome, alone)
    return Confirmed(alone, vote, outcome, gain, verdict_of(gain, outcome.scores - alone.scores), front)


def why_none(found: Found) -> str:
    """Why nothing was found that could be better."""
    if found.tried == 0:
        return f"{found.best_member} is the only LLM, and a mixture takes two"
    return f"none of the {found.tried} settings that were tried stays below what was allowed"
