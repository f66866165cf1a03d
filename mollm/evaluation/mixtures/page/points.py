"""The drawing of score against cost: points, their intervals, the front and the names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.page import axes, labels
from mollm.evaluation.mixtures.page.drawing import NARROW, across, line, picture, upright, words
from mollm.evaluation.mixtures.page.markup import Markup, tag
from mollm.evaluation.mixtures.page.words import finite, percent, percents, share, short, span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.evaluation.mixtures.page.costs import Cost
    from mollm.evaluation.mixtures.report import Arm

_LEFT, _TOP, _BELOW, _RIGHT = 50, 26, 46, 14
_ASIDE = 0.12
"""Share of the width that is kept for names to the right of the dearest arm."""
_SAID = 40
"""Arms that the description of a drawing lists."""


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
        return axes.linear([end for end in ends if end is not None], self.bottom, _TOP, (0.0, 1.0))

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

    def interval(self, arm: Arm) -> labels.Line | None:
        """Its interval, upright."""
        ends = span(arm.interval)
        if ends is None or any(share(end) is None for end in ends) or self.cost.of(arm) is None:
            return None
        x, _ = self.spot(arm)
        return x, self.upright.at(ends[0]), x, self.upright.at(ends[1])

    def front(self) -> list[tuple[float, float]]:
        """Where the line of arms that nothing beats turns."""
        return sorted({self.spot(arm) for arm in self.arms if arm.is_on_front and self.cost.of(arm) is not None})

    def placed(self, widths: Sequence[float]) -> list[labels.Placed] | None:
        """Where the names stand; None if there is no room for them."""
        spans = [found for arm in self.arms if (found := self.interval(arm))]
        levels = [
            (_LEFT, y, self.right, y) for arm in self.arms if self.cost.of(arm) is None for y in [self.spot(arm)[1]]
        ]
        front = [(*one, *other) for one, other in pairwise(self.front())]
        inside = labels.Box(_LEFT + 2, 4, self.width - 2, self.bottom - 2)
        return labels.place([self.spot(arm) for arm in self.arms], widths, inside, [*spans, *levels, *front])


def drawn(arms: Sequence[Arm], cost: Cost, width: float, shape: str, id_: str) -> Markup:
    """Draw arms that have a score; the more there are, the higher it is."""
    names = [labels.fitted(_brief(arm, width), 0.5 * width) for arm in arms]
    widths = [
        labels.width_of(name) * (labels.BOLD if arm.kind == "mixture" else 1)
        for name, arm in zip(names, arms, strict=True)
    ]
    chart = Chart(arms, cost, width, max(380.0, 24.0 * len(arms)))
    while (placed := chart.placed(widths)) is None:
        chart = Chart(arms, cost, width, chart.height * 1.3)
    named = zip(names, arms, placed, strict=True)
    return picture(
        "Score against cost",
        _described(arms, cost),
        (width, chart.height),
        _axes(chart),
        [tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in chart.front()), class_="front")],
        [line(*found, _class(arm, "span")) for arm in arms if (found := chart.interval(arm))],
        [line(*spot.leader, "leader") for spot in placed if spot.leader],
        [_point(chart, arm) for arm in reversed(arms)],
        [_name(chart, name, arm, spot) for name, arm, spot in named],
        shape=shape,
        id_=id_,
    )


def _brief(arm: Arm, width: float) -> str:
    """Its name, without what stands in brackets or behind a comma where that is long; the table has all of it."""
    if arm.kind == "member" or len(arm.name) <= width // 30:
        return arm.name
    return arm.name.partition(" (")[0].partition(", ")[0]


def _axes(chart: Chart) -> Iterator[Markup]:
    scores = [(tick, percent(tick, 0)) for tick in chart.upright.ticks(7)]
    if len({text for _, text in scores}) < len(scores):
        scores = [(tick, percent(tick)) for tick, _ in scores]
    costs = [(tick, chart.cost.written(tick)) for tick in chart.across.ticks(4 if chart.width == NARROW else 8)]
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
    if arm.kind == "member":
        return tag("circle", cx=x, cy=y, r=4.5, class_="dot")
    return tag("rect", x=x - 4.5, y=y - 4.5, width=9, height=9, class_="dot")


def _name(chart: Chart, name: str, arm: Arm, spot: labels.Placed) -> Markup:
    """It ends at its point where it stands to the left of it: a box is as wide as the widest font."""
    x, _ = chart.spot(arm)
    if spot.box.right <= x:
        return words(name, spot.box.right - 1, spot.box.bottom - 4, _class(arm, "name"), "end")
    return words(name, spot.box.left + 1, spot.box.bottom - 4, _class(arm, "name"))


def _class(arm: Arm, class_: str) -> str:
    return f"main {class_}" if arm.kind == "mixture" else class_


def _described(arms: Sequence[Arm], cost: Cost) -> str:
    ranked = sorted(arms, key=lambda arm: -(finite(arm.score) or 0.0))
    said = [
        f"{short(arm.name, 60)}: {percent(arm.score)} ({percents(arm.interval)}) at {cost.written(cost.of(arm))}"
        for arm in ranked[:_SAID]
    ]
    return f"{count(len(arms), 'arm')} by score, at {cost.name}. {'; '.join(said)}."
