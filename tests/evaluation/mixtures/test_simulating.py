"""Layers on answers that are there already: the same calls as when they are asked."""

from __future__ import annotations

from mollm.asking import Rules
from mollm.evaluation.mixtures.simulating import Ended, Reply, simulate
from mollm.final.calibration import Said


def replies(*finals: str | None, seconds: tuple[float, ...] = ()) -> list[Reply]:
    """One reply for each final answer; `-` is a call that fails."""
    times = seconds or (1.0,) * len(finals)
    pairs = zip(finals, times, strict=True)
    return [Reply(None if final == "-" else Said(f"w{n}", final), time) for n, (final, time) in enumerate(pairs)]


def test_two_that_agree_are_enough() -> None:
    """The third is never started."""
    rules = Rules(ask_first=2, agree=2, enough=3)

    assert simulate(replies("4", "4", "5"), rules) == Ended((0, 1), (0, 1), True, 1.0)


def test_a_failure_is_replaced_and_disagreement_widens() -> None:
    """One by one, until two agree."""
    rules = Rules(ask_first=2, agree=2, enough=5)

    found = simulate(replies("4", "-", "5", "5", "6"), rules)

    assert found == Ended((0, 1, 2, 3), (0, 2, 3), True, 3.0)


def test_a_straggler_is_passed_by() -> None:
    """The next is started after `widen_after`, and the layer ends without the one that is late."""
    rules = Rules(ask_first=2, agree=2, enough=3, widen_after=2.0)

    found = simulate(replies("4", "5", "4", seconds=(1.0, 60.0, 1.0)), rules)

    assert found == Ended((0, 1, 2), (0, 2), True, 3.0)


def test_one_that_is_sure_is_enough() -> None:
    """With a probability for what has arrived, a single call may do."""
    rules = Rules(ask_first=1, sure=0.9, enough=3)

    assert simulate(replies("4", "4", "4"), rules, lambda _: 0.95).started == (0,)
    assert simulate(replies("4", "4", "4"), rules, lambda said: 0.5 + len(said) / 5).started == (0, 1)


def test_nothing_is_waited_for_beyond_the_deadline() -> None:
    """What has arrived by then is what there is."""
    rules = Rules(ask_first=2, enough=2, deadline=5.0)

    assert simulate(replies("4", "4", seconds=(1.0, 9.0)), rules) == Ended((0, 1), (0,), False, 5.0)
