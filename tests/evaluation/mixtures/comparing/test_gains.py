"""Whether a difference is one: intervals, p-values and verdicts, on differences whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.evaluation.mixtures.comparing.arms import Answers
from mollm.evaluation.mixtures.comparing.gains import (
    MOST_QUESTIONS,
    enough,
    gain_of,
    p_value,
    paired_interval,
    verdict_of,
)
from mollm.evaluation.mixtures.comparing.halves import best_elsewhere, halves
from mollm.evaluation.mixtures.comparing.sentences import times
from mollm.evaluation.mixtures.comparing.taking import Taken
from mollm.evaluation.resampling import bootstrap, interval_of_mean
from tests.fuzz import cases

if TYPE_CHECKING:
    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.report import Gain, Verdict


def differing(gains: int, losses: int, same: int) -> Floats:
    """Differences of scores that are 0 or 1."""
    return np.concatenate([np.ones(gains), -np.ones(losses), np.zeros(same)])


def compared(differences: Floats, ratio: float = 3.1) -> Gain:
    """A comparison of which the differences are given."""
    count = len(differences)
    rows = np.array([[1.0, 0.0, 0.0, 1.0, 1.0]] * count)
    mixture = Answers("mixture", "m", np.maximum(differences, 0.0), Taken(rows * ratio), np.zeros(count))
    other = Answers("best", "b", np.maximum(-differences, 0.0), Taken(rows), np.zeros(count))
    return gain_of("coder", "coder alone", mixture, other)


def verdict(gains: int, losses: int, same: int, ratio: float = 3.1) -> Verdict:
    """What is said of so many."""
    differences = differing(gains, losses, same)
    return verdict_of(compared(differences, ratio), differences)


def test_the_verdict_is_one_sentence() -> None:
    """Whom it is compared with, on how much, what came of it and what it takes."""
    assert verdict(4, 9, 287).sentence == (
        "not better than coder alone on these 300 questions: 4 gains, 9 losses, 3.1 times the cost"
    )
    assert verdict(30, 5, 965).sentence == (
        "better than coder alone on these 1,000 questions: 30 gains, 5 losses, 3.1 times the cost"
    )
    assert verdict(1, 25, 174).sentence == (
        "worse than coder alone on these 200 questions: 1 gain, 25 losses, 3.1 times the cost"
    )
    assert verdict(3, 1, 36).sentence == (
        "whether it is better than coder alone cannot be told from these 40 questions: 3 gains, 1 loss, "
        "3.1 times the cost; about 400 questions would be enough"
    )
    assert "cannot be told from this question: 1 gain, 0 losses, the same cost; about" in verdict(1, 0, 0, 1.0).sentence


def test_as_good_for_less_is_said() -> None:
    """Where a loss is excluded, too; else only that it is not better."""
    assert verdict(2, 3, 995, 0.34).sentence == (
        "as good as coder alone on these 1,000 questions, at a third of the cost: 2 gains, 3 losses"
    )
    assert verdict(4, 9, 287, 0.5).sentence == (
        "not better than coder alone on these 300 questions, but at half the cost: 4 gains, 9 losses"
    )
    assert verdict(2, 3, 995, 0.34).kind == "not better"


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (3.14, "3.1 times the tokens"),
        (12.4, "12 times the tokens"),
        (1.03, "as many tokens"),
        (0.34, "a third of the tokens"),
        (0.42, "0.42 of the tokens"),
        (0.0, "less than 0.0001 of the tokens"),
        (None, ""),
    ],
)
def test_what_it_takes_in_words(ratio: float | None, words: str) -> None:
    """As one says it."""
    assert times(ratio, "tokens") == words


def test_p_is_that_of_the_exact_tests() -> None:
    """Of 0/1 scores McNemar's; of others all signs are flipped, or 10,000 draws of them."""
    assert p_value(differing(1, 6, 100)) == pytest.approx(0.125)
    assert p_value(differing(0, 6, 0)) == pytest.approx(2 / 64)
    assert p_value(differing(0, 0, 9)) == 1.0
    assert p_value(differing(5000, 5200, 0)) == pytest.approx(0.0487, abs=0.0005)
    assert p_value(np.array([0.5, 0.25, 0.125])) == pytest.approx(2 / 8)
    assert p_value(np.array([0.3, 0.2] * 12)) == pytest.approx(1 / 10_001)
    assert 0.3 < p_value(np.array([0.3, -0.2] * 8 + [0.1, -0.1, 0.4, -0.2] * 2)) < 0.7


