"""The orders in which members may be listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.mixtures.scores.base import RIGHT
from mollm.evaluation.tuning.outcomes import votes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.metrics import Bools, Floats
    from mollm.evaluation.mixtures.table import Table
    from mollm.evaluation.tuning.settings import Order


def orders_of(table: Table, most: int) -> dict[Order, tuple[str, ...]]:
    """Order the members by each of `ORDERS`; of members that score alike the one that costs less comes first."""
    scores, costs = table.scores.mean(axis=0), np.nan_to_num(costs_of(table), nan=0.0)
    by_score = sorted(range(len(table.members)), key=lambda m: (-scores[m], costs[m], m))
    by_cost = sorted(by_score[:most], key=lambda m: costs[m])
    found: dict[Order, Sequence[int]] = {"score": by_score, "gain": by_gain(table, by_score, most), "cost": by_cost}
    return {order: tuple(table.members[m] for m in numbers) for order, numbers in found.items()}


def costs_of(table: Table) -> Floats:
    """What each member costs per question, USD, shape (m,); NaN where it has no price."""
    costs: Floats = np.where(table.arrived, table.cost_usd, 0.0).mean(axis=0)
    return costs


def by_gain(table: Table, by_score: Sequence[int], most: int) -> list[int]:
    """Greedy forward selection: the next is always the one that adds most.

    A second vote never changes the first, and a fourth seldom three, so what is added up is not how often the vote
    is right, but how near it comes: the lead of the right answer over the most frequent wrong one, squashed to 0 to 1.
    """
    votes = votes_of(table)
    # Which of the values are right: those that a member gave who was.
    right: Bools = np.any((table.scores >= RIGHT)[:, :, None] & votes, axis=1)
    order, counts = [by_score[0]], votes[:, by_score[0]].astype(float)
    while len(order) < min(most, len(by_score)):
        rest = [member for member in by_score if member not in order]
        order.append(max(rest, key=lambda member: _nearness(counts + votes[:, member], right)))
        counts += votes[:, order[-1]]
    return order


def _nearness(counts: Floats, right: Bools) -> float:
    """How near votes come to the right answer, 0 to 1: counts and truth of each value, shape (n, values)."""
    lead = np.where(right, counts, 0.0).max(axis=1) - np.where(right, 0.0, counts).max(axis=1)
    return float((1.0 / (1.0 + np.exp(-lead))).mean())
