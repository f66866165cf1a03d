"""Counting: equal values, units that differ, percentages for bare numbers."""

from __future__ import annotations

import copy
import json
import pickle
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.final.forms import Form, is_same, unit_of, unscaled
from mollm.final.replies import final_answer, is_right, same_answer
from mollm.final.tally import Tally
from mollm.workers import Asking, Rules

FINALS = [final_answer(text) for text in ("5", "5 cm", "5 m", "60", "60%", "0.6", "60 dollars", "B", "no idea, sorry")]


def test_group_orders_by_size_then_by_place() -> None:
    """The largest group first, of equal ones the earliest; what has no answer is in none."""
    assert Tally(["b", "a", None, "a", "c", "c", None]).groups == [[1, 3], [4, 5], [0]]
    assert Tally([None, None]).groups == []


@pytest.mark.parametrize(
    ("finals", "expected"),
    [
        ([], None),
        ([None, None], None),
        (["a"], 1.0),
        (["a", "b"], 0.5),
        (["a", None, "a", None], 0.5),
        (["a", None], 0.5),
    ],
)
def test_agreement_is_a_share_of_all_that_arrived(finals: list[str | None], expected: float | None) -> None:
    """Proposals without an answer count as arrived; with no answer at all there is nothing to say."""
    assert Tally(finals).agreement == expected


@pytest.mark.parametrize(
    ("replies", "groups"),
    [
        (["60", "60", "60%"], [[0, 1, 2]]),
        (["60%", "60", "60"], [[0, 1, 2]]),
        (["60", "60%"], [[0], [1]]),
        (["60%", "60%", "60"], [[0, 1], [2]]),
        (["60%", "0.6", "60", "60"], [[0, 2, 3], [1]]),
        (["60%", "60 dollars", "60", "60"], [[1, 2, 3], [0]]),
        (["5", "5 cm"], [[0, 1]]),
        (["5 cm", "5 m"], [[0], [1]]),
        (["5", "5 cm", "5 m"], [[0], [1], [2]]),
        (["5 cm", "5 centimetres", "5 m"], [[0, 1], [2]]),
    ],
)
def test_units_part_and_percentages_join(replies: list[str], groups: list[list[int]]) -> None:
    """A percentage counts for a bare number that has two votes; a bare number for a unit, unless there are two."""
    finals = [final_answer(reply) for reply in replies]

    assert Tally(finals).groups == groups
    for order in permutations(range(len(finals))):
        sizes = sorted(map(len, Tally(finals[at] for at in order).groups))
        assert sizes == sorted(map(len, groups))


def test_two_different_writings_of_a_percentage_do_not_end_asking() -> None:
    """60 and 60 % go on; a second 60 ends it, and a percentage after two of them makes three."""
    first, both = Asking(5, Rules(ask_first=5, agree=2, enough=5)), Asking(5, Rules(ask_first=5, agree=3, enough=5))
    first.begin()
    both.begin()

    for reply, agreed in (("60", False), ("60%", False), ("60", True)):
        first.arrived(final_answer(reply))
        assert first.agreed is agreed
    for reply, agreed in (("60", False), ("60", False), ("60%", True)):
        both.arrived(final_answer(reply))
        assert both.agreed is agreed


@given(st.lists(st.sampled_from(FINALS), max_size=8))
def test_votes_as_they_arrive_are_those_of_the_whole(finals: list[Form | None]) -> None:
    """Adding one by one gives, at each step, what counting all of them at once gives."""
    tally = Tally()
    for who, final in enumerate(finals):
        votes = tally.add(who, final)
        whole = Tally(finals[: who + 1])
        assert tally.groups == whole.groups
        assert votes == (whole.support(who) if final is not None else 0)
        assert tally.agreement == whole.agreement


@given(st.lists(st.sampled_from(FINALS), max_size=8))
def test_groups_partition_the_indices(finals: list[Form | None]) -> None:
    """Every index with an answer is in one group, and a group never has two units."""
    groups = Tally(finals).groups

    assert sorted(at for members in groups for at in members) == [
        at for at, final in enumerate(finals) if final is not None
    ]
    for members in groups:
        assert len({unit_of(finals[at] or "") for at in members} - {"", "%"}) <= 1
    assert [len(members) for members in groups] == sorted(map(len, groups), reverse=True)


@pytest.mark.parametrize(
    ("reply", "reference", "expected"),
    [
        ("The answer is 60%.", "60", True),
        ("The answer is 60%.", "0.6", True),
        ("The answer is 60%.", "60%", True),
        ("The answer is 60.", "60%", False),
        ("The answer is 60.", "0.6", False),
        ("The answer is 6%.", "60", False),
        (r"\boxed{\$1,000}", "1000", True),
        (r"\boxed{5\text{ cm}}", "5 m", False),
        ("It depends on what you call a pile.", "60", False),
    ],
)
def test_a_percentage_is_right_for_the_bare_number(reply: str, reference: str, expected: bool) -> None:
    """Against a reference nothing hangs on another reply, so the number that was written counts."""
    assert is_right(reply, reference) is expected


def test_a_form_is_a_string_that_remembers_its_unit() -> None:
    """Copies and pickles keep the unit; JSON keeps the characters, and then units no longer part values."""
    form = final_answer("5 cm")
    assert form is not None

    assert (form, form.unit, hash(form)) == ("5", "cm", hash("5"))
    for copied in (copy.deepcopy(form), pickle.loads(pickle.dumps(form))):  # noqa: S301 - our own bytes
        assert (copied, copied.unit) == ("5", "cm")
    read = json.loads(json.dumps(form))
    assert is_same(read, form)
    assert is_same(read, Form("5", "m"))
    assert unscaled(Form("0.6", "%")) == "60"
    assert unscaled(read) is None


def test_same_answer_needs_two_answers() -> None:
    """Equal open texts are not equal answers."""
    assert same_answer("The answer is $1,000.", r"So we have \boxed{10^3}.")
    assert not same_answer("The answer is 3.", "Let me think about it for a while, and then again.")
