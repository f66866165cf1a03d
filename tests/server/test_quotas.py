"""Windows and reservations, on a clock of the test: never over a limit, and nothing stays held."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mollm.config.api_keys import MOST_PER_MINUTE, KeyLimitsConfig
from mollm.errors import LimitError, LimitReached
from mollm.limits import WorstCase
from mollm.server.quotas import DAYS_HELD, PICO, Quota, Quotas
from mollm.server.window import MINUTE, Window
from mollm.types import Call, Usage
from tests.fuzz import cases

if TYPE_CHECKING:
    from mollm.server.quotas import Booking, Use

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """Moves when it is told to; the time of day may also be set."""

    def __init__(self) -> None:
        self.seconds, self.set_by = 1000.0, timedelta()

    def now(self) -> float:
        """Seconds."""
        return self.seconds

    def utc(self) -> datetime:
        """The time of day."""
        return NOON + timedelta(seconds=self.seconds - 1000) + self.set_by


def quota_of(clock: Clock, **limits: object) -> Quota:
    """The quota of one key."""
    quotas = Quotas(now=clock.now, utc=clock.utc)
    quotas.change({"anna": KeyLimitsConfig.model_validate(limits)})
    found = quotas.of("anna")
    assert found
    return found


def worst(tokens: int, cost_usd: float | None = 0.0, *unpriced: str) -> WorstCase:
    """A question that takes so much at worst."""
    return WorstCase(1, tokens, cost_usd, 0, unpriced)


def call(tokens: int, cost_usd: float | None = None) -> Call:
    """A call that took so much."""
    return Call("worker", "a", Usage(tokens, 0, tokens), cost_usd, 0.1)


@dataclass
class Came:
    """Questions that were let in."""

    at: float
    questions: int


class KeyMachine(RuleBasedStateMachine):
    """One key, asked by many at once, against lists of what happened."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.uses: dict[Use, int] = {}
        self.open: list[tuple[Booking, Use]] = []
        self.held: dict[Booking, tuple[int, int]] = {}
        self.spent: dict[Booking, tuple[int, int]] = {}
        self.counted: list[Came] = []
        self.of: dict[Use, Came] = {}
        self.lists: set[Use] = set()

    @initialize(
        at_once=st.integers(1, 5), per_minute=st.integers(1, 6), tokens=st.integers(5, 60), usd=st.integers(1, 30)
    )
    def limited(self, at_once: int, per_minute: int, tokens: int, usd: int) -> None:
        """Begin with some limits."""
        self.at_once, self.per_minute, self.tokens = at_once, per_minute, tokens
        self.quota = quota_of(
            self.clock, at_once=at_once, per_minute=per_minute, tokens_per_day=tokens, cost_usd_per_day=usd / 100
        )

    @rule()
    def comes(self) -> None:
        """An HTTP request comes; who is refused is told when it would not be."""
        day, cents = self.quota.today, self.quota.limits.cost_usd_per_day or 0
        is_full = self.quota.places >= self.at_once or self.recent >= self.per_minute
        is_full |= day.used.tokens + day.reserved.tokens >= self.tokens
        is_full |= day.used.cost + day.reserved.cost >= round(cents * PICO)
        try:
            use = self.quota.enter()
        except LimitReached:
            assert is_full
            return
        assert not is_full
        self.uses[use] = 1
        self.of[use] = Came(self.clock.seconds, 1)
        self.counted.append(self.of[use])

    @property
    def recent(self) -> int:
        """Questions that came in the last minute, as listed."""
        return sum(came.questions for came in self.counted if self.clock.seconds - came.at < MINUTE)

    @precondition(lambda self: self.uses)
    @rule(data=st.data(), questions=st.integers(1, 8))
    def is_a_list(self, data: st.DataObject, questions: int) -> None:
        """It turns out to hold several questions."""
        use = data.draw(st.sampled_from(list(self.uses)))
        if use in self.lists or any(used is use for _, used in self.open):
            return
        self.lists.add(use)
        self.of[use].questions = 0
        with suppress(LimitError, LimitReached):
            self.uses[use] = use.spread(questions, 8)
            assert self.uses[use] <= questions
            self.of[use] = Came(self.clock.seconds, questions)
            self.counted.append(self.of[use])

    @precondition(lambda self: self.uses)
    @rule(data=st.data())
    def asks(self, data: st.DataObject) -> None:
        """A question begins."""
        use = data.draw(st.sampled_from(list(self.uses)))
        booking = use.question()
        self.open.append((booking, use))
        self.held[booking] = self.spent[booking] = (0, 0)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), tokens=st.integers(0, 30), cents=st.integers(0, 9))
    def reserves(self, data: st.DataObject, tokens: int, cents: int) -> None:
        """It takes its worst case, maybe once more; a refused one ends."""
        number = data.draw(st.integers(0, len(self.open) - 1))
        booking, use = self.open[number]
        try:
            booking.reserve(worst(tokens, cents / 100))
        except (LimitError, LimitReached):
            self.of[use].questions = max(0, self.of[use].questions - 1)
        else:
            spent = self.spent[booking]
            self.held[booking] = (max(0, tokens - spent[0]), max(0, cents - spent[1]))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.integers(0, 4))
    def spends(self, data: st.DataObject, share: int) -> None:
        """A call ends, within what is held."""
        booking, _ = data.draw(st.sampled_from(self.open))
        tokens, cents = self.held[booking]
        part, money = tokens * share // 4, cents * share // 4
        booking.spend(call(part, money / 100))
        self.held[booking] = tokens - part, cents - money
        before = self.spent[booking]
        self.spent[booking] = before[0] + part, before[1] + money

    @precondition(lambda self: self.open)
    @rule(data=st.data(), again=st.booleans())
    def ends(self, data: st.DataObject, again: bool) -> None:
        """It is answered, refused, or cancelled; being ended twice changes nothing."""
        booking, _ = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        booking.close()
        if again:
            booking.close()
        del self.held[booking]

    @rule(seconds=st.sampled_from([0.5, 10, 30, 59.5, 60, 7200, 50_000]))
    def passes(self, seconds: float) -> None:
        """Time passes."""
        self.clock.seconds += seconds

    @rule(hours=st.sampled_from([-30, -1, 1, 30]))
    def is_set(self, hours: int) -> None:
        """Somebody sets the clock."""
        self.clock.set_by += timedelta(hours=hours)

    @precondition(lambda self: self.uses and not self.open)
    @rule()
    def all_leave(self) -> None:
        """Every HTTP request has ended; nothing is held any more."""
        for use in self.uses:
            use.close()
        self.uses.clear()
        assert self.quota.places == 0
        assert (self.quota.today.reserved.tokens, self.quota.today.reserved.cost) == (0, 0)

    @invariant()
    def nothing_is_over_its_limit(self) -> None:
        """Places, the minute and the day, with what is held."""
        if not hasattr(self, "quota"):
            return
        assert self.quota.places <= self.at_once
        assert self.quota.places == sum(self.uses.values())
        assert self.quota.minute.count(self.clock.seconds) == self.recent <= self.per_minute
        day = self.quota.today
        assert day.used.tokens + day.reserved.tokens <= self.tokens
        assert day.used.cost + day.reserved.cost <= round((self.quota.limits.cost_usd_per_day or 0) * PICO)
        assert min(day.reserved.tokens, day.reserved.cost) >= 0

    @invariant()
    def what_is_held_is_what_open_questions_hold(self) -> None:
        """Of all days together."""
        if hasattr(self, "quota"):
            days = {id(booking.day): booking.day for booking, _ in self.open if booking.day}
            assert sum(day.reserved.tokens for day in days.values()) == sum(held[0] for held in self.held.values())


