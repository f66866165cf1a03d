"""What a router says of held-out questions, and the picture of its confusions."""

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
from mollm.training.figures import held_out
from mollm.training.picture import MOST, picture
from tests.fuzz import cases
from tests.routing.fitted import EXAMPLES


def test_a_router_is_asked_as_it_decides() -> None:
    """The likeliest mixture whatever the thresholds; a label that it does not know is never right."""
    scorer = LearnedScorer.fit(EXAMPLES, fallback="general")
    texts = ("Why do my brakes squeak?", "How long should a nap be?", "zzqx kjwv")

    found = held_out(scorer, Labelled(texts, ("car", "sleep|tax", "tax")))

    picks = found.picks
    assert [picks.labels[index] for index in picks.likeliest[:2]] == ["car", "sleep"]
    assert [picks.labels[index] for index in picks.truth] == ["car", "sleep", "tax"]
    assert picks.right.tolist() == [True, True, False]
    assert not picks.is_sure[2]
    assert found.joined is None, "one question of two mixtures tells nothing"


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
@settings(max_examples=cases(30))
def test_any_name_makes_a_valid_picture(labels: list[str]) -> None:
    """Brackets, quotes, ampersands and controls are text to a reader of XML."""
    drawn = picture(labels, np.ones((len(labels), len(labels)), dtype=np.intp))

    ET.fromstring(drawn.encode())  # noqa: S314 - our own
