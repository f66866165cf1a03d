"""The page of a report: everything is on it, and no text of anybody's is more than a text."""

from __future__ import annotations

import dataclasses
import math
import typing
from dataclasses import replace
from types import NoneType, UnionType
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mollm.evaluation.mixtures.page import axes, labels, page_of
from mollm.evaluation.mixtures.page.boxes import Box
from mollm.evaluation.mixtures.page.document import POLICY
from mollm.evaluation.mixtures.page.words import number, percent, points, usd
from mollm.evaluation.mixtures.report import Arm, Bin, Excluded, Report, Side
from tests.evaluation.mixtures.pages import drawings, names, read
from tests.evaluation.mixtures.picture import PICTURE, picture
from tests.evaluation.mixtures.reports import HOSTILE, crowded_report, hostile_report, members, sample_report
from tests.fuzz import cases

TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))
EDGES = (0.0, 1.0, 0.5, -1.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, 1e-9)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    float: st.one_of(st.sampled_from(EDGES), st.floats(0, 1)),
    int: st.sampled_from((0, 1, 2, 417, 10**12)),
    bool: st.booleans(),
    NoneType: st.none(),
}


def anything(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a class of the report with anything in their fields."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        fields = typing.get_type_hints(kind)
        return st.builds(kind, **{name: anything(field) for name, field in fields.items()})  # type: ignore[arg-type]
    if origin is typing.Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        several = st.lists(anything(inner[0]), max_size=2).map(tuple)
        return several if inner[1] is ... else st.tuples(*map(anything, inner))
    return st.one_of(*map(anything, inner)) if origin in (typing.Union, UnionType) else SIMPLE[kind]


def with_arms(*arms: Arm) -> Report:
    """A report of one mixture."""
    whole = sample_report(lost=0)
    return replace(whole, mixtures=(replace(whole.mixtures[0], arms=arms),))


@pytest.mark.fuzz
@given(anything(Report))
@settings(max_examples=cases(40), suppress_health_check=list(HealthCheck))
def test_any_report_is_a_page(report: Report) -> None:
    """Valid, without an element that texts brought, and nothing in its drawings that is no number."""
    page = page_of(report)

    read(page)
    drawings(page)


def test_everything_is_on_the_page() -> None:
    """Verdict, interval, arms, kinds, router, what was turned, lost and excluded, notes, and how it was made."""
    report = sample_report()
    found = read(page_of(report))
    mixture = report.mixtures[0]
    assert mixture.turned
    assert mixture.domains
    assert report.router

    told = [
        mixture.verdict.sentence[1:],
        "Against plain vote of 5: +0.7",
        "+3.6 percentage points",
        "+0.9 to +6.4",
        "p = 0.008",
        "4,100 questions would be",
        "better on 31 and worse on 16 of 417",
    ]
    told += [arm.name for arm in mixture.arms] + [arm.why for arm in mixture.arms if arm.why]
    told += [*mixture.domains.kinds, *mixture.domains.names, *report.router.mixtures, "13 of 181", "4 of 181"]
    told += [text for row in mixture.excluded for text in (row.id, row.place, row.why)]
    told += [text for one in mixture.lost for text in (one.id, one.question, one.answer.text, one.best.text)]
    told += [side.text for one in mixture.lost for side in one.proposals]
    told += [*report.notes, report.data_digest, mixture.digest, report.date, report.score, "no LLM was called"]

    assert [text for text in told if text not in found.text] == []


def test_the_page_needs_nothing_and_may_do_nothing() -> None:
    """No script, no address but its own headings, and a policy that says so to the browser."""
    found = read(page_of(sample_report()))

    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in found.named("meta")
    assert "script" not in POLICY
    assert POLICY.startswith("default-src 'none'")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_a_text_wherever_it_stands(text: str) -> None:
    """The same elements as with a harmless one, in every field that holds a text of somebody's."""
    assert shape(text) == shape("harmless")


def shape(text: str) -> list[str]:
    """The elements of a page in which a text stands everywhere."""
    page = page_of(hostile_report(text))
    drawings(page)
    return [tag for tag, _ in read(page).tags]


def test_texts_of_a_megabyte_are_cut_with_a_word_about_it() -> None:
    """In every field; the page stays small."""
    page = page_of_long("<" * 1_000_000)

    assert "characters cut" in read(page).text
    assert len(page.encode()) < 2_000_000


def page_of_long(text: str) -> str:
    """A page whose texts are as long as can be."""
    report = sample_report(lost=30)
    mixture = report.mixtures[0]
    side = Side(text, text, text, 0.0, text)
    lost = [replace(one, question=text, answer=side, best=side, proposals=(side,) * 5) for one in mixture.lost]
    arms = [replace(arm, name=text, why=text) for arm in mixture.arms]
    excluded = [Excluded(text, text, text)] * 30
    mixture = replace(mixture, name=text, arms=tuple(arms), lost=tuple(lost), excluded=tuple(excluded))
    return page_of(replace(report, mixtures=(mixture,), notes=(text,), data=text))


def test_hundreds_of_lost_questions_stay_usable() -> None:
    """300 of five proposals of 2 KB: all of them below 2 MB, 10 to see and the others folded."""
    page = page_of(sample_report(lost=300, words=400))

    assert len(page.encode()) < 2_000_000
    assert page.count("<article>") == 10
    assert page.count("<summary><bdi>exam-") == 290
    assert "The other 290 questions" in page
    assert "report.json has all of them" in page
    assert "have no room on this page" not in page


def test_what_has_no_room_is_counted() -> None:
    """Of thousands of lost questions, those that are not on the page."""
    report = sample_report(lost=10, words=100)
    mixture = report.mixtures[0]
    page = page_of(replace(report, mixtures=(replace(mixture, lost=mixture.lost * 150),)))

    assert len(page.encode()) < 2_000_000
    assert "questions more have no room on this page; report.json has them" in page


def test_a_report_of_nothing_is_a_page() -> None:
    """No mixture, no arm, no question."""
    nothing = Report("", "", "", 0, "", "", False, ())
    found = read(page_of(nothing))
    bare = sample_report(lost=0).mixtures[0]
    empty = page_of(replace(nothing, mixtures=(replace(bare, arms=(), gain=None, agreement=(), confidence=()),)))

    assert "There is no mixture in this report." in found.text
    assert "No arm has a score" in read(empty).text


def test_one_arm_is_drawn() -> None:
    """Without an interval, and without a price: by its calls."""
    wide, _, *_ = drawings(page_of(with_arms(Arm("mixture", "alone", 0.5, calls=1.0))))[2:]

    assert names(wide) == ["alone"]
    assert "calls per question" in "".join(wide.itertext())


def test_every_arm_with_a_score_has_its_name_in_the_drawing() -> None:
    """Those without a cost as well; those without a score are listed with the reason."""
    report = sample_report()
    wide, narrow = drawings(page_of(report))[2:4]
    known = [arm.name for arm in report.mixtures[0].arms if arm.score is not None]

    assert sorted(map(name_begins, names(wide))) == sorted(map(name_begins, known))
    assert len(names(narrow)) == len(known)
    assert "routed" not in known
    assert "Not drawn" in read(page_of(report)).text


def name_begins(name: str) -> str:
    """What every drawing shows of a name."""
    return name[:6]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, 17.0])
