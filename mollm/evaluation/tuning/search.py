"""The search: orders of the members, all shapes of each, and the one that is taken."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mollm.evaluation.tuning.ordering import costs_of, orders_of
from mollm.evaluation.tuning.outcomes import Outcome, Outcomes
from mollm.evaluation.tuning.settings import ALONE, MOST, ORDERS, SURE, Setting, Shape, shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.simulating import Confidence
    from mollm.evaluation.mixtures.table import Table
    from mollm.evaluation.tuning.outcomes import Known, OfMembers

Fit: TypeAlias = "Callable[[Table, tuple[str, ...]], Confidence]"
"""Fits on questions how sure some of the members are, asked in this order."""
Tried: TypeAlias = "tuple[Shape, Outcome]"

FOLDS = 5
SAME_COST = 1.02
"""Costs that are at most so many times the least are the same."""


@dataclass(frozen=True, slots=True)
class Dial:
    """What a mixture may take per question, on average; None: any number."""

    calls: float | None = None
    cost_usd: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether it limits anything."""
        return self.calls is not None or self.cost_usd is not None

    def allows(self, outcome: Outcome) -> bool:
        """Whether a setting stays below both; one without a price never stays below a cost."""
        is_cheap = self.cost_usd is None or outcome.mean_cost <= self.cost_usd
        return is_cheap and (self.calls is None or outcome.mean_calls <= self.calls)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found on its half. Outcomes are cross-validated: the order of members is of other questions."""

    by_score: tuple[str, ...]
    """The members, the best first."""
    alone: Outcome
    """Of the best member."""
    setting: Setting | None
    """None: there is only one member, or none of the settings is allowed."""
    outcome: Outcome | None
    front: tuple[tuple[Setting, Outcome], ...]
    """Nothing that was tried scores higher for as little; the cheapest first, the best member alone included."""
    tried: int
    fitted: OfMembers | None = None
    """Calibrates on all questions of the half."""

    @property
    def best_member(self) -> str:
        """The member that scores highest alone."""
        return self.by_score[0]

    @property
    def vote(self) -> Setting | None:
        """As many members as the setting has, all asked, the best first."""
        size = len(self.setting.members) if self.setting else 0
        return Setting(self.by_score[:size], size) if size else None


def search(table: Table, *, most: int = MOST, dial: Dial = Dial(), fit: Fit | None = None, seed: int = 0) -> Found:
    """Try all settings on the questions of `table`.

    Each shape is scored by cross-validation: the members are ordered on four fifths of the questions, and asked on the
    last fifth. Without that, an order that fits these questions seems better than it is on others.

    Args:
        table: What every member says alone, n questions and m members.
        most: Members of a mixture at most.
        dial: What a mixture may take.
        fit: Calibrates, for settings that stop when they are sure; None: none of these is tried.
        seed: Of the folds.
    """
    kinds = ORDERS if not np.isnan(costs_of(table)).any() else ORDERS[:-1]
    listed = [*shapes(kinds, min(most, len(table.members)), SURE if fit else ())]
    alone, *found = _cross_validated(table, [ALONE, *listed], most, fit, seed)
    orders = orders_of(table, most)
    tried = [*zip(listed, found, strict=True)]
    allowed = [pair for pair in tried if dial.allows(pair[1])]
    best = taken(allowed, thrifty=not dial.is_set) if allowed else None
    shape, outcome = best or (None, None)
    by_setting: dict[Setting, Tried] = {}
    for pair in (*([best] if best else []), (ALONE, alone), *tried):  # two orders may list the same members alike
        by_setting.setdefault(pair[0].of(orders), pair)
    return Found(
        by_score=orders["score"],
        alone=alone,
        setting=shape.of(orders) if shape else None,
        outcome=outcome,
        front=tuple((shape.of(orders), outcome) for shape, outcome in front([*by_setting.values()])),
        tried=len(tried),
        fitted=_fitted(fit, table),
    )


def _cross_validated(table: Table, listed: Sequence[Shape], most: int, fit: Fit | None, seed: int) -> Iterable[Outcome]:
    """What comes of each shape, on every question by an order of the others."""
    count = len(table.ids)
    fold_of = np.random.default_rng(seed).permutation(count) % min(FOLDS, count)
    columns = np.empty((len(listed), 3, count))
    known: Known = {}
    for fold in range(min(FOLDS, count)):
        held = fold_of == fold
        rest = table.part(~held) if count > 1 else table
        orders = orders_of(rest, most)
        outcomes = Outcomes(table.part(held), _fitted(fit, rest), known)
        done: dict[Setting, Outcome] = {}
        for number, shape in enumerate(listed):
            setting = shape.of(orders)
            if setting not in done:
                done[setting] = outcomes.of(setting)
            of = done[setting]
            columns[number][:, held] = of.scores, of.calls, of.cost_usd
    return [Outcome(*arrays) for arrays in columns]


def _fitted(fit: Fit | None, table: Table) -> OfMembers | None:
    """Fit on these questions, once for the same members."""
    return cache(partial(fit, table)) if fit else None


def taken(allowed: Sequence[Tried], *, thrifty: bool) -> Tried:
    """One that is as good as the highest score, as far as these questions can tell.

    As good is what lies within one standard error of it, which is how Breiman et al. (1984) take a tree. Of these the
    members that score highest alone are preferred, since no other order was fitted to so little, and as many of them
    as there are: a further one is asked only where those before disagree.

    A count is preferred to a probability: it needs no calibration, which is of one day and these questions.

    Args:
        allowed: What was tried; at least one.
        thrifty: Only of the cheapest that are as good.
    """
    best = min(allowed, key=_rank)
    within = [pair for pair in allowed if _is_within_noise(pair[1].scores, best[1].scores)]
    if thrifty:
        least = min(_cost(outcome) for _, outcome in within)
        within = [pair for pair in within if _cost(pair[1]) <= SAME_COST * least]
    return min(within, key=_preferred)


def front(tried: Sequence[Tried]) -> list[Tried]:
    """The settings that nothing beats at their price, the cheapest first."""
    kept: list[Tried] = []
    for pair in sorted(tried, key=lambda pair: (_cost(pair[1]), *_rank(pair))):
        if not kept or pair[1].score > kept[-1][1].score:
            kept.append(pair)
    return kept


def _is_within_noise(scores: Floats, best: Floats) -> bool:
    """Whether they are at most one standard error of their paired difference below the best."""
    lost = best - scores
    return bool(lost.mean() <= lost.std() / np.sqrt(len(lost)))


def _rank(pair: Tried) -> tuple[float, float, int, int, int]:
    """The highest score first, then the cheapest, the fewest members, and what ends soonest."""
    shape, outcome = pair
    return -outcome.score, _cost(outcome), shape.size, -shape.ask_first, -shape.widen


def _preferred(pair: Tried) -> tuple[bool, bool, int, *tuple[float, ...]]:
    """Of what is as good: counts, the order by the score, the most members."""
    shape = pair[0]
    return shape.sure is not None, shape.order != "score", -shape.size, *_rank(pair)


def _cost(outcome: Outcome) -> float:
    """USD per question where every member has a price, else calls."""
    return outcome.mean_calls if np.isnan(outcome.mean_cost) else outcome.mean_cost
