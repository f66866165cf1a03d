"""No regression: what proposals agree on and is probably right is not lost to an LLM that says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.aggregation.base import Picked, by_count
from mollm.aggregation.stance import leaders, stance_of
from mollm.aggregation.terms import mismatch, shortened, verbatim
from mollm.final.calibration import stated
from mollm.printable import printable
from mollm.types import Written

if TYPE_CHECKING:
    from mollm.aggregation.base import Brief, Result
    from mollm.types import Proposal

LONGEST = 40
"""Characters of a final answer that `degraded` shows."""
AGAINST = ", which contradicts "
"""Stands in the reason why a proposal is the answer and not what was written."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """Takes the proposal of a group that is right with a high probability, where the LLM that writes contradicts it.

    `stance` says what contradicts. A proposal that could not be the answer takes no place: one that is not in the
    caller's format, or of which the caller's `stop` and `max_tokens` leave too little to say what the group says.
    """

    above: float
    """The least probability, 0 to 1, that the group is right."""

    def holds(self, brief: Brief) -> bool:
        """Whether there is such a group, so that nothing an LLM writes may be shown before it was read."""
        is_probable = brief.confidence is not None and brief.confidence >= self.above
        return is_probable and len(leaders(brief.proposals)) > 1 and bool(_able(brief))

    def kept(self, result: Result, brief: Brief, *, who: str = "the aggregator") -> Result:
        """Return what was made, or the proposal of the group that it contradicts; only where it `holds`.

        Args:
            result: What was made of the proposals.
            brief: Of what it was made.
            who: Made it, for `degraded`.
        """
        stance = stance_of(_message(result), brief.proposals)
        if not stance.contradicts or stance.final is None:
            return result
        proposal = by_count(_able(brief), brief.format)[0]
        group = f"{len(leaders(brief.proposals))} of {len(brief.proposals)} proposals"
        probable = f"is right with a probability of {stated(brief.confidence or 0.0, 2)}"
        why = (
            f"{who} says {_shown(stance.final)}{AGAINST}{group}, whose {_shown(proposal.final or '')} {probable}; "
            f"the proposal of {proposal.worker} is the answer"
        )
        return Picked(proposal, (*([] if isinstance(result, str) else result.degraded), why))


def _able(brief: Brief) -> list[Proposal]:
    """Those of the group that would still say what the group says if they were the answer."""
    return [proposal for proposal in leaders(brief.proposals) if _is_able(proposal, brief)]


def _is_able(proposal: Proposal, brief: Brief) -> bool:
    written = shortened(verbatim(proposal, brief), brief, proposal)
    if brief.format is not None and brief.format.read(proposal.text)[1] is not None:
        return False
    return mismatch(written, brief, has_limit=False) is None and stance_of(written.message, brief.proposals).agrees


def _message(result: Result) -> dict[str, object]:
    if isinstance(result, Written):
        return result.message
    return {"content": result if isinstance(result, str) else result.proposal.text}


def _shown(final: str) -> str:
    text = printable(final)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
