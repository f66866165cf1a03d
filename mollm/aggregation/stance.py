"""Whether an answer says what the proposals that lead say: one rule for what is kept, and for what is stated of it.

The answer agrees where counting puts it into one group with all that lead. It contradicts where its final answer is
another one than that of any of them. Else nothing is known: it has no final answer, or is 5 cm where 5 leads, and
others said 5 m.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.aggregation.terms import is_no_text
from mollm.final.forms import is_same
from mollm.final.replies import final_answer
from mollm.final.tally import Tally
from mollm.formats import value_of
from mollm.messages import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.types import Message, Proposal


@dataclass(frozen=True, slots=True)
class Stance:
    """What an answer says beside the proposals that lead; where both are false, nothing is known."""

    agrees: bool = False
    contradicts: bool = False
    final: str | None = None
    """Its final answer, read as those of the proposals are; None where it has none, or agrees word for word."""


def leaders(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Return the largest group with equal final answers, in listed order; open texts are in none."""
    return [proposals[index] for index in Tally(p.final for p in proposals).leading]


def stance_of(message: Message, proposals: Sequence[Proposal]) -> Stance:
    """Say whether an answer agrees with the group that leads, or contradicts it.

    Args:
        message: The answer. A refusal and a call of a tool are answers of another kind, and do neither.
        proposals: All that arrived, in listed order.
    """
    leading, text = Tally(p.final for p in proposals).leading, text_of(message.get("content"))
    if not leading or is_no_text(message):
        return Stance()
    group = [proposals[index] for index in leading]
    if any(text == proposal.text for proposal in group):
        return Stance(agrees=True)
    found, finals = _read_alike(text, group, proposals)
    if found is None:
        return Stance()
    together = next(members for members in Tally([*finals, found]).groups if len(proposals) in members)
    others = [final for index in leading if (final := finals[index]) is not None]
    return Stance(set(leading) <= set(together), any(not is_same(found, final) for final in others), found)


def _read_alike(
    text: str, group: Sequence[Proposal], proposals: Sequence[Proposal]
) -> tuple[str | None, list[str | None]]:
    """The final answers of a text and of the proposals, all read in one way.

    Who was asked for JSON is known by all of it, and compared as a whole with other JSON; with words, and where nobody
    was asked for it, by the answer that it names; an object that names none cannot be compared with a value.
    """
    if all(proposal.final == final_answer(proposal.text) for proposal in group):
        found = final_answer(text)
        is_of_another_kind = (found or "").startswith("{") and not any((p.final or "").startswith("{") for p in group)
        return None if is_of_another_kind else found, [proposal.final for proposal in proposals]
    with suppress(ValueError):
        return value_of(text), [proposal.final for proposal in proposals]
    return final_answer(text), [final_answer(proposal.text) for proposal in proposals]
