"""Score against cost: the drawing, how it is read, and what is not in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.page.costs import cost_of
from mollm.evaluation.mixtures.page.drawing import figure, twice
from mollm.evaluation.mixtures.page.markup import Markup, tag, together
from mollm.evaluation.mixtures.page.points import drawn
from mollm.evaluation.mixtures.page.words import share, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.evaluation.mixtures.page.costs import Cost
    from mollm.evaluation.mixtures.report import Arm

MOST = 60
"""Arms that are drawn, and as many that are listed."""
_ORDER = ("mixture", "best", "routed", "vote", "self", "random", "oracle", "member")
"""Whose name stands nearest to its point."""


def scatter(arms: Sequence[Arm], id_: str) -> Markup:
    """The chart, how it is read, and arms that are not drawn, each with the reason."""
    scored = sorted((arm for arm in arms if share(arm.score) is not None), key=_rank)[:MOST]
    absent = [arm for arm in arms if not any(arm is other for other in scored)]
    if not scored:
        return together(tag("p", "No arm has a score, so there is nothing to draw."), _listed(absent))
    cost = cost_of(scored)
    pictures = twice(lambda width, shape: drawn(scored, cost, width, shape, f"{id_}-{shape.split()[0]}"))
    return together(figure(" ".join(_read(scored, cost)), *pictures), _listed(absent))


def _rank(arm: Arm) -> int:
    return _ORDER.index(arm.kind) if arm.kind in _ORDER else len(_ORDER)


def _read(arms: Sequence[Arm], cost: Cost) -> Iterator[str]:
    yield f"Further up is better, further left {cost.fewer}."
    if any(arm.kind == "mixture" for arm in arms):
        yield "The filled diamond is the mixture."
    if any(arm.kind == "best" for arm in arms):
        yield "The ring is around the best member."
    if any(arm.interval for arm in arms):
        yield "Upright lines are 95 % intervals."
    if sum(arm.is_on_front and cost.of(arm) is not None for arm in arms) > 1:
        yield "The dashed line joins the arms that nothing beats at as low a cost (the Pareto front)."
    if any(cost.of(arm) is None for arm in arms):
        yield "A dotted line is the score of an arm that has no cost."


def _listed(arms: Sequence[Arm]) -> Markup | None:
    if not arms:
        return None
    lines = [tag("li", tag("bdi", short(arm.name, 80)), ": ", _why(arm)) for arm in arms[:MOST]]
    more = tag("li", f"{len(arms) - MOST:,} more, in report.json") if len(arms) > MOST else None
    return together(tag("p", "Not drawn:"), tag("ul", lines, more))


def _why(arm: Arm) -> str:
    if share(arm.score) is not None:
        return "there is no room for so many; it stands in the table"
    return short(arm.why or "it has no score", 300)
