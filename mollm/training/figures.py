"""How a trained router does on questions that it did not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.evaluation.questions import judged, mixtures_of
from mollm.training.second import joined

if TYPE_CHECKING:
    from mollm.evaluation.picks import Picks
    from mollm.routing.learned import LearnedScorer
    from mollm.training.data import Labelled
    from mollm.training.second import Joined


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a router says of questions that were held out."""

    picks: Picks
    """Of a question of several mixtures, any of them is right."""
    joined: Joined | None
    """None where too few questions belong to several."""


def held_out(scorer: LearnedScorer, data: Labelled) -> HeldOut:
    """Ask a router about questions; labels that it does not know are names of their own, and never right."""
    decision, scores = scorer.decision(), scorer.scores_of(data.texts)
    picks = [max(scorer.mixtures, key=lambda name: one.probabilities.get(name, 0.0)) for one in scores]
    return HeldOut(
        judged(
            [mixtures_of(label) for label in data.labels],
            picks,
            [one.probabilities.get(pick, 0.0) for one, pick in zip(scores, picks, strict=True)],
            [decision.decide(one, scorer.kind).is_sure for one in scores],
            labels=(*scorer.mixtures, *data.mixtures),
        ),
        joined(scorer, scores, data.labels),
    )
