"""Questions for routers and scorers, and what is decided about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.messages import question_of

if TYPE_CHECKING:
    from mollm.routing.learned import LearnedScorer
    from mollm.types import Question, Route


def question(last: str, before: str = "") -> Question:
    """A question of the user, after an earlier one where there is one."""
    earlier = [{"role": "user", "content": before}, {"role": "assistant", "content": "Yes."}] if before else []
    return question_of([*earlier, {"role": "user", "content": last}])


def decide(scorer: LearnedScorer, text: str, threshold: float | None = None) -> Route:
    """What a learned scorer and its decision, or one with another threshold, make of a text."""
    decision = scorer.decision("auto" if threshold is None else threshold)
    return decision.decide(scorer.scores(text), scorer.kind)
