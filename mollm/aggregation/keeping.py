"""No regression: what proposals agree on and is probably right is not lost to an LLM that says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.aggregation.base import Picked, by_count
from mollm.final.forms import is_same
from mollm.final.replies import final_answer
from mollm.final.tally import Tally
from mollm.formats import value_of
from mollm.messages import text_of
from mollm.printable import printable
from mollm.types import Written

if TYPE_CHECKING:
    from mollm.aggregation.base import Brief, Result
    from mollm.types import Proposal

LONGEST = 40
"""Characters of a final answer that `degraded` shows."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """Takes the proposal of a group that is right with a high probability, where the aggregator contradicts it.

    An answer without a final answer contradicts nobody, and one in the caller's format no proposals that are not: they
    could not take its place.
    """

    above: float
    """The least probability, 0 to 1, that the group is right."""

    def holds(self, brief: Brief) -> bool:
        """Whether there is such a group, so that nothing the aggregator writes may be shown before it was read."""
        is_probable = brief.confidence is not None and brief.confidence >= self.above
        leading = _leading(brief)
        return is_probable and len(leading) > 1 and any(_is_in_format(proposal, brief) for proposal in leading)

    def kept(self, result: Result, brief: Brief) -> Result:
        """Return what the aggregator made, or the proposal of the group that it contradicts."""
        proposal = by_count(_leading(brief), brief.format)[0]
        said = _said(result, proposal)
        if said is None or proposal.final is None or is_same(said, proposal.final):
            return result
        degraded = () if isinstance(result, str) else result.degraded
        group = f"{len(_leading(brief))} of {len(brief.proposals)} proposals"
        why = (
            f"the aggregator's {_shown(said)} contradicts {group}, whose {_shown(proposal.final)} is right with a "
            f"probability of {brief.confidence:.2f}; the proposal of {proposal.worker} is the answer"
        )
        return Picked(proposal, (*degraded, why))


def _leading(brief: Brief) -> list[Proposal]:
    return [brief.proposals[index] for index in Tally(p.final for p in brief.proposals).leading]


def _is_in_format(proposal: Proposal, brief: Brief) -> bool:
    return brief.format is None or brief.format.read(proposal.text)[1] is None


def _said(result: Result, beside: Proposal) -> str | None:
    """The final answer of what the aggregator made, read as that of the proposal is."""
    if isinstance(result, Picked):
        return result.proposal.final
    text = text_of(result.message.get("content")) if isinstance(result, Written) else result
    try:
        # Who was asked for JSON is known by all of it; JSON that nobody asked for by the answer that it names.
        return value_of(text) if value_of(beside.text) == beside.final else final_answer(text)
    except ValueError:
        return final_answer(text)  # words, although JSON was asked for


def _shown(final: str) -> str:
    text = printable(final)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
