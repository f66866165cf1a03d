"""What was found on one half of the questions, on the other half, which the search never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.comparing.gains import gain_of, verdict_of
from mollm.evaluation.mixtures.report import Verdict
from mollm.evaluation.tuning.outcomes import Outcomes
from mollm.evaluation.tuning.settings import Setting

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


def confirm(found: Found, table: Table) -> Confirmed:
    """Hold what was found against the best member, on the questions of `table`, none of which the search saw."""
    outcomes = Outcomes(table, found.fitted)
    alone = outcomes.of(Setting((found.best_member,)))
    front = tuple(outcomes.of(setting) for setting, _ in found.front)
    if found.setting is None or found.vote is None:
        return Confirmed(alone, None, None, None, Verdict("not better", why_none(found)), front)
    vote, outcome = outcomes.of(found.vote), outcomes.of(found.setting)
    gain, verdict = judged(outcome, alone, f"{found.best_member} alone", found.best_member)
    return Confirmed(alone, vote, outcome, gain, verdict, front)


def judged(outcome: Outcome, other: Outcome, whom: str, member: str) -> tuple[Gain, Verdict]:
    """Say whether one outcome is better than that of somebody else, of whom a member is the name or part of it."""
    gain = gain_of(member, whom, outcome.answers("found"), other.answers(whom))
    return gain, verdict_of(gain, outcome.scores - other.scores)


def why_none(found: Found) -> str:
    """Why nothing was found that could be better."""
    if found.tried == 0:
        return f"{found.best_member} is the only LLM, and a mixture takes two"
    return f"none of the {found.tried} settings that were tried stays below what was allowed"