def test_what_is_no_share_is_not_drawn(score: float) -> None:
    """It is a dash in the table, and listed below the drawing."""
    page = page_of(with_arms(*members(), replace(members()[0], name="broken", score=score, interval=(score, 0.5))))

    assert all("broken" not in names(svg) for svg in drawings(page))
    assert "nan" not in read(page).text.lower()


def test_where_nothing_costs_anything_arms_are_compared_by_calls() -> None:
    """LLMs on one's own machine are free; the same where one of them has no price."""
    free = [replace(arm, cost_usd=0.0) for arm in members()]
    unknown = [replace(members()[0], cost_usd=None), *members()[1:]]
    told = ["".join(drawings(page_of(with_arms(*arms)))[2].itertext()) for arms in (free, unknown, members())]

    assert ["calls per question" in text for text in told] == [True, True, False]
    assert "USD per question" in told[2]


def test_a_cost_of_nothing_has_a_place_on_a_logarithmic_axis() -> None:
    """To the left of all that cost something."""
    axis = axes.of_costs([0.0, 0.001, 0.5], 10, 600)

    assert axis.is_log
    assert 10 < axis.at(0.0) < axis.at(0.001) - 20 < axis.at(0.5) <= 600
    assert axis.ticks(6)[0] == 0.0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8))
