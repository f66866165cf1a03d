"""Counts and shares of what a router says, and the picture of its confusions."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.routing.learned import LearnedScorer
from mollm.training.data import Labelled
from mollm.training.figures import Said, between, said, scored
from mollm.training.picture import MOST, picture
from tests.fuzz import cases
from tests.routing.fitted import EXAMPLES


def answers(truth: list[int], likeliest: list[int], probability: list[float] | None = None, labels: int = 3) -> Said:
    """What a router said."""
    return Said(
        labels=tuple("abcdefgh"[:labels]),
        truth=np.array(truth),
        likeliest=np.array(likeliest),
        probability=np.array(probability or [1.0] * len(truth)),
        is_sure=np.ones(len(truth), dtype=np.bool_),
    )


def test_precision_recall_and_f1_are_those_of_the_books() -> None:
    """Worked out by hand; a label that is never said has none of them."""
    found = answers([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0])

    assert found.confusion.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    precision, recall, f1 = scored(found.confusion)
    assert precision.tolist() == pytest.approx([2 / 3, 2 / 3, 0])
    assert recall.tolist() == pytest.approx([2 / 3, 1, 0])
    assert f1.tolist() == pytest.approx([2 / 3, 0.8, 0])
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.macro_f1 == pytest.approx((2 / 3 + 0.8) / 3)


def test_labels_that_were_not_asked_for_do_not_count_in_the_mean() -> None:
    """A mixture without held-out questions has no F1 that could lower the others'."""
    assert answers([0, 1], [0, 1]).macro_f1 == pytest.approx(1.0)


def test_probabilities_that_keep_what_they_promise_have_no_calibration_error() -> None:
    """Nine of ten right at 0.9; all wrong at 1.0 is as bad as it gets."""
    ten = [0] * 9 + [1]
    assert answers([0] * 150, ten * 15, [0.9] * 150).calibration_error < 0.1
    assert answers([0] * 20, [1] * 20).calibration_error == pytest.approx(1.0)
    assert answers([0] * 20, [0] * 20).calibration_error == pytest.approx(0.0)


def test_an_interval_holds_its_share_and_narrows() -> None:
    """As in Wilson's paper, also at the ends of the scale."""
    assert between(0.9, 100) == pytest.approx((0.8256, 0.9448), abs=1e-3)
    assert between(1.0, 10)[0] == pytest.approx(0.7225, abs=1e-3)
    low, high = between(0.9, 10_000)
    assert 0.89 < low < 0.9 < high < 0.91


def test_a_router_is_asked_as_it_decides() -> None:
    """The likeliest mixture whatever the thresholds; a label that it does not know is never right."""
    scorer = LearnedScorer.fit(EXAMPLES, fallback="general")
    texts = ("Why do my brakes squeak?", "How long should a nap be?", "zzqx kjwv")

    found = said(scorer, Labelled(texts, ("car", "sleep", "tax")))

    assert [found.labels[index] for index in found.likeliest[:2]] == ["car", "sleep"]
    assert [found.labels[index] for index in found.truth] == ["car", "sleep", "tax"]
    assert found.right.tolist() == [True, True, False]
    assert not found.is_sure[2]


# --- the picture


@pytest.mark.parametrize("labels", [2, 10, 25, 77, 150])
def test_no_name_lies_on_another(labels: int) -> None:
    """Rows are never lower than their names, columns never narrower, and all lies within the page."""
    names = [f"a name of some length {number}" for number in range(labels)]
    root = ET.fromstring(picture(names, np.eye(labels, dtype=np.intp) * 7))  # noqa: S314 - our own
    texts = [node for node in root.iter() if node.tag.endswith("text") and node[0:1] and node[0].tag.endswith("title")]
    beside = [node for node in texts if node.get("text-anchor") == "end"]
    above = [node for node in texts if node.get("transform")]

    assert len(beside) == len(above) == labels
    for nodes, axis in ((beside, "y"), (above, "x")):
        places = [float(node.get(axis, "nan")) for node in nodes]
        size = float(nodes[0].get("font-size", "nan"))
        assert size >= 8
        assert min(np.diff(places), default=math.inf) >= size * 1.1
    width, height = float(root.get("width", "nan")), float(root.get("height", "nan"))
    for node in root.iter():
        if node.tag.endswith("rect"):
            assert float(node.get("x", "0")) + float(node.get("width", "nan")) <= width
            assert float(node.get("y", "0")) + float(node.get("height", "nan")) <= height
    for node in beside:
        letters = len("".join(node.itertext())) - len(node[0].text or "")
        assert float(node.get("x", "nan")) - letters * size * 0.62 >= 0


def test_the_picture_has_both_colors_of_page_and_a_tooltip_for_each_cell() -> None:
    """A reader in a dark room gets a dark page; a pointer gets the numbers."""
    drawn = picture(["car", "sleep"], np.array([[8, 2], [0, 5]]))

    assert "prefers-color-scheme: dark" in drawn
    assert "<title>car as sleep: 2 of 10</title>" in drawn
    assert len(re.findall(r'<rect class="right"', drawn)) == 2
    assert len(re.findall(r'<rect class="wrong"', drawn)) == 1


def test_of_very_many_labels_those_confused_most_are_drawn() -> None:
    """The picture says so."""
    confusion = np.eye(400, dtype=np.intp)
    confusion[399, 7] = 3
    drawn = picture([f"label-{number:03}" for number in range(400)], confusion)

    assert f"the {MOST} of 400 labels" in drawn
    assert "label-399 as label-007: 3 of 4" in drawn


@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=4, unique=True))
@settings(max_examples=cases(30), deadline=None)
def test_any_name_makes_a_valid_picture(labels: list[str]) -> None:
    """Brackets, quotes, ampersands and controls are text to a reader of XML."""
    drawn = picture(labels, np.ones((len(labels), len(labels)), dtype=np.intp))

    ET.fromstring(drawn.encode())  # noqa: S314 - our own
