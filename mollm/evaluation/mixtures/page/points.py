"""The drawing of score against cost: points, their intervals, the front and the names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.page import axes, labels
from mollm.evaluation.mixtures.page.boxes import Box
from mollm.evaluation.mixtures.page.drawing import NARROW, WIDE, across, line, picture, upright, words
from mollm.evaluation.mixtures.page.markup import Markup, tag, together
from mollm.evaluation.mixtures.page.words import finite, percent, percents, share, short, span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.evaluation.mixtures.page.boxes import Line, Placed
    from mollm.evaluation.mixtures.page.costs import Cost
    from mollm.evaluation.mixtures.report import Arm

_LEFT, _TOP, _BELOW, _RIGHT = 50, 26, 46, 14
_ABOVE = 18
"""Pixels that are kept for names above a score of 100 %."""
_ASIDE = 0.12
"""Share of the width that is kept for names to the right of the dearest arm."""
MOST_NAMED = {WIDE: 20, NARROW: 10}
"""Arms that have their names beside them, by the width of the drawing; more have numbers."""
_SAID = 40
"""Arms that the description of a drawing lists."""
_ALONE: tuple[str, ...] = ("member", "reader")
"""Kinds of arms that are one call to one LLM."""


@dataclass(frozen=True)
class Chart:
    """Arms with a score, the one that matters most first, in a drawing of some size."""

    arms: Sequence[Arm]
    cost: Cost
    width: float
    height: float

    @cached_property
    def across(self) -> axes.Axis:
        """Costs."""
        known = [cost for arm in self.arms if (cost := self.cost.of(arm)) is not None]
        return axes.of_costs(known or [0.0, 1.0], _LEFT + 12, self.right - _ASIDE * self.width)

    @cached_property
    def upright(self) -> axes.Axis:
        """Scores."""
        ends = [share(end) for arm in self.arms for end in (arm.score, *(span(arm.interval) or ()))]
        return axes.linear([end for end in ends if end is not None], self.bottom, _TOP + _ABOVE, (0.0, 1.0))

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.width - _RIGHT

    @property
    def bottom(self) -> float:
        """Where the axis of costs lies."""
        return self.height - _BELOW

    def spot(self, arm: Arm) -> tuple[float, float]:
        """Where an arm is drawn; one without a cost is a line, which ends there."""
        cost = self.cost.of(arm)
        return self.right - 4 if cost is None else self.across.at(cost), self.upright.at(arm.score or 0.0)

    def interval(self, arm: Arm) -> Line | None:
        """Its interval, upright."""
        ends = span(arm.interval)
        if ends is None or any(share(end) is None for end in ends) or self.cost.of(arm) is None:
            return None
        x, _ = self.spot(arm)
        return x, self.upright.at(ends[0]), x, self.upright.at(ends[1])

    def front(self) -> list[tuple[float, float]]:
        """Where the line of arms that nothing beats turns."""
        return sorted({self.spot(arm) for arm in self.arms if arm.is_on_front and self.cost.of(arm) is not None})

    def placed(self, widths: Sequence[float]) -> list[Placed] | None:
        """Where the names stand; None if there is no room for them."""
        spans = [found for arm in self.arms if (found := self.interval(arm))]
        levels = [
            (_LEFT, y, self.right, y) for arm in self.arms if self.cost.of(arm) is None for y in [self.spot(arm)[1]]
        ]
        front = [(*one, *other) for one, other in pairwise(self.front())]
        inside = Box(_LEFT + 2, _TOP + 1, self.width - 2, self.bottom - 2)
        return labels.place([self.spot(arm) for arm in self.arms], widths, inside, [*spans, *levels, *front])


def drawn(arms: Sequence[Arm], cost: Cost, width: int, shape: str, id_: str) -> tuple[Markup, bool]:
    """Draw arms that have a score; the more there are, the higher it is.

    Returns:
        The drawing, and whether each arm has its number, by score, where its name would be: names have no room.
    """
    chart = Chart(arms, cost, width, max(380.0, 24.0 * min(len(arms), MOST_NAMED[width])))
    names = [labels.fitted(_brief(arm, width), 0.5 * width, 24 + width // 45) for arm in arms]
    is_named = len(arms) <= MOST_NAMED[width] and len(set(names)) == len({arm.name for arm in arms})
    placed = chart.placed(_widths(arms, names)) if is_named else None
    is_numbered = placed is None or not all(label.is_clear for label in placed)
    if is_numbered:
        ranks = {id(arm): f"{rank}" for rank, arm in enumerate(by_score(arms), 1)}
        names = [ranks[id(arm)] for arm in arms]
        while (placed := chart.placed(_widths(arms, names))) is None:
            chart = Chart(arms, cost, width, chart.height * 1.3)
    return _picture(chart, names, placed or (), shape, id_), is_numbered


def by_score(arms: Sequence[Arm]) -> list[Arm]:
    """The best first."""
    return sorted(arms, key=lambda arm: -(finite(arm.score) or 0.0))


def _widths(arms: Sequence[Arm], names: Sequence[str]) -> list[float]:
    return [
        labels.width_of(name) * (labels.BOLD if arm.kind == "mixture" else 1)
        for name, arm in zip(names, arms, strict=True)
    ]


def _picture(chart: Chart, names: Sequence[str], placed: Sequence[Placed], shape: str, id_: str) -> Markup:
    arms = chart.arms
    return picture(
        "Score against cost",
        _described(arms, chart.cost),
        (chart.width, chart.height),
        _axes(chart),
        [tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in chart.front()), class_="front")],
        [line(*found, _class(arm, "span")) for arm in arms if (found := chart.interval(arm))],
        [line(*spot.leader, "leader") for spot in placed if spot.leader],
        [_point(chart, arm) for arm in reversed(arms)],
        [_name(chart, name, arm, spot) for name, arm, spot in zip(names, arms, placed, strict=True)],
        shape=shape,
        id_=id_,
    )


def _brief(arm: Arm, width: float) -> str:
    """Its name, without what stands in brackets or behind a comma where that is long; the table has all of it."""
    if arm.kind in _ALONE or len(arm.name) <= width // 30:
        return arm.name
    return arm.name.partition(" (")[0].partition(", ")[0]


def _axes(chart: Chart) -> Iterator[Markup]:
    scores = [(tick, percent(tick, 0)) for tick in chart.upright.ticks(7)]
    if len({text for _, text in scores}) < len(scores):
        scores = [(tick, percent(tick)) for tick, _ in scores]
    costs = [(tick, chart.cost.written(tick)) for tick in chart.across.ticks(4 if chart.width == NARROW else 8)]
    if len({text for _, text in costs}) < len(costs):
        costs = [(tick, f"{tick:,.4g}") for tick, _ in costs]
    name = f"{chart.cost.name} (logarithmic)" if chart.across.is_log else chart.cost.name
    yield words("score", 4, 14, "tick")
    yield from upright(chart.upright, scores, _LEFT, chart.right)
    yield from across(chart.across, costs, _TOP, chart.bottom)
    yield words(name, (_LEFT + chart.right) / 2, chart.height - 8, "tick", "middle")


def _point(chart: Chart, arm: Arm) -> Markup:
    x, y = chart.spot(arm)
    if chart.cost.of(arm) is None:
        return line(_LEFT, y, chart.right, y, "level")
    if arm.kind == "mixture":
        return tag(
            "path",
            d=f"M{x - 8:.1f} {y:.1f}L{x:.1f} {y - 8:.1f}L{x + 8:.1f} {y:.1f}L{x:.1f} {y + 8:.1f}Z",
            class_="main dot",
        )
    if arm.kind == "best":
        return tag("circle", cx=x, cy=y, r=8.5, class_="ring")
    if arm.kind in _ALONE:
        pupil = None if arm.kind == "member" else tag("circle", cx=x, cy=y, r=2, class_="pupil")
        return together(tag("circle", cx=x, cy=y, r=4.5, class_="dot"), pupil)
    return tag("rect", x=x - 4.5, y=y - 4.5, width=9, height=9, class_="dot")


def _name(chart: Chart, name: str, arm: Arm, spot: Placed) -> Markup:
    """It ends at its point where it stands to the left of it: a box is as wide as the widest font."""
    x, _ = chart.spot(arm)
    if spot.box.right <= x:
        return words(name, spot.box.right - 1, spot.box.bottom - 4, _class(arm, "name"), "end")
    return words(name, spot.box.left + 1, spot.box.bottom - 4, _class(arm, "name"))


def _class(arm: Arm, class_: str) -> str:
    return f"main {class_}" if arm.kind == "mixture" else class_


def _described(arms: Sequence[Arm], cost: Cost) -> str:
    said = [
        f"{short(arm.name, 60)}: {percent(arm.score)} ({percents(arm.interval)}) at {cost.written(cost.of(arm))}"
        for arm in by_score(arms)[:_SAID]
    ]
    return f"{count(len(arms), 'arm')} by score, at {cost.name}. {'; '.join(said)}."
