"""Score against cost: the drawing, how it is read, and what is not in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.page.costs import cost_of
from mollm.evaluation.mixtures.page.drawing import SHAPES, figure
from mollm.evaluation.mixtures.page.markup import Markup, tag, together
from mollm.evaluation.mixtures.page.points import by_score, drawn
from mollm.evaluation.mixtures.page.words import share, short, squeezed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.evaluation.mixtures.page.costs import Cost
    from mollm.evaluation.mixtures.report import Arm

MOST = 60
"""Arms that are drawn, and as many that are listed."""
_ORDER: tuple[str, ...] = ("mixture", "best", "routed", "vote", "self", "random", "oracle", "member", "reader")
"""Whose name stands nearest to its point."""
_SHOWN = (
    ("mixture", "The filled diamond is the mixture."),
    ("member", "Circles are members alone."),
    ("reader", "A circle with a dot is an LLM that only reads what workers say, alone."),
    ("best", "The ring is around the best member."),
)


def scatter(arms: Sequence[Arm], questions: int, id_: str) -> Markup:
    """The chart, how it is read, and arms that are not drawn, each with the reason.

    Args:
        arms: All there are.
        questions: How many each has answered; an arm that failed on all of them has no score to look at.
        id_: Of the drawings, to begin with.
    """
    absent = {id(arm): why for arm in arms if (why := _why_not(arm, questions))}
    scored = sorted((arm for arm in arms if id(arm) not in absent), key=_rank)
    absent |= {id(arm): "there is no room for so many; it stands in the table" for arm in scored[MOST:]}
    listed = _listed([(arm, absent[id(arm)]) for arm in arms if id(arm) in absent])
    if not scored:
        return together(tag("p", "No arm has a score, so there is nothing to draw."), listed)
    shown = scored[:MOST]
    cost = cost_of(shown)
    wide, narrow = (drawn(shown, cost, width, shape, f"{id_}-{shape.split()[0]}") for width, shape in SHAPES)
    keys = _keys(shown, wide[1], narrow[1])
    return together(figure([*keys, " ".join(_read(shown, cost))], wide[0], narrow[0]), listed)


def _why_not(arm: Arm, questions: int) -> str | None:
    """Why an arm is not drawn."""
    if share(arm.score) is None:
        return short(arm.why or "it has no score", 300)
    return f"it failed on {_all(questions)}" if arm.failed >= questions > 0 else None


def _all(questions: int) -> str:
    return "the only question" if questions == 1 else f"all {questions:,} questions"


def _keys(arms: Sequence[Arm], is_wide: bool, is_narrow: bool) -> Iterator[Markup]:
    """What the numbers in the drawings stand for, where there are any."""
    if not is_wide and not is_narrow:
        return
    rows = [
        tag("li", tag("bdi", squeezed(arm.name, 80)), class_="main" if arm.kind == "mixture" else None)
        for arm in by_score(arms)
    ]
    shapes = [name for name, is_seen in (("wide", is_wide), ("narrow", is_narrow)) if is_seen]
    yield tag("ol", rows, class_=" ".join(["key", *(shapes if len(shapes) == 1 else ())]))


def _rank(arm: Arm) -> tuple[int, float]:
    return _ORDER.index(arm.kind) if arm.kind in _ORDER else len(_ORDER), -(arm.score or 0.0)


def _read(arms: Sequence[Arm], cost: Cost) -> Iterator[str]:
    kinds: set[str] = {arm.kind for arm in arms}
    yield f"Further up is better, further left {cost.fewer}."
    yield " ".join(told for kind, told in _SHOWN if kind in kinds)
    if any(arm.interval for arm in arms):
        yield "Upright lines are 95 % intervals."
    if sum(arm.is_on_front and cost.of(arm) is not None for arm in arms) > 1:
        yield "The dashed line joins the arms that nothing beats at as low a cost (the Pareto front)."
    if any(cost.of(arm) is None for arm in arms):
        yield "A dotted line is the score of an arm that has no cost."


def _listed(absent: Sequence[tuple[Arm, str]]) -> Markup | None:
    if not absent:
        return None
    lines = [tag("li", tag("bdi", squeezed(arm.name, 80)), ": ", why) for arm, why in absent[:MOST]]
    more = tag("li", f"{len(absent) - MOST:,} more, in report.json") if len(absent) > MOST else None
    return together(tag("p", "Not drawn:"), tag("ul", lines, more))
