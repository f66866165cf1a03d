"""What is done about scores: the one place where a pick is accepted, or left to the fallback."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm.errors import ConfigError
from mollm.routing.base import Scores, plan_of
from mollm.routing.explaining import Explanation
from mollm.types import Route

if TYPE_CHECKING:
    from mollm.calling.calls import Calls
    from mollm.routing.base import Scorer
    from mollm.routing.recent import Recent
    from mollm.types import PlannedCall, Question

SECOND = 0.2
"""Probability from which on a second mixture is joined, unless a scorer has a bound of its own. With ten domains of
CLINC150 (validation split) 2 to 6 % of the questions about one of them get a second one, and a quarter of those about
two."""


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
    multi: bool = False
    """A second mixture may be joined to the pick."""
    second: float = SECOND
    """How well the second one must suit, 0 to 1."""
    why: str = ""
    """Where the threshold comes from, for the reason."""

    def __post_init__(self) -> None:
        for name in ("threshold", "margin", "familiarity", "second"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} must be a number from 0 to 1, not {value!r}")

    def decide(self, scores: Scores, router: str) -> Route:
        """Make a route of `scores`; `router` is the kind of who scored.

        The fallback needs no good reason: it is taken as a pick whatever its probability, and then `is_sure`
        tells whether another mixture would have been accepted at that. Nothing is sure of an unfamiliar question.
        With a threshold and a familiarity of 0 the likeliest mixture is taken even where the scorer picks none.
        """
        pick, weight, probabilities = self._pick(scores), "", dict(scores.probabilities)
        if pick is None:
            return self._fall_back(scores.reason, probabilities, router, scores.familiarity)
        if pick in probabilities:
            weight = f" (probability {probabilities[pick]:.2f})"
        likely = probabilities.setdefault(pick, 1.0)
        second = self._second(pick, scores)
        doubt = self._doubt(pick, second, likely, scores)
        if doubt and pick != self.fallback:
            return self._fall_back(f"{scores.reason}, but {doubt}", probabilities, router, scores.familiarity)
        if second is not None:
            weight += f", and {second} suits as well (probability {probabilities[second]:.2f})"
        reason = f"{scores.reason}{weight}"
        return Route(
            pick, probabilities, router, reason, second=second, is_sure=not doubt, familiarity=scores.familiarity
        )

    def weight(self, scores: Scores) -> float:
        """The probability, 0 to 1, that `scores` hold against the threshold; 0 where it is in doubt at any."""
        pick = self._pick(scores)
        if pick is None or not (scores.familiarity is None or scores.familiarity >= self.familiarity):
            return 0.0
        second = self._second(pick, scores)
        return self._joint(second, scores.probabilities.get(pick, 1.0), scores)

    def _pick(self, scores: Scores) -> str | None:
        never_rejects = self.threshold == self.familiarity == 0.0
        if scores.pick is None and never_rejects and any(scores.probabilities.values()):
            return max(scores.probabilities, key=scores.probabilities.__getitem__)
        return scores.pick

    def _second(self, pick: str, scores: Scores) -> str | None:
        """The mixture that is to be joined to `pick`; the fallback is for what suits nobody, and joins nobody."""
        if not self.multi or pick == self.fallback:
            return None
        others = {name: p for name, p in scores.probabilities.items() if name not in (pick, self.fallback) and p > 0.0}
        if not others:
            return None
        second = max(others, key=others.__getitem__)
        suits = others[second] if scores.suits is None else scores.suits(second)
        return second if suits >= self.second else None

    def _joint(self, second: str | None, likely: float, scores: Scores) -> float:
        """Two mixtures share the probability of the question that is for both."""
        return likely if second is None else min(1.0, likely + scores.probabilities[second])

    def _doubt(self, pick: str, second: str | None, likely: float, scores: Scores) -> str:
        """Why a pick is not accepted; empty where it is."""
        likely = self._joint(second, likely, scores)
        # Written so that a number that is none (NaN) is a doubt as well.
        if not likely >= self.threshold:
            return f"its probability {likely:.2f} is below the threshold {self.threshold:.2f}{self.why}"
        if self.margin and second is None:
            others = {name: share for name, share in scores.probabilities.items() if name != pick}
            following = max(others, key=others.__getitem__, default=pick)
            lead = likely - others.get(following, 0.0)
            if not lead >= self.margin:
                return f"it leads {following} by {lead:.2f}, less than the margin {self.margin:.2f}"
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
    recent: Recent | None = None
    """Moves the threshold, where a share of questions in doubt is wanted."""

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
        return (await self._decided(question, calls))[0]

    async def explain(self, question: Question, calls: Calls) -> Explanation:
        """Decide as `route` does, and say what the decision was made of."""
        route, scores, decision = await self._decided(question, calls)
        parts = getattr(scores, "parts", None)
        nearest = getattr(scores, "nearest", None)
        return Explanation(
            route,
            decision.threshold,
            decision.familiarity,
            parts() if parts else (),
            nearest=nearest() if nearest else (),
        )

    async def _decided(self, question: Question, calls: Calls) -> tuple[Route, Scores, Decision]:
        start = time.perf_counter()
        decision = self.recent.applied(self.decision) if self.recent is not None else self.decision
        scores = await self.scorer.score(question, calls)
        route = decision.decide(scores, self.kind)
        if route.mixture == decision.fallback and (joined := self._joined(question)):
            again = await self.scorer.score(joined, calls)
            second = decision.decide(again, self.kind)
            if second.mixture != decision.fallback:
                route, scores = second, again
        if self.recent is not None:
            self.recent.note(decision.weight(scores))
        return replace(route, seconds=time.perf_counter() - start), scores, decision

    def _joined(self, question: Question) -> Question | None:
        """A follow-up such as "and in Rust?" with the message before it: by itself it says nothing."""
        if not question.before or not getattr(self.scorer, "reads_last_only", False):
            return None
        return replace(question, last=f"{question.before}\n{question.last}", before="")
