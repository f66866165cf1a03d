"""Names in the chart of score against cost: where they stand, and what stands for them where there is no room."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.evaluation.mixtures.page import labels, page_of
from mollm.evaluation.mixtures.page.boxes import HEIGHT, Box, cross
from mollm.evaluation.mixtures.page.columns import stacked
from mollm.evaluation.mixtures.page.scatter import scatter
from mollm.evaluation.mixtures.report import Arm
from tests.evaluation.mixtures.pages import drawings, names, read
from tests.evaluation.mixtures.reports import members, sample_report
from tests.fuzz import cases

if TYPE_CHECKING:
    from mollm.evaluation.mixtures.report import Report

INSIDE = Box(50, 20, 700, 400)


@given(st.lists(st.floats(30, 390), min_size=3, max_size=20), st.floats(60, 300), st.floats(10, 200))
@settings(max_examples=cases(60))
def test_labels_of_points_above_one_another_keep_their_order(heights: list[float], x: float, width: float) -> None:
    """On each side, from top to bottom, none on another; no line that leads to one crosses a label or another line."""
    placed = stacked([(x, y) for y in heights], [width] * len(heights), INSIDE)
    crowded = min(low - high for high, low in pairwise(sorted(heights))) < HEIGHT

    assert len(placed) == (len(heights) if crowded else 0)
    for is_right in (True, False):
        found = [(heights[n], label) for n, label in placed.items() if (label.box.left > x) is is_right]
        found.sort(key=lambda row: row[1].box.top)
        assert [y for y, _ in found] == sorted(y for y, _ in found)
        assert all(one[1].box.bottom <= other[1].box.top + 1e-6 for one, other in pairwise(found))
    leaders = [label.leader for label in placed.values() if label.leader]
    assert not [(a, b) for n, a in enumerate(leaders) for b in leaders[:n] if cross(a, b)]


def test_where_a_stack_has_no_room_labels_stand_elsewhere() -> None:
    """More points than lines of text fit: they are placed one by one, or not at all."""
    spots = [(100.0, 30.0 + n) for n in range(60)]

    assert stacked(spots, [200.0] * 60, INSIDE) == {}
    assert labels.place(spots, [600.0] * 60, INSIDE) is None


def with_arms(*arms: Arm) -> Report:
    """A report of one mixture."""
    whole = sample_report(lost=0)
    return replace(whole, mixtures=(replace(whole.mixtures[0], arms=arms),))


def many(count: int) -> list[Arm]:
    """Members whose scores go down."""
    return [replace(members()[0], name=f"model-{n} alone", score=0.9 - n / 100) for n in range(count)]


def test_more_than_twenty_arms_have_numbers_with_a_key() -> None:
    """By score, the best first; on a telephone eleven are too many for names."""
    wide, narrow = drawings(page_of(with_arms(*many(25))))[2:4]
    key = read(page_of(with_arms(*many(25)))).named("ol")
    mixed = read(page_of(with_arms(*many(12))))

    assert sorted(map(int, names(wide))) == sorted(map(int, names(narrow))) == list(range(1, 26))
    assert [part["class"] for part in key] == ["key"]
    assert [part["class"] for part in mixed.named("ol")] == ["key narrow"]
    assert mixed.text.index("model-0 alone") < mixed.text.index("model-11 alone")


def test_names_that_would_look_alike_are_numbers() -> None:
    """Where what is cut is all that tells them apart."""
    alike = [replace(arm, name=f"{'m' * 60}{n}{'m' * 60}") for n, arm in enumerate(members())]

    assert sorted(names(drawings(page_of(with_arms(*alike)))[2])) == ["1", "2", "3", "4", "5"]


def test_what_failed_on_every_question_is_not_drawn() -> None:
    """It would be a point at no score and no cost, and take the room from the others."""
    down = replace(members()[0], name="down alone", score=0.0, interval=(0.0, 0.0), cost_usd=0.0, failed=417)
    page = page_of(with_arms(*members(), down))

    assert "down alone: it failed on all 417 questions" in read(page).text
    assert all("down alone" not in names(svg) for svg in drawings(page))


def test_an_llm_that_only_reads_is_drawn_like_a_member_and_told_apart() -> None:
    """By a dot in its circle, which the words below explain."""
    reader = Arm("reader", "gpt alone", 0.88, (0.85, 0.91), 1.0, 1.0, 1.0, 0.001)  # type: ignore[arg-type, unused-ignore]
    with_one, without = (scatter([*members(), *more], 417, "chart") for more in ([reader], []))

    assert with_one.count('class="pupil"') == 2
    assert "an LLM that only reads what workers say, alone" in with_one
    assert "pupil" not in without
    assert "only reads" not in without


def test_no_line_runs_through_a_name_of_a_difference() -> None:
    """Paper lies between the line of no difference and each name."""
    wide = drawings(page_of(sample_report(lost=0)))[0]
    classes = [part.get("class") or "" for part in wide.iter()]

    assert classes.count("paper") == 3
    assert classes.index("zero") < classes.index("paper") < classes.index("main name")


@pytest.mark.parametrize("calls", [(1.0, 1.0), (1.0, 1.06), (0.5, 3.0)])
def test_no_two_ticks_read_alike(calls: tuple[float, float]) -> None:
    """However close costs lie."""
    arms = [replace(members()[n], calls=value, cost_usd=None) for n, value in enumerate(calls)]
    wide = drawings(page_of(with_arms(*arms)))[2]
    ticks = [
        part.text for part in wide.iter("text") if part.get("class") == "tick" and re.match(r"\d", part.text or "")
    ]

    assert len(set(ticks)) == len(ticks)
