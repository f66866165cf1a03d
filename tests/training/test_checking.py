"""Labelled questions before they are learned from: what is left out, warned of, refused, held out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.errors import DataError
from mollm.training.checking import checked
from mollm.training.data import Labelled
from mollm.training.splitting import split
from tests.fuzz import cases


def labelled(*pairs: tuple[str, str]) -> Labelled:
    """Questions of a file, from its second line on."""
    texts, labels = (tuple(pair[side] for pair in pairs) for side in (0, 1))
    return Labelled(texts, labels, tuple(f"a.csv:{row + 2}" for row in range(len(pairs))))


def many(label: str, count: int = 5) -> list[tuple[str, str]]:
    """Different questions of a mixture."""
    return [(f"{label} question {number}", label) for number in range(count)]


def test_good_data_stays_as_it_is() -> None:
    """Without a warning."""
    data = labelled(*many("car"), *many("sleep"))

    assert checked(data) == data


def test_accents_may_be_coded_in_two_ways() -> None:
    """Two names that look the same are warned of; two that only have no letters are not."""
    found = checked(labelled(*many("caf\u00e9"), *[(f"other {text}", "cafe\u0301") for text, _ in many("x")]))
    warning, _ = found.warnings

    assert warning == "names that are nearly the same, as of different mixtures: caf\u00e9 and cafe\u0301"
    assert "nearly" not in str(checked(labelled(*many("*"), *many("\U0001f600"))).warnings)


def test_labels_that_no_mixture_can_have_are_warned_of() -> None:
    """The router could be used by no configuration; all others are fine."""
    [warning] = checked(labelled(*many("a b"), *many("auto"), *many("a/b-1"))).warnings

    assert warning.startswith("no mixture of a configuration can be called 'a b', 'auto'; a name is 1 to 128 letters")


def test_a_repeated_question_counts_once() -> None:
    """Also in other case and with other white space; the rows that repeat are named."""
    found = checked(labelled(*many("car"), *many("sleep"), ("CAR  question 3", "car"), ("car question 3\n", "car")))

    assert found.texts.count("car question 3") == 1
    assert len(found.texts) == 10
    assert found.warnings == ("2 rows repeated, counted once: a.csv:12, a.csv:13",)


def test_a_question_with_two_mixtures_says_nothing() -> None:
    """All its rows are left out and named with what they say."""
    found = checked(labelled(*many("car"), *many("sleep"), ("Who?", "car"), ("who?", "sleep"), ("Who?", "car")))

    assert "who?" not in map(str.lower, found.texts)
    assert found.warnings == (
        "3 rows contradict each other and are left out: a.csv:12 (car) and a.csv:13 (sleep) and a.csv:14 (car)",
    )


def test_mixtures_with_few_questions_are_named() -> None:
    """With how many they have, and where."""
    found = checked(labelled(*many("car"), ("Naps?", "sleep"), *many("tax", 4)))

    assert found.warnings == (
        "2 mixtures have fewer than 5 questions, too few to be told well: sleep (1, a.csv:7), tax (4, a.csv:8)",
    )


def test_a_question_of_several_mixtures_counts_for_each() -> None:
    """No combination is a mixture of its own; the same question under one of them contradicts it."""
    found = checked(labelled(*many("car", 3), *many("sleep"), ("Both?", "car|sleep"), ("Again?", "car|sleep")))

    assert found.warnings == ()
    assert found.mixtures == ("car", "sleep")
    torn = checked(labelled(*many("car"), *many("sleep"), ("Both?", "car|sleep"), ("both?", "car")))
    assert torn.warnings == ("2 rows contradict each other and are left out: a.csv:12 (car|sleep) and a.csv:13 (car)",)


def test_names_that_are_nearly_the_same_are_doubted() -> None:
    """A space in place of an underscore is rather a slip than another mixture."""
    found = checked(labelled(*many("my card"), *many("My_Card"), *many("sleep")))

    assert found.warnings[0] == "names that are nearly the same, as of different mixtures: my card and My_Card"


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "there are questions of none"),
        (many("car"), "there are questions only of 'car'"),
        ([("Who?", "car"), ("who?", "sleep")], "a.csv:2 (car) and a.csv:3 (sleep)\na router tells mixtures apart"),
    ],
)
def test_one_mixture_is_no_choice(pairs: list[tuple[str, str]], message: str) -> None:
    """Nor is none; if that is because rows were left out, the error says which."""
    with pytest.raises(DataError) as error:
        checked(labelled(*pairs))

    assert message in str(error.value)
    assert str(error.value).endswith("it takes two at least")


def test_each_mixture_is_held_out_by_the_same_share() -> None:
    """Rounded down, so that few questions stay to learn from; another seed takes others."""
    data = labelled(*many("car", 20), *many("sleep", 10), *many("tax", 4), *many("one", 1))

    seen, held_out = split(data, 0.2, seed=0)

    assert {label: held_out.labels.count(label) for label in ("car", "sleep", "tax", "one")} == {
        "car": 4,
        "sleep": 2,
        "tax": 0,
        "one": 0,
    }
    assert split(data, 0.2, seed=0) == (seen, held_out)
    assert split(data, 0.2, seed=1)[1].texts != held_out.texts
    assert split(data, 0.0, seed=0) == (data, data.only([]))


def test_questions_of_several_mixtures_are_held_out_together() -> None:
    """However rare each combination is."""
    data = labelled(*many("car", 10), *many("sleep", 10), *((f"{n}?", f"car|{n}") for n in range(10)))

    held_out = split(data, 0.2, seed=0)[1]

    assert sum("|" in label for label in held_out.labels) == 2


@given(st.lists(st.integers(0, 4), max_size=40), st.floats(0, 0.99), st.integers(0, 9))
@settings(max_examples=cases(40))
def test_no_question_is_lost_or_on_both_sides(labels: list[int], share: float, seed: int) -> None:
    """And every mixture keeps one to learn from."""
    data = labelled(*((f"question {row}", f"label {label}") for row, label in enumerate(labels)))

    seen, held_out = split(data, share, seed)

    assert sorted([*seen.places, *held_out.places]) == sorted(data.places)
    assert {*seen.labels} == {*data.labels}
