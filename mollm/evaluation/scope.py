"""How well questions that belong nowhere are told from the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mollm.evaluation import metrics
from mollm.routing.calibration import FALSE_ALARMS, pick_threshold

if TYPE_CHECKING:
    from mollm.evaluation.asking import Decisions
    from mollm.evaluation.metrics import Bools

Score: TypeAlias = str
"""`familiarity`, or `probability` of the likeliest mixture."""


@dataclass(frozen=True, slots=True)
class OutOfScope:
    """How questions that belong nowhere are told from the others; shares are 0 to 1."""

    questions: int
    auroc: dict[Score, float]
    """By what questions are put in order by."""
    score: Score
    """Which of these the figures below are of."""
    threshold: float
    threshold_from: str
    """`validation`, or `fitted`: then a question is caught where the router is not sure."""
    recall: float
    """Share of them that is caught."""
    false_alarms: float
    """Share of the other questions that is caught as well."""
    kept: float
    """Share of the other questions that is not caught and given to the right mixture."""


def told_apart(
    inside: Decisions,
    outside: Decisions,
    right: Bools,
    validation: Decisions | None = None,
    false_alarms: float = FALSE_ALARMS,
) -> OutOfScope:
    """Measure what is caught of n questions that belong somewhere, and of others that do not.

    Args:
        inside: What the router said of the n.
        outside: Of the others.
        right: Whether the likeliest mixture of each of the n is right, shape (n,).
        validation: What it said of further questions that belong somewhere; the threshold is the value that a share
            `false_alarms` of them does not reach. None: the thresholds of the router.
        false_alarms: 0 to 1.
    """
    familiar = all(route.familiarity is not None for said in (inside, outside) for route in said.routes)
    scores = ["familiarity", "probability"] if familiar else ["probability"]
    score = scores[0]
    if validation is not None:
        threshold = pick_threshold(validation.values(score), false_alarms)
        alarm, caught = inside.values(score) < threshold, outside.values(score) < threshold
    else:
        threshold, alarm, caught = float("nan"), ~inside.sure, ~outside.sure
    return OutOfScope(
        questions=len(outside.routes),
        auroc={name: metrics.auroc(inside.values(name), outside.values(name)) for name in scores},
        score=score,
        threshold=threshold,
        threshold_from="fitted" if validation is None else "validation",
        recall=metrics.mean(caught),
        false_alarms=metrics.mean(alarm),
        kept=metrics.mean(right & ~alarm),
    )
