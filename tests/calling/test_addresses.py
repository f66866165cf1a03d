"""Which address a call goes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.addresses import Addresses
from mollm.calling.health import Standing
from mollm.errors import Unreachable
from mollm.llms.scripted import ScriptedLLM

if TYPE_CHECKING:
    from mollm.calling.addresses import Address, Attempt


def addresses(count: int) -> Addresses:
    """So many of them."""
    return Addresses([ScriptedLLM("x") for _ in range(count)])


def fail(address: Address, times: int = 1, *, now: float = 0.0, retry_after: float = 0.0) -> None:
    """Let calls fail there."""
    for _ in range(times):
        address.begin(now).failed(now, retry_after)


def rank(address: Address, now: float, *, is_first: bool) -> tuple[Standing, int]:
    """What the choice goes by; the first try of a call may find out about an address."""
    standing = address.breaker.standing(now)
    return Standing.READY if is_first and standing is Standing.DUE else standing, address.in_flight


@given(st.data())
def test_the_rule(data: st.DataObject) -> None:
    """Whatever happened before: the best standing, then the fewest in flight; never one tried or open."""
    all_of_them = addresses(data.draw(st.integers(1, 4), "addresses"))
    out: list[Attempt] = []
    now = 0.0

    for _ in range(data.draw(st.integers(1, 40), "steps")):
        tried = [address for address in all_of_them if data.draw(st.integers(0, 3), "tried") == 0]
        left = [address for address in all_of_them if address not in tried]
        ranks = [rank(address, now, is_first=not tried) for address in left]
        picked = all_of_them.pick(now, tried)
        if picked is None:
            assert all(standing is Standing.OPEN for standing, _ in ranks)
        else:
            assert picked in left
            assert rank(picked, now, is_first=not tried) == min(ranks)
            assert picked.breaker.standing(now) is not Standing.OPEN
            out.append(picked.begin(now))
        for attempt in data.draw(st.permutations(out), "ending")[: data.draw(st.integers(0, 3), "so many")]:
            out.remove(attempt)
            how = data.draw(st.sampled_from(["succeeded", "failed", "abandoned"]), "outcome")
            if how == "failed":
                attempt.failed(now, data.draw(st.sampled_from([0.0, 0.0, 30.0]), "Retry-After"))
            else:
                getattr(attempt, how)()
        now += data.draw(st.floats(0, 10), "seconds")

    assert sum(address.in_flight for address in all_of_them) == len(out)


@given(st.integers(2, 5), st.integers(1, 7), st.integers(1, 50))
def test_idleness_attracts_no_calls_to_an_address_that_fails(count: int, failures: int, busy: int) -> None:
    """However busy the others are, a call goes to one of them while one that failed is set back."""
    all_of_them = addresses(count)
    failing, *others = all_of_them
    fail(failing, failures)
    for address in others:
        for _ in range(busy):
            address.begin(0)

    assert all_of_them.pick(0) in others
    assert all_of_them.pick(14) is failing, "its time is over: one call finds out"
    assert all_of_them.pick(14, others[:1]) in [*others[1:], *([failing] * (count == 2))], "no second try does"
    failing.begin(14)
    assert all_of_them.pick(14) in others, "and the next goes elsewhere meanwhile"


def test_equals_take_turns() -> None:
    """Idle addresses get a call each."""
    all_of_them = addresses(3)

    picked = []
    for _ in range(6):
        attempt = all_of_them.begin(0)
        assert attempt is not None
        picked.append(attempt.address)
        attempt.abandoned()

    assert sorted(map(id, picked[:3])) == sorted(map(id, all_of_them))
    assert picked[3:] == picked[:3]


def test_one_that_failed_is_better_than_none() -> None:
    """Where every address failed a moment ago one of them is called: the last is one that asked for time."""
    asked, doubtful, broken = all_of_them = addresses(3)
    fail(asked, retry_after=60)
    fail(doubtful, 7)
    fail(broken, 8)

    assert all_of_them.pick(0) is doubtful
    assert all_of_them.pick(0, [doubtful]) is asked
    assert all_of_them.pick(0, [doubtful, asked]) is None
    assert all_of_them.asked_to_wait(0) == 0
    assert all_of_them.asked_to_wait(0, [doubtful]) == 60


def test_when_all_are_open_the_error_says_when_the_first_is_tried_again() -> None:
    """The earliest of them counts, in the words of the message and as seconds."""
    first, second = both = addresses(2)
    fail(first, 8, now=0)
    fail(second, 8, now=4)

    assert both.pick(10) is None
    error = both.unavailable(10, "m")

    assert isinstance(error, Unreachable)
    assert str(error) == "m: not called: all its 2 addresses keep failing; next try in 5 s"
    assert (error.code, error.retry_after_seconds) == ("breaker_open", 5)
    assert both.pick(15) is first


def test_an_attempt_ends_once() -> None:
    """What is said of it later changes neither the calls in flight nor the breaker."""
    (address,) = only = addresses(1)
    attempt = address.begin(0)

    attempt.failed(0)
    attempt.succeeded()
    attempt.abandoned()

    assert (address.in_flight, address.breaker.failures) == (0, 1)
    assert only.pick(0) is address
