"""Counting: equal values, units that differ, percentages and the bare numbers that they are not."""

from __future__ import annotations

import copy
import json
import pickle
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.asking import Asking, Rules
from mollm.final.forms import Form, is_same, unit_of
from mollm.final.replies import final_answer, same_answer
from mollm.final.tally import Tally

FINALS = [
    final_answer(text)
    for text in ("5", "5 cm", "5 m", "60", "60%", "0.6", "60 dollars", "6th", "B", '{"answer": ""}', "no idea")
]


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
        (["60", "60", "60%"], [[0, 1], [2]]),
        (["60", "60%"], [[0], [1]]),
        (["60%", "0.6", "60", "60"], [[0, 1], [2, 3]]),
        (["60%", "60 dollars", "60", "60"], [[1, 2, 3], [0]]),
        (["50%", "1/2", "50"], [[0, 1], [2]]),
        (["6th", "6", "6th place"], [[0, 1, 2]]),
        (["6th", "6 cm", "6 cm"], [[1, 2], [0]]),
        (["5", "5 cm"], [[0, 1]]),
        (["5 cm", "5 m"], [[0], [1]]),
        (["5", "5 cm", "5 m"], [[0], [1], [2]]),
        (["5 cm", "5 centimetres", "5 m"], [[0, 1], [2]]),
    ],
)
def test_units_part_and_a_percentage_is_its_share(replies: list[str], groups: list[list[int]]) -> None:
    """60 % is 0.6 and never 60, however many say 60; a bare number counts for a unit, unless there are two."""
    finals = [final_answer(reply) for reply in replies]

    assert Tally(finals).groups == groups
    for order in permutations(range(len(finals))):
        sizes = sorted(map(len, Tally(finals[at] for at in order).groups))
        assert sizes == sorted(map(len, groups))


def test_a_percentage_does_not_end_asking_for_the_bare_number() -> None:
    """60 and 60 % go on, whatever comes first; a second 60 ends it."""
    for replies in (("60", "60%", "60"), ("60%", "60", "60")):
        asking = Asking(5, Rules(ask_first=5, agree=2, enough=5))
        asking.begin()
        for reply, agreed in zip(replies, (False, False, True), strict=True):
            asking.arrived(final_answer(reply))
            assert asking.agreed is agreed


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
    """Every index with an answer is in one group, all of a group are the same two by two, and parted only for units.

    The rule that the docstring states: of one value, two are parted if and only if two units stand beside it.
    """
    groups = Tally(finals).groups

    assert sorted(at for members in groups for at in members) == [
        at for at, final in enumerate(finals) if final is not None
    ]
    for members in groups:
        assert all(is_same(finals[a] or "", finals[b] or "") for a in members for b in members)
    for a, b in combinations([at for at, final in enumerate(finals) if final is not None], 2):
        if is_same(finals[a] or "", finals[b] or "") and not any({a, b} <= set(members) for members in groups):
            assert len({unit_of(final) for final in finals if final == finals[a] and final is not None} - {""}) > 1
    assert [len(members) for members in groups] == sorted(map(len, groups), reverse=True)


def test_a_form_is_a_string_that_remembers_its_unit() -> None:
    """Copies and pickles keep the unit; JSON keeps the characters, and then units no longer part values."""
    form, percentage = final_answer("5 cm"), final_answer("60%")
    assert form is not None
    assert percentage is not None

    assert (form, form.unit, hash(form)) == ("5", "cm", hash("5"))
    for copied in (copy.deepcopy(percentage), pickle.loads(pickle.dumps(percentage))):  # noqa: S301 - our own bytes
        assert (copied, copied.unit, copied.figure) == ("0.6", "%", "60")
    read = json.loads(json.dumps(form))
    assert is_same(read, form)
    assert is_same(read, Form("5", "m"))


def test_same_answer_needs_two_answers() -> None:
    """Equal open texts are not equal answers."""
    assert same_answer("The answer is $1,000.", r"So we have \boxed{10^3}.")
    assert not same_answer("The answer is 3.", "Let me think about it for a while, and then again.")