@settings(max_examples=cases(60))
def test_costs_lie_on_their_axis_in_their_order(costs: list[float]) -> None:
    """Between its ends; it is logarithmic where they span more than a factor of ten, and has ticks."""
    paid = [cost for cost in costs if cost > 1e-9]
    axis = axes.of_costs([cost if cost > 1e-9 else 0.0 for cost in costs], 50, 600)
    places = [axis.at(cost) for cost in sorted(paid)]

    assert axis.is_log == (bool(paid) and max(paid) > 10 * min(paid))
    assert places == sorted(places)
    assert all(50 <= place <= 600 for place in places)
    assert all(49.999 <= axis.at(tick) <= 600.001 for tick in axis.ticks(6))


@given(st.lists(st.tuples(st.floats(60, 560), st.floats(20, 380), st.floats(10, 150)), min_size=1, max_size=12))
@settings(max_examples=cases(40))
@example([(60.0, 97.0, 10.0), (60.0, 112.0, 10.0), (60.0, 128.0, 10.0)])  # one edge, by two sums
def test_names_lie_on_nothing(spots: list[tuple[float, float, float]]) -> None:
    """Not on one another, on no point, and inside of the drawing."""
    inside = Box(50, 0, 600, 400)
    spread = [(x, y) for x, y, _ in spots]
    placed = labels.place(spread, [width for *_, width in spots], inside)

    assert placed
    boxes = [spot.box for spot in placed]
    assert all(inside.holds(box) for box in boxes)
    assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.meets(b)]
    assert not [box for box in boxes for x, y in spread if box.meets(Box(x - 5, y - 5, x + 5, y + 5))]


@pytest.mark.parametrize("step", [0.0, 0.001], ids=["equal", "close"])
def test_forty_arms_are_all_named(step: float) -> None:
    """However close they lie; a drawing grows until there is room."""
    wide, narrow = drawings(page_of(crowded_report(step)))[2:4]

    assert len(set(names(wide))) == len(set(names(narrow))) == 40


def test_a_bar_that_is_empty_is_not_drawn() -> None:
    """And no picture without bars."""
    whole = sample_report(lost=0)
    bins = (Bin(0.0, 0.5, 0, math.nan, math.nan), Bin(0.5, 1.0, 3, 0.7, 0.9))
    shown = replace(whole, mixtures=(replace(whole.mixtures[0], agreement=bins, confidence=bins[:1]),))
    told = ["".join(svg.itertext()) for svg in drawings(page_of(shown))]

    assert sum("50 to 100" in text for text in told) == 1
    assert not [text for text in told if text.startswith("Confidence")]


def test_right_and_wrong_are_words_and_shapes() -> None:
    """Beside every text, with the failures; color alone says nothing."""
    report = sample_report(lost=6)
    found = read(page_of(report))
    kinds = [attributes["class"].split()[0] for attributes in found.named("li") if "class" in attributes]

    assert {"right", "wrong", "failed"} <= set(kinds)
    assert found.text.count("wrong; ") == kinds.count("wrong")
    assert "timeout: no answer within 30 s" in found.text
    assert len([attributes for attributes in found.named("span") if attributes.get("class") == "sign"]) > len(kinds)


def test_the_picture_in_the_docs_is_that_of_the_page() -> None:
    """`python -m tests.evaluation.mixtures.picture` writes it."""
    assert PICTURE.read_text("utf-8") == picture()
    assert ET.fromstring(picture()).tag.endswith("svg")  # noqa: S314 - our own


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (percent(0.8734), "87.3\u00a0%"),
        (percent(None), "\u2013"),
        (percent(math.nan), "\u2013"),
        (points(0.0004), "0.0"),
        (points(-0.0004), "0.0"),
        (points(-0.031), "\u22123.1"),
        (points(0.031), "+3.1"),
        (usd(0.0), "$0"),
        (usd(0.00313), "$0.00313"),
        (usd(0.9999), "$1"),
        (usd(12.5), "$12.5"),
        (usd(1234.5), "$1,234"),
        (usd(1e300), "\u2013"),
        (number(2.41), "2.4"),
        (number(3.0), "3"),
        (number(0.0412), "0.04"),
        (number(12345.6), "12,346"),
    ],
)
def test_figures_are_written_as_people_read_them(written: str, wanted: str) -> None:
    """With as many digits as say something, and a dash for what is no number."""
    assert written == wanted