def test_the_interval_holds_the_truth_where_a_plain_one_does_not() -> None:
    """Of 200 samples of each size about 95 in 100, also of few questions that seldom differ."""
    draw = np.random.default_rng(3)
    for count, gained, lost in ((20, 0.05, 0.02), (100, 0.03, 0.02), (300, 0.12, 0.09)):
        held = 0
        for _ in range(200):
            gains, losses, same = draw.multinomial(count, [gained, lost, 1 - gained - lost])
            low, high = paired_interval(differing(gains, losses, same))
            held += low <= gained - lost <= high
        assert held >= 0.92 * 200, (count, held)


def test_equals_are_seldom_called_better() -> None:
    """A mixture that is a random member of five equal ones, beside the best chosen on the other half."""
    draw, kinds = np.random.default_rng(5), []
    for seed in range(200):
        right = (draw.random((120, 5)) < 0.7).astype(float)
        rows = np.arange(120)
        best = right[rows, best_elsewhere(right, halves([None] * 120, seed))]
        differences = right[rows, draw.integers(5, size=120)] - best
        kinds.append(verdict_of(compared(differences), differences).kind)

    assert kinds.count("better") <= 0.05 * 200
    assert kinds.count("worse") <= 0.05 * 200


def test_as_many_as_are_enough_tell() -> None:
    """About four times in five, and at least seven in ten: what the number promises."""
    draw = np.random.default_rng(6)
    for gained, lost in ((0.04, 0.01), (0.13, 0.07), (0.025, 0.025)):
        seen = differing(round(gained * 200), round(lost * 200), 200 - round(gained * 200) - round(lost * 200))
        needed, told = enough(seen), 0
        for _ in range(60):
            found = differing(*draw.multinomial(needed, [gained, lost, 1 - gained - lost]))
            told += verdict_of(compared(found), found).kind != "cannot be told"
        assert 0.7 * 60 <= told < 60, (gained, lost, needed, told)


COUNTS = st.integers(0, 60)


@settings(max_examples=cases(60))
@given(COUNTS, COUNTS, COUNTS)
def test_a_comparison_turned_round_is_the_other_way_round(gains: int, losses: int, same: int) -> None:
    """Better is worse seen from the other side; p is the same, and the difference lies in its interval."""
    differences = differing(gains, losses, same + 1)
    one, other = compared(differences), compared(-differences)

    assert one.p == other.p
    assert one.interval[0] <= one.difference <= one.interval[1]
    assert one.interval[0] < one.interval[1]
    kinds = {verdict_of(one, differences).kind, verdict_of(other, -differences).kind}
    assert ("better" in kinds) <= (kinds == {"better", "worse"})


@settings(max_examples=cases(60))
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_what_is_enough_is_more_and_round(differences: list[float]) -> None:
    """Of any scores: more than there are, at most a million, in two digits."""
    found = enough(np.array(differences))

    assert len(differences) < found <= MOST_QUESTIONS
    assert len(str(found).rstrip("0")) <= 2


def test_few_questions_tell_nothing() -> None:
    """Five that all differ alike are no evidence yet, six are."""
    for count in range(1, 6):
        assert {verdict(count, 0, 0).kind, verdict(0, count, 0).kind, verdict(0, 0, count).kind} == {"cannot be told"}
    assert (verdict(6, 0, 0).kind, verdict(0, 6, 0).kind) == ("better", "worse")


def test_no_difference_seen_is_none_only_on_many_questions() -> None:
    """What differs once in a hundred questions is not seen in fifty."""
    assert verdict(0, 0, 100).kind == "cannot be told"
    assert verdict(0, 0, 400).kind == "not better"


def test_scores_between_0_and_1_are_compared_as_well() -> None:
    """A small gain on nearly every question is one."""
    draw = np.random.default_rng(1)
    differences = draw.normal(0.05, 0.1, 200).clip(-1, 1)
    found = compared(differences)

    assert verdict_of(found, differences).kind == "better"
    assert found.gains + found.losses == 200


def test_drawing_values_by_their_number_is_drawing_rows() -> None:
    """The interval of a mean is that of the plain bootstrap, but for the draws."""
    values = np.random.default_rng(2).choice([0.0, 0.5, 1.0], size=200)

    assert interval_of_mean(values) == pytest.approx(bootstrap(values), abs=0.01)
    assert interval_of_mean(np.ones(1)) == (1.0, 1.0)
