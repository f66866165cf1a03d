"""Literals of code and JSON fields: empty ones are answers, and spaces in front of one change nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.final.replies import final_answer, is_right, same_answer
from mollm.final.tally import Tally
from tests.fuzz import cases

BLANKS = (
    '{"answer": ""}',
    '{"reasoning": "Nothing is printed.", "answer": ""}',
    '```json\n{"final_answer": ""}\n```',
    "{'answer': ''}",
    '{"answer": "\'\'"}',
    "''",
    '""',
    "Answer: ''",
    'Answer: ""',
    "Answer: `''`",
    "Final answer:\n\n    ''",
    "[ANSWER]\n''\n[/ANSWER]",
    "It returns ''.",
    "It returns `''`.",
    "assert f('a') == ''",
    "```python\n''\n```",
)
UNSAID = (
    '{"answer": null}',
    '{"answer": }',
    '{"answer": ',
    '{"answer": "',
    "Answer:",
    r"\boxed{}",
    "```\n```",
    '"',
    "'",
)


@pytest.mark.parametrize("reply", BLANKS)
def test_an_empty_answer_is_an_answer(reply: str) -> None:
    """It has a form of its own that can be seen, and counts like any other."""
    found = final_answer(reply)

    assert found == '""'
    assert Tally([found, final_answer(BLANKS[0])]).groups == [[0, 1]]
    assert is_right(reply, "''")
    assert not is_right(reply, "' '")
    assert not is_right(reply, "0")


@pytest.mark.parametrize("reply", ['{"answer": "   "}', "Answer: '   '", "It prints `'   '`."])
def test_a_blank_answer_is_what_it_is(reply: str) -> None:
    """Spaces are shown in quotation marks, and are not the empty string: programs print both."""
    assert final_answer(reply) == '"   "'
    assert not same_answer(reply, BLANKS[0])


@pytest.mark.parametrize("reply", UNSAID)
def test_nothing_said_is_no_answer(reply: str) -> None:
    """A field that is null, missing or cut off, a label with nothing behind it."""
    assert final_answer(reply) is None


VALUES = ("0", "none", "[]", "{}", "()", '[""]', "empty", "blank", "x", '{"a":""}', "∅", "false", "' '' '", ",")


@pytest.mark.parametrize("value", VALUES)
def test_an_empty_answer_is_like_nothing_else(value: str) -> None:
    """Not like zero, none, an empty list, or a word that says that it is empty."""
    assert not same_answer(f"Answer: {value}", '{"answer": ""}')
    assert not same_answer(json.dumps({"answer": value}), '{"answer": ""}')


@given(st.text(max_size=6))
def test_only_what_is_blank_is_blank(text: str) -> None:
    """Whatever can be seen in a field is another answer, or none."""
    found = final_answer(json.dumps({"answer": text}, ensure_ascii=False))
    is_blank = not any(char.isprintable() and char not in " \"'*_`.\ufe0f" for char in text)

    assert found is None or found.strip(' "') or is_blank


PLACES = (
    "{}",
    "Answer:{}",
    "Answer:\n{}",
    "Output:\n{}",
    "The output is:\n\n{}",
    "The output is {}",
    "It returns {}",
    "It returns `{}`.",
    "The final answer is `{}`.",
    "[ANSWER]{}[/ANSWER]",
    "<answer>{}</answer>",
    "assert f(1) =={}",
    ">>> f(1)\n{}",
    "```python\n{}\n```",
    "Answer:\n```\n{}\n```",
    '{{"answer":{}}}',
    r"\boxed{{{}}}",
)
LITERALS = ("[1, 2]", "(1, 2)", "{'a': 1}", "'abc'", '"abc"', "True", "None", "42", "-3.5", "[]", "['  a']", "''")


@settings(max_examples=cases(100))
@given(
    place=st.sampled_from(PLACES),
    literal=st.sampled_from(LITERALS),
    before=st.text(" \t", min_size=1, max_size=24),
)
def test_spaces_in_front_of_a_literal_change_nothing(place: str, literal: str, before: str) -> None:
    """Indented in a block, behind a label, in a field: the literal is found, and is the same."""
    assert final_answer(place.format(before + literal)) == final_answer(literal)


@settings(max_examples=cases(100))
@given(st.text("klm XYZ019", min_size=1, max_size=12).filter(lambda text: text.strip(" ")))
def test_a_string_is_the_same_in_all_quotation_marks(text: str) -> None:
    """`'abc'`, `"abc"` and `abc`, behind a label and in a field."""
    writings = [f"'{text}'", f'"{text}"', f"`{text}`", text, f"  '{text}'"]
    for place in ("Answer: {}", "[ANSWER]{}[/ANSWER]"):
        found = {final_answer(place.format(written)) for written in writings}
        assert len(found) == 1, found