TestKeyMachine = KeyMachine.TestCase
TestKeyMachine.settings = settings(max_examples=cases(150), stateful_step_count=40)


def test_never_more_than_so_many_in_any_minute() -> None:
    """However they are spread; whoever waits as long as it is told is let in then, and not a moment before."""
    clock = Clock()
    quota, let_in = quota_of(clock, per_minute=5), list[float]()
    for step in (0, 3, 20, 20, 0, 0, 16.9, 0.1, 0, 10, 30, 0, 0.5, 0, 60, 0, 0, 0, 0, 0):
        clock.seconds += step
        try:
            quota.enter().close()
        except LimitReached as error:
            wait = error.retry_after_seconds
            clock.seconds += wait - 0.001
            with pytest.raises(LimitReached):
                quota.enter()
            clock.seconds += 0.001
            quota.enter().close()
        let_in.append(clock.seconds)

    assert all(sum(at <= other < at + MINUTE for other in let_in) <= 5 for at in let_in)


def test_a_window_holds_no_more_than_it_counts() -> None:
    """What is taken back, and what is over, takes no memory."""
    window = Window()
    for number in range(MOST_PER_MINUTE):
        window.take_back(window.add(1, number / 1e6), 1)
    assert len(window) == 0
    window.add(3, 1.0)
    old = window.add(2, 2.0)
    assert window.count(61.5) == 2
    assert window.count(62.0) == 0
    window.take_back(old, 1)
    assert (window.count(62.0), len(window)) == (0, 0), "what counts no more is taken back no more"


