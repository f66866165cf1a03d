"""What is done about scores: the one place where a pick is accepted, or left to the fallback."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm.errors import ConfigError
from mollm.routing.base import Scores, plan_of
from mollm.types import Route

if TYPE_CHECKING:
    from mollm.calling.calls import Calls
    from mollm.routing.base import Scorer
    from mollm.types import PlannedCall, Question


@dataclass(frozen=True, slots=True)
class Decision:
    """When a scorer's pick is accepted; else the fallback answers.

    Raises:
        ConfigError: A bound is not between 0 and 1.
    """

    fallback: str
    """The mixture that answers what no other one is picked for."""
    threshold: float = 0.5
    """Probability, 0 to 1, that a pick must reach; from a half on it is likelier than all others together."""
    margin: float = 0.0
    """How much likelier than the next one a pick must be, 0 to 1."""
    familiarity: float = 0.0
    """How familiar the question must be, 0 to 1; below it nothing is sure, whichever mixture is likeliest."""

    def __post_init__(self) -> None:
        for name in ("threshold", "margin", "familiarity"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} must be a number from 0 to 1, not {value!r}")

    def decide(self, scores: Scores, router: str) -> Route:
        """Make a route of `scores`; `router` is the kind of who scored.

        The fallback needs no good reason: it is taken as a pick whatever its probability, and then `is_sure`
        tells whether another mixture would have been accepted at that. Nothing is sure of an unfamiliar question.
        """
        pick, weight, probabilities = scores.pick, "", dict(scores.probabilities)
        if pick is None:
            return self._fall_back(scores.reason, probabilities, router, scores.familiarity)
        if pick in probabilities:
            weight = f" (probability {probabilities[pick]:.2f})"
        likely = probabilities.setdefault(pick, 1.0)
        doubt = self._doubt(pick, likely, scores)
        if doubt and pick != self.fallback:
            return self._fall_back(f"{scores.reason}, but {doubt}", probabilities, router, scores.familiarity)
        reason = f"{scores.reason}{weight}"
        return Route(pick, probabilities, router, reason, is_sure=not doubt, familiarity=scores.familiarity)

    def _doubt(self, pick: str, likely: float, scores: Scores) -> str:
        """Why a pick is not accepted; empty where it is."""
        # Written so that a number that is none (NaN) is a doubt as well.
        if not likely >= self.threshold:
            return f"its probability {likely:.2f} is below the threshold {self.threshold:.2f}"
        if self.margin:
            others = {name: share for name, share in scores.probabilities.items() if name != pick}
            second = max(others, key=others.__getitem__, default=pick)
            lead = likely - others.get(second, 0.0)
            if not lead >= self.margin:
                return f"it leads {second} by {lead:.2f}, less than the margin {self.margin:.2f}"
        if scores.familiarity is not None and not scores.familiarity >= self.familiarity:
            return f"it is unfamiliar ({scores.familiarity:.2f}, below {self.familiarity:.2f})"
        return ""

    def _fall_back(self, why: str, probabilities: dict[str, float], router: str, familiarity: float | None) -> Route:
        reason = f"{why}, so the fallback {self.fallback} answers"
        return Route(self.fallback, probabilities, router, reason, is_sure=False, familiarity=familiarity)


@dataclass(frozen=True, slots=True)
class ScoringRouter:
    """A router that has every mixture scored, and decides by the scores."""

    scorer: Scorer
    decision: Decision

    @property
    def kind(self) -> str:
        """That of its scorer."""
        return self.scorer.kind

    def plan(self, question: Question) -> tuple[PlannedCall, ...]:
        """The calls of its scorer, also for the follow-up that it may have to score again."""
        joined = self._joined(question)
        return plan_of(self.scorer, question) + (plan_of(self.scorer, joined) if joined else ())

    async def route(self, question: Question, calls: Calls) -> Route:
        """Decide which mixture answers; where that is the fallback, a follow-up has a second chance."""
        start = time.perf_counter()
        route = self.decision.decide(await self.scorer.score(question, calls), self.kind)
        if route.mixture == self.decision.fallback and (joined := self._joined(question)):
            again = self.decision.decide(await self.scorer.score(joined, calls), self.kind)
            route = route if again.mixture == self.decision.fallback else again
        return replace(route, seconds=time.perf_counter() - start)

    def _joined(self, question: Question) -> Question | None:
        """A follow-up such as "and in Rust?" with the message before it: by itself it says nothing."""
        if not question.before or not getattr(self.scorer, "reads_last_only", False):
            return None
        return replace(question, last=f"{question.before}\n{question.last}", before="")
