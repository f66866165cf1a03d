"""What the keys of a server may use, and what they do use: plain states, without a file or a socket.

An HTTP request takes a place and its part of the minute when it comes (`Quota.enter`). Each of its questions then
holds its worst case before an LLM is called, and what its calls took in place of that once they have ended
(`Booking`), so that any number of questions at once stays within the limits of the day.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn, Protocol, Self

from mollm.config.api_keys import KeyLimitsConfig
from mollm.errors import LimitError, LimitReached
from mollm.server.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mollm.limits import WorstCase
    from mollm.server.window import Entry
    from mollm.types import Call

LONGEST_WAIT = 60.0
"""Seconds that a client is told to wait at most for others of its own to end."""
PICO = 10**12
"""Of one USD: money is counted in whole parts, so that sums are exact however often something is added and taken."""
DAYS_HELD = 3
"""A clock that is set back finds the day before."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What a question takes of a day."""

    tokens: int = 0
    cost: int = 0
    """Of `PICO` parts of one USD."""

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.cost + other.cost)

    def __sub__(self, other: Amount) -> Amount:
        """What is left, and of neither less than nothing."""
        return Amount(max(0, self.tokens - other.tokens), max(0, self.cost - other.cost))

    @property
    def cost_usd(self) -> float:
        """USD."""
        return self.cost / PICO


def amount(tokens: int, cost_usd: float | None) -> Amount:
    """Count tokens and money."""
    return Amount(tokens, round((cost_usd or 0.0) * PICO))


NOTHING = Amount()


@dataclass(slots=True)
class Day:
    """What one key has used on one day (UTC), and what is held for questions that are being answered."""

    date: str
    used: Amount = NOTHING
    reserved: Amount = NOTHING


class Sink(Protocol):
    """Where what was used is kept for the next start."""

    def add(self, day: str, name: str, tokens: int, cost_usd: float) -> None:
        """Add to what `name` has used on `day`; returns at once, and never fails."""


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


Used = dict[tuple[str, str], tuple[int, float]]
"""By day and name of the key: tokens, and USD."""


class Quotas:
    """The quotas of all keys, by their names."""

    def __init__(
        self,
        *,
        sink: Sink | None = None,
        now: Callable[[], float] = time.monotonic,
        utc: Callable[[], datetime] = utc_now,
    ) -> None:
        """Start without a key.

        Args:
            sink: Is told what is used; None: nobody is.
            now: Seconds on a clock that is never set.
            utc: The time of day.
        """
        self.sink, self.now, self.utc = sink, now, utc
        self._of: dict[str, Quota] = {}
        self._known: dict[str, Quota] = {}  # also of keys that were taken out: what they asked may not have ended

    def __iter__(self) -> Iterator[Quota]:
        return iter(self._of.values())

    def of(self, name: str) -> Quota | None:
        """Return the quota of a key; None where there is no such key."""
        return self._of.get(name)

    def change(self, limits: Mapping[str, KeyLimitsConfig], used: Used | None = None) -> None:
        """Put other limits in force. Keys that stay or come back keep what they count; new ones begin with `used`."""
        self._of = {}
        for name, found in limits.items():
            if name not in self._known:
                self._known[name] = Quota(name, self)
                self._known[name].recall(used or {})
            self._of[name] = self._known[name]
            self._of[name].limits = found

    def keep_in(self, sink: Sink, used: Used) -> None:
        """Keep from now on what is used, together with what was `used` elsewhere before."""
        self.sink = sink
        for quota in self._known.values():
            quota.hand_over(sink)
            quota.recall(used)