def test_a_refused_question_counts_toward_no_minute() -> None:
    """Nor one of a list, of which the others go on counting."""
    clock = Clock()
    quota = quota_of(clock, per_minute=3, tokens_per_day=10)
    use = quota.enter()
    with pytest.raises(LimitError, match="this question may take 11 tokens"):
        use.question().reserve(worst(11))
    assert quota.minute.count(clock.now()) == 0
    use.spread(3, 8)
    use.question().reserve(worst(10))
    with pytest.raises(LimitReached, match="0 tokens of 2026-03-01 are used, 10 tokens held for questions"):
        use.question().reserve(worst(1))
    assert quota.minute.count(clock.now()) == 2


def test_a_later_reservation_takes_the_place_of_the_earlier() -> None:
    """And what was spent meanwhile is part of it, not added to it."""
    quota = quota_of(Clock(), tokens_per_day=100)
    booking = quota.enter().question()
    booking.reserve(worst(10))
    booking.spend(call(8))
    booking.reserve(worst(100))
    assert (quota.today.used.tokens, quota.today.reserved.tokens) == (8, 92)
    booking.spend(call(200))
    assert (quota.today.used.tokens, quota.today.reserved.tokens) == (208, 0), "a call may take more than was planned"
    booking.close()
    booking.spend(call(1))
    assert (quota.today.used.tokens, quota.today.reserved.tokens) == (209, 0), "one that ends late is booked"
    with pytest.raises(RuntimeError, match="over"):
        booking.reserve(worst(1))


def test_a_question_stays_on_the_day_on_which_it_began() -> None:
    """Its calls are booked there, and the new day holds nothing for it."""
    clock = Clock()
    quota = quota_of(clock, tokens_per_day=100)
    before, booking = quota.today, quota.enter().question()
    booking.reserve(worst(60))
    clock.seconds += 12 * 3600
    booking.spend(call(50))
    booking.close()

    assert quota.today.date == "2026-03-02"
    assert (before.used.tokens, before.reserved.tokens) == (50, 0)
    assert (quota.today.used.tokens, quota.today.reserved.tokens) == (0, 0)


def test_a_clock_that_is_set_back_gives_nothing_twice() -> None:
    """The day before is still known, and no more days than a few are."""
    clock = Clock()
    quota = quota_of(clock, tokens_per_day=100)
    booking = quota.enter().question()
    booking.reserve(worst(90))
    booking.spend(call(90))
    clock.set_by = timedelta(days=1)
    assert quota.today.used.tokens == 0
    clock.set_by = timedelta()
    assert quota.today.used.tokens == 90
    for days in range(50):
        clock.set_by = timedelta(days=days)
        assert quota.today
    assert len(quota.days) == DAYS_HELD


def test_names_keep_what_they_count_when_limits_change() -> None:
    """A new name begins with what is known of it, one that is taken out is known no more."""
    clock = Clock()
    quotas = Quotas(now=clock.now, utc=clock.utc)
    quotas.change({"anna": KeyLimitsConfig()}, {("2026-03-01", "anna"): (30, 0.5), ("2026-02-01", "anna"): (9, 0.1)})
    anna = quotas.of("anna")
    assert anna
    assert (anna.today.used.tokens, anna.today.used.cost_usd, anna.total.tokens) == (30, 0.5, 0)
    use = anna.enter()
    quotas.change({"anna": KeyLimitsConfig(at_once=1), "bert": KeyLimitsConfig()}, {("2026-03-01", "anna"): (7, 0.0)})
    assert quotas.of("anna") is anna
    assert anna.today.used.tokens == 30, "what is kept was not read twice"
    with pytest.raises(LimitReached, match=r"1 of its questions are worked on or wait, and limits.at_once is 1"):
        anna.enter()
    quotas.change({})
    use.close()
    assert (quotas.of("anna"), list(quotas)) == (None, [])


def test_a_name_that_comes_back_knows_what_ended_meanwhile() -> None:
    """A file that lacks a key for a while gives it nothing twice: neither of the day nor of the minute."""
    clock = Clock()
    quotas = Quotas(now=clock.now, utc=clock.utc)
    limits = {"anna": KeyLimitsConfig(per_minute=1, tokens_per_day=100)}
    quotas.change(limits)
    anna = quotas.of("anna")
    assert anna
    booking = anna.enter().question()
    booking.reserve(worst(60))
    quotas.change({})
    quotas.change(limits, {("2026-03-01", "anna"): (0, 0.0)})
    found = quotas.of("anna")
    assert found
    assert found.today.reserved.tokens == 60
    booking.spend(call(50))
    booking.close()
    assert (found.today.used.tokens, found.today.reserved.tokens) == (50, 0)
    with pytest.raises(LimitReached, match=r"limits\.per_minute is 1"):
        found.enter()
