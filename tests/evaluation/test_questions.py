"""Labels that name one mixture or several."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.evaluation.questions import label_of, mixtures_of
from tests.fuzz import cases

NAME = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('|[]", '), min_size=1, max_size=8)


@pytest.mark.parametrize("label", ["a", "[1]", "[", "|", "", " "])
def test_a_label_is_what_it_is_if_it_is_no_list(label: str) -> None:
    """A mixture may be called anything."""
    assert mixtures_of(label) == (label,)


@given(st.lists(NAME.map(str.strip).filter(bool), min_size=1, max_size=4))
@settings(max_examples=cases(60))
def test_every_set_of_names_has_one_label_that_names_it(names: list[str]) -> None:
    """Whatever stands in the names, and in whatever order they come."""
    label = label_of(names)

    assert mixtures_of(label) == tuple(sorted(set(names)))
    assert label_of(names[::-1]) == label