class Quota:
    """What one key may use, and does use.

    Attributes:
        name: Of the key.
        limits: In force now.
        places: Questions that are worked on or wait.
        requests: HTTP requests that came with the key, refused ones among them.
        refusals: How often each limit refused one.
        total: Used since the server started.
        days: The latest ones, by their date.
    """

    def __init__(self, name: str, quotas: Quotas) -> None:
        self.name, self._quotas = name, quotas
        self.limits = KeyLimitsConfig()
        self.places = self.requests = 0
        self.refusals: Counter[str] = Counter()
        self.total = NOTHING
        self.minute = Window()
        self.days: dict[str, Day] = {}
        self._seconds = 1.0

    @property
    def today(self) -> Day:
        """What is used today."""
        return self._day(self._quotas.utc().date().isoformat())

    @property
    def now(self) -> float:
        """Seconds, on a clock that is never set."""
        return self._quotas.now()

    def enter(self) -> Use:
        """Take a place, and count one question, before the body of an HTTP request is read.

        Raises:
            LimitReached: One of the limits leaves no room; nothing is counted.
        """
        self.requests += 1
        most = self.limits.at_once
        if most is not None and self.places >= most:
            text = f"{self.places} of its questions are worked on or wait, and limits.at_once is {most}"
            self._refuse("at_once", f"{text}; try again when one has ended", self._soon)
        self._check_room(self.today, Amount(1, 1))
        return Use(self, self.count(1))

    def leave(self, places: int, seconds: float) -> None:
        """Give places back that were held for so many seconds."""
        self._seconds += (seconds - self._seconds) / 16
        self.places -= places

    def count(self, questions: int) -> Entry | None:
        """Count questions toward the minute; None where it has no limit. Raises `LimitError` or `LimitReached`."""
        most, now = self.limits.per_minute, self.now
        if most is None:
            return None
        if questions > most:
            self.refusals["per_minute"] += 1
            raise LimitError(f"key {self.name!r}: a list of {questions} questions, and limits.per_minute is {most}")
        if wait := self.minute.wait(questions, most, now):
            text = f"it has asked {self.minute.count(now)} questions in the last 60 seconds"
            text += f", and limits.per_minute is {most}"
            self._refuse("per_minute", f"{text}; try again in {math.ceil(wait)} s", wait)
        return self.minute.add(questions, now)

    def check(self, day: Day, worst: WorstCase, held: Amount, spent: Amount) -> None:
        """Raise `LimitError` or `LimitReached` if a question that holds and has spent so much does not fit the day."""
        if self.limits.cost_usd_per_day is not None and worst.unpriced:
            self.refusals["cost_usd_per_day"] += 1
            unpriced = ", ".join(worst.unpriced)
            raise LimitError(f"key {self.name!r}: {unpriced} has no price, so limits.cost_usd_per_day cannot be kept")
        whole = amount_of(worst)
        calls = f"{worst.calls} call{'s' if worst.calls != 1 else ''}"
        counted = f"{calls}, {worst.prompt_tokens} tokens of prompts and {worst.output_tokens} of replies at worst"
        for key, limit, part, shown in self._ceilings():
            if part(whole) > limit:
                self.refusals[key] += 1
                text = f"this question may take {shown(part(whole))} ({counted}), and limits.{key} is {shown(limit)}"
                raise LimitError(f"key {self.name!r}: {text}")
        self._check_room(day, whole - spent, held, counted)

    def spent(self, day: Day, used: Amount) -> None:
        """Add to what was used, today or on an earlier day."""
        day.used += used
        self.total += used
        if self._quotas.sink is not None:
            self._quotas.sink.add(day.date, self.name, used.tokens, used.cost_usd)

    def recall(self, used: Used) -> None:
        """Add what was used before, as far as its day still counts."""
        yesterday = (self._quotas.utc() - timedelta(days=1)).date().isoformat()
        for (date, name), (tokens, cost_usd) in used.items():
            if name == self.name and date >= yesterday:
                self._day(date).used += amount(tokens, cost_usd)

    def hand_over(self, sink: Sink) -> None:
        """Tell a new sink what was used before it came."""
        for day in self.days.values():
            sink.add(day.date, self.name, day.used.tokens, day.used.cost_usd)

    def _check_room(self, day: Day, wanted: Amount, held: Amount = NOTHING, counted: str = "") -> None:
        for key, limit, part, shown in self._ceilings():
            used, others, more = part(day.used), part(day.reserved) - part(held), part(wanted)
            if used + others + more <= limit:
                continue
            asked = f"this question may take {shown(more)} ({counted}) and " if counted else ""
            text = f"{shown(used)} of {day.date} are used"
            if used + more > limit:
                end = datetime.fromisoformat(f"{day.date}T00:00:00+00:00") + timedelta(days=1)
                text = f"{text}, {asked}limits.{key} is {shown(limit)}; try again at {end:%Y-%m-%d %H:%M} UTC"
                wait = (end - self._quotas.utc()).total_seconds()
                self._refuse(key, text, wait, code="daily_limit_exceeded")
            text += f", {shown(others)} held for questions that are being answered, {asked}limits.{key} is"
            self._refuse(key, f"{text} {shown(limit)}; try again when one has ended", self._soon)

    def _ceilings(self) -> Iterator[tuple[str, int, Callable[[Amount], int], Callable[[int], str]]]:
        # Of each limit of a day its key, itself, what of an amount it is about, and how to say that.
        if (most := self.limits.tokens_per_day) is not None:
            yield "tokens_per_day", most, lambda found: found.tokens, lambda tokens: f"{tokens} tokens"
        if (usd := self.limits.cost_usd_per_day) is not None:
            yield "cost_usd_per_day", round(usd * PICO), lambda found: found.cost, lambda cost: f"{cost / PICO:.6g} USD"

    def _refuse(self, limit: str, text: str, wait: float, *, code: str = "rate_limit_exceeded") -> NoReturn:
        self.refusals[limit] += 1
        raise LimitReached(f"key {self.name!r}: {text}", retry_after_seconds=wait, code=code)

    @property
    def _soon(self) -> float:
        # Until one of the questions that are worked on has ended, at the recent rate.
        return min(LONGEST_WAIT, max(1.0, self._seconds / max(1, self.places)))

    def _day(self, date: str) -> Day:
        if date not in self.days:
            for old in sorted(self.days)[: 1 - DAYS_HELD]:
                del self.days[old]
            self.days[date] = Day(date)
        return self.days[date]


