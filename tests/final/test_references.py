"""When a reply is right: the value of the reference, or the number of it in another writing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.final.replies import final_answer, is_right, same_answer
from tests.fuzz import cases


@pytest.mark.parametrize(
    ("reply", "reference", "expected"),
    [
        ("The answer is 60%.", "60", True),
        ("The answer is 60%.", "0.6", True),
        ("The answer is 60%.", "60%", True),
        ("The answer is 60.", "60%", False),
        ("The answer is 60.", "0.6", False),
        ("The answer is 6%.", "60", False),
        ("The answer is 60%.", "60 dollars", False),
        (r"\boxed{\$1,000}", "1000", True),
        (r"\boxed{5\text{ cm}}", "5 m", False),
        ("It depends on what you call a pile.", "60", False),
        ("Answer: 7 dozens", "7", True),
        ("Answer: 7 dozen eggs", "84", True),
        ("Answer: 7 dozen", "12", False),
        ("Answer: 7", "7 dozen", False),
        ("Answer: 5 million", "5", False),
        ("Answer: 2:00 pm", "2", True),
        ("Answer: 2 PM", "14", True),
        ("Answer: 2:30 pm", "2", False),
        ("Answer: 12:00 am", "0", False),
        ("Answer: 48g", "48", True),
        ("Answer: 48x", "48", False),
        ("Answer: 4 x", "4", False),
        ("Answer: 101_2", "101", True),
        ("Answer: 101", "101_2", True),
        ("Answer: 5", "101_2", False),
        ("Answer: 101_3", "101_2", False),
        ("Answer: a", "a_1", False),
        ("Answer: 100100_b", "100100", True),
        ("She finished 6th.", "6", True),
        ("She finished in 6th place.", "6", True),
        ("So Ann came in sixth place.", "6", True),
        ("Answer: 6th", "6", True),
        ("Answer: the sixth", "6", True),
        ("Answer: twenty-first", "21", True),
        ("Answer: the 6th floor", "6", True),
        ("Answer: 6th", "7", False),
        ("Answer: sixth", "1/6", False),
        ("Answer: one sixth", "6", False),
        ("Answer: 52 WPM", "52", True),
        ("Answer: 6√2", "6", False),
        ("Answer: 12 or 13", "12", False),
        ("Answer: 2, -1", "2", False),
        ("Answer: 5/2", "5", False),
        ("Answer: over 18 hours", "18", False),
    ],
)
def test_what_is_right_for_a_reference(reply: str, reference: str, expected: bool) -> None:
    """The same value, or the number that the reply wrote it with; never one of several, or a part of an expression."""
    assert is_right(reply, reference) is expected


@settings(max_examples=cases(100))
@given(st.integers(1, 999), st.integers(1, 999))
def test_an_ordinal_is_right_for_its_number_alone(place: int, other: int) -> None:
    """`6th` is 6, in a reply, in a box and beside a noun; two places are never one."""
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    for written in (f"{place}{ending}", f"the {place}{ending} place", rf"{place}^{{\text{{{ending}}}}}"):
        assert is_right(f"Answer: {written}", str(other)) is (place == other)
        assert same_answer(f"Answer: {written}", f"Answer: {place}")
    assert final_answer(f"She finished in {place}{ending} place.") == str(place)
