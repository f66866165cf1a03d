"""Questions of several mixtures: what is learned from them, and how good two mixtures for one question are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation import metrics
from mollm.evaluation.asking import answering
from mollm.evaluation.questions import mixtures_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mollm.evaluation.metrics import SetScores
    from mollm.routing.base import Scores
    from mollm.routing.learned import LearnedScorer
    from mollm.training.data import Labelled

ENOUGH = 20
"""Held-out questions of several mixtures from which on a bound is fitted to them."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What a second mixture brings, on held-out questions of which some belong to several."""

    several: int
    """How many do."""
    bound: float
    """How well a second mixture must suit, 0 to 1, for the micro F1 on all of them to be best."""
    joined: SetScores
    """Of what is decided; of either half of the questions by the bound that is best on the other half."""
    first_only: SetScores
    """Of the same without a second mixture."""


def examples(data: Labelled) -> dict[str, list[str]]:
    """The questions of each mixture that a router is fitted on.

    One of several mixtures is no example of any: it is as much like the others. Only where a mixture has no question of
    its own, those that it shares are.
    """
    own = data.only(row for row, label in enumerate(data.labels) if len(mixtures_of(label)) == 1).by_mixture()
    return {name: own.get(name) or shared for name, shared in data.by_mixture().items()}


def joined(scorer: LearnedScorer, scores: Sequence[Scores], labels: Sequence[str]) -> Joined | None:
    """Fit the bound of the second mixture, and measure it; None if fewer than `ENOUGH` questions belong to several.

    Args:
        scorer: The router.
        scores: What it says of questions that it did not see.
        labels: Of the same.
    """
    wanted = [mixtures_of(label) for label in labels]
    several = sum(len(names) > 1 for names in wanted)
    if several < ENOUGH:
        return None
    decisions = _Decisions.of(scorer, scores, wanted)
    half = np.random.default_rng(0).permutation(len(wanted)) % 2 == 0
    bounds = np.where(half, decisions.best(~half), decisions.best(half))
    return Joined(
        several=several,
        bound=decisions.best(np.ones(len(wanted), dtype=np.bool_)),
        joined=metrics.of_sets(wanted, decisions.found(bounds)),
        first_only=metrics.of_sets(wanted, decisions.alone),
    )


@dataclass(frozen=True, slots=True)
class _Decisions:
    """What is decided about each question, with and without a second mixture."""

    wanted: list[tuple[str, ...]]
    alone: list[tuple[str, ...]]
    both: list[tuple[str, ...]]
    suits: NDArray[np.float64]
    """How well the second of `both` suits, 0 to 1, shape (n,); -1 where there is none."""

    @classmethod
    def of(cls, scorer: LearnedScorer, scores: Sequence[Scores], wanted: list[tuple[str, ...]]) -> _Decisions:
        decision = replace(scorer.decision(), multi=True, second=0.0)
        routes = [decision.decide(one, scorer.kind) for one in scores]
        # The first one alone is what is left if the second is taken away, as `mollm eval router` counts it.
        suits = [
            one.suits(route.second) if route.second and one.suits else -1.0
            for one, route in zip(scores, routes, strict=True)
        ]
        both = [answering(route) for route in routes]
        return cls(wanted, [names[:1] for names in both], both, np.array(suits, dtype=np.float64))

    def found(self, bounds: NDArray[np.float64]) -> list[tuple[str, ...]]:
        """The mixtures of each question, by a bound for each, shape (n,)."""
        joins = self.suits >= bounds
        return [both if join else alone for join, both, alone in zip(joins, self.both, self.alone, strict=True)]

    def best(self, rows: NDArray[np.bool_]) -> float:
        """The bound at which the micro F1 of some of the questions is largest; of equal ones the highest."""
        order = np.flatnonzero(rows)[np.argsort(-self.suits[rows], kind="stable")]
        order = order[self.suits[order] >= 0.0]
        hits = sum(self.alone[row][0] in self.wanted[row] for row in np.flatnonzero(rows))
        size = sum(1 + len(self.wanted[row]) for row in np.flatnonzero(rows))
        gained = np.array([self.both[row][1] in self.wanted[row] for row in order], dtype=np.int64)
        f1 = 2.0 * (hits + np.cumsum(gained)) / (size + np.arange(1, len(order) + 1))
        values = self.suits[order]
        f1[:-1][values[1:] == values[:-1]] = 0.0  # no bound lies between equal ones
        if not len(order) or f1.max() <= 2.0 * hits / size:
            return 1.0
        return float(values[int(f1.argmax())])
