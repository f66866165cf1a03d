"""A budget for retries, and what the last calls say about an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.health import Breaker, RetryBudget, Standing

OUTCOMES = st.lists(st.tuples(st.sampled_from(["success", "failure", "nothing"]), st.floats(0, 40)), max_size=40)


def fail(breaker: Breaker, times: int, *, now: float = 0.0) -> list[bool]:
    """Let calls fail at `now`; returns what each said about having opened it."""
    return [breaker.failure(now, was_probe=breaker.begin(now)) for _ in range(times)]


@given(st.integers(0, 500), st.integers(0, 500))
def test_retries_are_ten_and_a_tenth_of_the_calls(calls: int, wanted: int) -> None:
    """Whatever was asked for, no more was given than ten in hand and one for every ten calls."""
    budget = RetryBudget()

    given_out = 0
    for _ in range(calls):
        budget.earn()
        given_out += budget.take()
    given_out += sum(budget.take() for _ in range(wanted))

    assert given_out <= 10 + calls / 10


@given(OUTCOMES)
def test_the_set_back_doubles_with_every_failure_in_a_row(history: list[tuple[str, float]]) -> None:
    """After k failures in a row it is 15 s / 2^(8 - k), 15 s from the eighth on; a success ends it at once."""
    breaker = Breaker()
    now, failures, back_at = 0.0, 0, 0.0

    for outcome, seconds in history:
        was_probe = breaker.begin(now)
        if outcome == "success":
            breaker.success(was_probe=was_probe)
            failures = 0
        elif outcome == "failure":
            breaker.failure(now, was_probe=was_probe)
            failures += 1
            back_at = now + 15 / 2 ** max(0, 8 - failures)
        else:
            breaker.release(was_probe=was_probe)
        now += seconds

        set_back = Standing.OPEN if failures >= 8 else Standing.DOUBTFUL
        later = Standing.DUE if failures else Standing.READY
        assert breaker.standing(now) is (set_back if failures and now < back_at else later)


def test_it_says_once_that_it_opened() -> None:
    """The eighth failure opens it; those of calls that were out, and of a probe, find it open."""
    breaker = Breaker()

    assert fail(breaker, 10) == [False] * 7 + [True] + [False] * 2
    assert fail(breaker, 1, now=16) == [False]
    assert breaker.standing(17) is Standing.OPEN


def test_one_call_finds_out_and_the_others_stay_away() -> None:
    """When the time is over a single call is let through; until it has ended nobody else is."""
    breaker = Breaker()
    fail(breaker, 8)

    assert breaker.standing(15) is Standing.DUE
    assert breaker.begin(15)
    assert breaker.standing(15) is Standing.OPEN
    assert not breaker.begin(15)
    breaker.release(was_probe=True)

    assert breaker.standing(15) is Standing.DUE


@pytest.mark.parametrize(("failures", "standing"), [(1, Standing.ASKED_TO_WAIT), (8, Standing.OPEN)])
def test_what_an_address_asked_for_counts(failures: int, standing: Standing) -> None:
    """`Retry-After` lasts longer than the set-back, and a later failure does not shorten it; a success does."""
    breaker = Breaker()
    breaker.failure(0, was_probe=False, retry_after=60)
    fail(breaker, failures - 1)

    assert breaker.standing(1) is standing
    assert breaker.standing(59) is Standing.ASKED_TO_WAIT
    assert breaker.standing(60) is Standing.DUE
    breaker.success(was_probe=False)

    assert breaker.standing(1) is Standing.READY


def test_an_address_is_sound_again_some_time_after_its_last_failure() -> None:
    """A success alone does not make it so: a server that is overloaded answers now and then."""
    breaker = Breaker()
    assert breaker.is_sound(0)

    fail(breaker, 1)
    breaker.success(was_probe=False)

    assert not breaker.is_sound(14)
    assert breaker.is_sound(15)
