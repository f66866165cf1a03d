"""The work on a reply is bounded, whatever it consists of."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mollm.final.replies import final_answer
from tests.fuzz import cases
from tests.work import LINEAR, growth, repeated

BEFORE = ("", "Answer: ", "Answer: [", r"\boxed{", "Here:\n```", '{"answer": "', "So x = ")
AFTER = ("", " 42", "x y\n```", "}")
REPEATED = (
    *" \xa0\u3000\t\n()[]{}\\'\"`*_$^,.;:=-+/!%|>#",
    *(
        "\n ",
        "[[",
        "\\\\",
        "''",
        '"\\',
        "**",
        "$$",
        r"\(",
        r"\[",
        r"\boxed{",
        "\\boxed{\xa0",
        r"\frac{",
        r"\sqrt{",
        r"\text{",
    ),
    *(
        "1 ",
        "1,",
        "9",
        "1e9*",
        "9^9^",
        "9**",
        "9!",
        "$1",
        "1/",
        "1:",
        "\u0664",
        "\u096a",
        "²",
        "\ufdfa",
        "é",
        "a ",
        "a'",
    ),
    *(
        "a.b.",
        "answer",
        "Answer: ",
        "the answer is ",
        "answer: 42\n",
        "# Answer\n",
        "<answer>",
        "</answer>",
        "[ANSWER]",
    ),
    *("<think>", "#### ", "assert f()== ", "答案是", "答えは", "정답 ", "उत्तर 1 है ", "ответ ", "الجواب ", "So, "),
    *(
        "is the correct",
        "(A) ",
        "A. B ",
        "I pick ",
        "total ",
        "x = ",
        "x = 1, ",
        "A and ",
        "one ",
        "one hundred ",
        "of ",
    ),
    *(
        "March ",
        "5 March ",
        "km/",
        "1 1/2 ",
        '{"answer": ',
        '{"answer": "',
        '"answer": "x",',
        "```",
        "```json\n{",
        "**a** ",
    ),
    *(
        "\\begin{pmatrix}1\\\\",
        "\\boxed{1}, ",
        "needs 5 more ",
        "has 5 ",
        "2 h ",
        "2 hours and ",
        "H_2",
        "A; ",
        "(A), ",
    ),
    *("≈", "15 (", "\\Delta", "√(4)", "1_000", "0.3...", "<b>", "5个", "`1`, ", "1. e4 ", "is $x$ "),
    *("[1, ", "0 < x < ", "- ", "1. ", "\ud800", "\U0001f600"),
)
LIMIT = 0.05
"""Seconds of CPU for one reply."""


def _seconds(text: str) -> float:
    """CPU time of this thread for one reading, the least of a few: other work on the machine only adds to it."""
    least = float("inf")
    for _ in range(4):
        begun = time.thread_time()
        final_answer(text)
        least = min(least, time.thread_time() - begun)
        if least < LIMIT / 2:
            break
    return least


@pytest.mark.parametrize("repeated", REPEATED, ids=ascii)
def test_work_does_not_grow_with_the_reply(repeated: str) -> None:
    """From 64 KB to 1 MB of one thing repeated, with the beginning and the end of something: always under 50 ms."""
    slow = {}
    for before in BEFORE:
        for after in AFTER:
            for size in (16_000, 65_536):
                seconds = _seconds(before + repeated * (size // len(repeated)) + after)
                if seconds > LIMIT:
                    slow[before, after, size] = seconds
    small, large = (_seconds(repeated * (size // len(repeated))) for size in (500_000, 1_000_000))

    assert slow == {}
    assert large < LIMIT
    assert large <= 3 * small + 0.005


SOME = st.sampled_from((*REPEATED, *BEFORE, *AFTER)) | st.text(max_size=4)


@settings(max_examples=cases(100))
@given(
    before=st.lists(SOME, max_size=3).map("".join),
    pieces=st.lists(SOME, min_size=1, max_size=4).map("".join).filter(bool),
    after=st.lists(SOME, max_size=3).map("".join),
)
@example(before="Here:\n```", pieces=" ", after="x y\n```")
@example(before="", pieces="\\boxed{" + "\xa0" * 3_900, after="")
def test_work_is_linear_in_whatever_is_repeated(before: str, pieces: str, after: str) -> None:
    """Of several things together, four times as much takes about four times the work.

    Below the length of which a reply is read, and around it.
    """
    for length in (2_000, 8_000, 40_000):
        assert growth(final_answer, repeated(before, pieces, after), length) < LINEAR


@settings(max_examples=cases(100))
@given(st.lists(SOME, max_size=40).map("".join))
@example("\\boxed{" * 40)
def test_any_reply_is_read(text: str) -> None:
    """There is a final answer or none, and the same every time."""
    found = final_answer(text)

    assert found is None or found.strip()
    assert found == final_answer(text)


POWERS = (
    "9^9^9",
    "9**9**9",
    "10^{999999}",
    "10^{-999999}",
    "1e999999",
    "999999999!",
    "2^{99999999999}",
    "9^{999}^{999}",
)


@pytest.mark.parametrize("power", POWERS)
def test_huge_numbers_are_never_worked_out(power: str) -> None:
    """They stay as they are written, equal to themselves and to nothing else."""
    begun = time.thread_time()
    found = final_answer(f"Answer: {power}")

    assert found is not None
    assert len(found) < 100
    assert found != final_answer(f"Answer: {power.replace('9', '8')}") or "9" not in power
    assert time.thread_time() - begun < LIMIT


def test_head_and_tail_of_a_long_reply_are_read() -> None:
    """The field at the beginning of a long object, and what is said at the end of long prose or a long block."""
    long = "It is a long way to the end of this. " * 3_000

    assert final_answer('{"answer": 7, "reasoning": "' + long + '"}') == "7"
    assert final_answer(long + "\n\nThe answer is 42.") == "42"
    assert final_answer("```\n" + long + "\n```\n\nAnswer: 42") == "42"
    assert final_answer("```python\n" + long + "\nAnswer: 42\n```") is None