class Use:
    """What one HTTP request takes: a place for each question that is worked on at the same time."""

    def __init__(self, quota: Quota, entry: Entry | None) -> None:
        self._quota, self._entry = quota, entry
        self._places, self._begun = 1, quota.now
        quota.places += 1

    def spread(self, questions: int, at_once: int) -> int:
        """Count a list, and return how many of its questions may be worked on at the same time: 1 to `at_once`.

        Raises:
            LimitError: The list is longer than `per_minute`.
            LimitReached: Not so many questions are left of the minute.
        """
        quota, most = self._quota, self._quota.limits.at_once
        self.take_back(1)
        self._entry = quota.count(questions)
        more = min(questions, at_once) - 1
        if most is not None:
            more = max(0, min(more, most - quota.places))
        self._places += more
        quota.places += more
        return self._places

    def take_back(self, questions: int) -> None:
        """Count so many questions less: they were refused."""
        if self._entry is not None:
            self._quota.minute.take_back(self._entry, questions)

    def question(self) -> Booking:
        """Begin a question."""
        return Booking(self._quota, self)

    def close(self) -> None:
        """Give the places back."""
        self._quota.leave(self._places, self._quota.now - self._begun)
        self._places = 0


class Booking:
    """The part of a day that one question takes: a `Budget`. As a context it holds nothing any more at its end.

    Attributes:
        day: Of its first reservation, also where that is over before the question is; None before it.
    """

    __slots__ = ("_is_over", "_quota", "_spent", "_use", "_worst", "day")

    def __init__(self, quota: Quota, use: Use) -> None:
        self._quota, self._use = quota, use
        self.day: Day | None = None
        self._worst = self._spent = NOTHING
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def allows(self, worst: WorstCase) -> bool:
        """Whether `reserve` would hold so much; nobody is refused by asking."""
        refusals = self._quota.refusals
        counted = dict(refusals)
        try:
            self._quota.check(self.day or self._quota.today, worst, self._held, self._spent)
        except (LimitError, LimitReached):
            refusals.clear()
            refusals.update(counted)
            return False
        return True

    def reserve(self, worst: WorstCase) -> None:
        """Hold what the question may still take, in place of what was held for it before.

        Raises:
            LimitError: The question takes more than a whole day has, or an LLM has no price.
            LimitReached: There is not so much left of the day.
        """
        if self._is_over:
            raise RuntimeError("a question goes on that is over")
        day = self.day or self._quota.today
        try:
            self._quota.check(day, worst, self._held, self._spent)
        except (LimitError, LimitReached):
            self._use.take_back(1)
            raise
        self.day = day
        self._hold(amount_of(worst))

    def spend(self, call: Call) -> None:
        """Book a call that has ended, whether it brought something or not."""
        self.day = self.day or self._quota.today
        used = amount(call.usage.prompt_tokens + call.usage.completion_tokens, call.cost_usd)
        before = self._held
        self._spent += used
        self.day.reserved -= before - self._held
        self._quota.spent(self.day, used)

    def close(self) -> None:
        """Hold nothing any more; a call that ends later is booked all the same."""
        self._hold(NOTHING)
        self._is_over = True

    @property
    def _held(self) -> Amount:
        return self._worst - self._spent

    def _hold(self, worst: Amount) -> None:
        before, self._worst = self._held, worst
        if self.day is not None:
            self.day.reserved = self.day.reserved + self._held - before


def amount_of(worst: WorstCase) -> Amount:
    """Return what a question takes at worst."""
    return amount(worst.prompt_tokens + worst.output_tokens, worst.cost_usd)
