"""Whether an answer says what the proposals that lead say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.aggregation.stance import leaders, stance_of
from mollm.final.forms import is_same
from mollm.final.replies import final_answer
from mollm.final.tally import Tally
from mollm.formats import value_of
from mollm.types import Proposal
from tests.fuzz import cases

VALUES = ["5", "5 cm", "5 m", "0.5", "1/2", "50 %", "50", "(B)", "B", "1,000", "1000", "None"]
TEXTS = st.sampled_from([f"The answer is {value}." for value in VALUES] + ["Nobody can tell what a pile is, or was."])


def proposals(*texts: str, as_json: bool = False) -> list[Proposal]:
    """One of each text, read as words, or as JSON that was asked for."""
    return [
        Proposal(f"w{n}", "w", 1, text, value_of(text) if as_json else final_answer(text))
        for n, text in enumerate(texts)
    ]


@settings(max_examples=cases(150))
@given(st.lists(TEXTS, min_size=1, max_size=6), TEXTS)
def test_an_answer_agrees_exactly_where_it_is_counted_with_all_that_lead(texts: list[str], text: str) -> None:
    """It contradicts only where it is another answer than one of them, and never does both."""
    given_, found = proposals(*texts), final_answer(text)

    stance = stance_of({"content": text}, given_)

    group = leaders(given_)
    tally = Tally([*(p.final for p in given_), found])
    leading = Tally(p.final for p in given_).leading
    is_one = any({*leading, len(texts)} <= set(members) for members in tally.groups)
    said_before = any(text == p.text for p in group)
    assert stance.agrees == (bool(group) and found is not None and (is_one or said_before))
    assert stance.contradicts == (
        found is not None and not said_before and any(not is_same(found, p.final or "") for p in group)
    )
    assert not (stance.agrees and stance.contradicts)


@settings(max_examples=cases(60))
@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_what_leads_agrees_with_itself(texts: list[str]) -> None:
    """Each proposal of the group does, and one of another group never."""
    given_ = proposals(*texts)
    group = leaders(given_)

    assert all(stance_of({"content": p.text}, given_).agrees for p in group)
    others = [p for p in given_ if p.final is not None and p not in group]
    assert not any(stance_of({"content": p.text}, given_).agrees for p in others)


@pytest.mark.parametrize(
    ("texts", "answer", "agrees", "contradicts"),
    [
        (["It is 1/2.", "The answer is 0.5."], "The answer is 50 %.", True, False),
        (["The answer is (B)."] * 2, "The answer is B.", True, False),
        (["The answer is 1,000."] * 2, "The answer is 1000.", True, False),
        (["The answer is 5."] * 2 + ["The answer is 5 m."], "The answer is 5 cm.", False, True),
        (["The answer is 5."] * 2 + ["It is 5 m.", "It is 5 cm."], "The answer is 5 cm.", False, False),
        (["The answer is 5."] * 2 + ["It is 5 m.", "It is 5 cm."], "The answer is 5.0.", True, False),
        (["The answer is 5.", "The answer is 5 cm."], "The answer is 5 m.", False, True),
        (["The answer is 7."] * 2, "The answer is 7. No: the answer is 8.", False, True),
        (["The answer is 7."] * 2, "I'm sorry, but I can't help with that.", False, False),
        (["42", "42"], '{"answer": 42}', True, False),
        (["42", "42"], '{"answer": 7}', False, True),
        (["42", "42"], '{"x": 7}', False, False),
    ],
)
def test_it_is_the_value_that_counts(texts: list[str], answer: str, agrees: bool, contradicts: bool) -> None:
    """In whatever form; where nothing can be compared, it does neither."""
    stance = stance_of({"content": answer}, proposals(*texts))

    assert (stance.agrees, stance.contradicts) == (agrees, contradicts)


@pytest.mark.parametrize(
    ("answer", "agrees", "contradicts"),
    [
        ('{"unit": "km", "answer": 42}', True, False),
        ('{"answer": 42, "unit": "m"}', False, True),
        ("The answer is 42.", True, False),
        ("The answer is 7.", False, True),
        ("It is hard to say what it is, and what it was.", False, False),
    ],
)
def test_json_that_was_asked_for_is_compared_as_a_whole_and_words_by_what_it_names(
    answer: str, agrees: bool, contradicts: bool
) -> None:
    """Words say the same as JSON that names the same answer."""
    given_ = proposals(*['{"answer": 42, "unit": "km"}'] * 2, as_json=True)

    stance = stance_of({"content": answer}, given_)

    assert (stance.agrees, stance.contradicts) == (agrees, contradicts)


@pytest.mark.parametrize("beside", [{"tool_calls": [{"id": "1"}]}, {"refusal": "No."}])
def test_a_call_of_a_tool_and_a_refusal_say_nothing(beside: dict[str, Any]) -> None:
    """Whatever stands beside them."""
    for text in ("The answer is 7.", "The answer is 8."):
        stance = stance_of({"content": text, **beside}, proposals(*["The answer is 7."] * 2))
        assert not stance.agrees
        assert not stance.contradicts
