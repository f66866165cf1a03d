"""What keeps an outage from growing: a budget for retries, and a breaker for an address that keeps failing."""

from __future__ import annotations

import math
from enum import IntEnum


class RetryBudget:
    """Ten retries in hand, and one more for every ten calls (Google SRE book, chapter 22: 10 % of calls)."""

    def __init__(self, *, share: float = 0.1, in_hand: float = 10.0) -> None:
        self._share, self._most = share, in_hand
        self._left = in_hand

    def earn(self) -> None:
        """Count a call."""
        self._left = min(self._most, self._left + self._share)

    def take(self) -> bool:
        """Use up one retry, if there is one left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Standing(IntEnum):
    """How suitable an address is for the next call; lower is better."""

    READY = 0
    """Its last call succeeded."""
    DUE = 1
    """Its last call failed some time ago; one call may find out whether it works again."""
    DOUBTFUL = 2
    """Its last call failed a moment ago, or one is finding out."""
    ASKED_TO_WAIT = 3
    """It failed, and its `Retry-After` has not passed."""
    OPEN = 4
    """It keeps failing and is not called."""


class State(IntEnum):
    """Whether an address is called, as metrics tell it."""

    CLOSED = 0
    """It is."""
    HALF_OPEN = 1
    """It failed too often; the next call, or one that is out, finds out whether it works again."""
    OPEN = 2
    """It failed too often and is not called."""


class Breaker:
    """Stops calling an address that keeps failing, tries one call after a while, and closes when it succeeds.

    Every failure sets the address back, each in a row for twice as long as the one before: by default from an
    eighth of a second to `open_seconds`. While it is set back it is called only where no other address is better;
    after `failures` in a row it is open, and is not called at all. When the time is over a single call is let
    through to find out. A success resets everything.

    Attributes:
        failures: In a row, up to now.
        open_seconds: How long it is open before a call is let through.
        not_before: What `Retry-After` asked for, on the event loop's clock.
    """

    __slots__ = ("_allowed", "_back_at", "_failed_at", "_is_probing", "failures", "not_before", "open_seconds")

    def __init__(self, *, failures: int = 8, open_seconds: float = 15.0) -> None:
        self._allowed, self.open_seconds = failures, open_seconds
        self.failures = 0
        self.not_before = self._back_at = self._failed_at = -math.inf
        self._is_probing = False

    def standing(self, now: float) -> Standing:
        """What to think of the address at `now`, a time of the event loop's clock."""
        if not self.failures:
            return Standing.READY
        is_due = now >= self._back_at and not self._is_probing
        if self.failures >= self._allowed and not is_due:
            return Standing.OPEN
        if now < self.not_before:
            return Standing.ASKED_TO_WAIT
        return Standing.DUE if is_due else Standing.DOUBTFUL

    def state(self, now: float) -> State:
        """Whether the address is called at `now`, a time of the event loop's clock."""
        if self.failures < self._allowed:
            return State.CLOSED
        return State.HALF_OPEN if self._is_probing or now >= self._back_at else State.OPEN

    def is_sound(self, now: float) -> bool:
        """It has not failed for as long as it would be open: a call more is no load on something that suffers."""
        return not self.failures and now >= self._failed_at + self.open_seconds

    def opens_in(self, now: float) -> float:
        """Seconds until the next call is let through; 0 while one is out to see."""
        return max(0.0, self._back_at - now)

    def begin(self, now: float) -> bool:
        """Note that a call begins; returns whether it is the probe, to be handed back when it ends."""
        if not self.failures or now < self._back_at or self._is_probing:
            return False
        self._is_probing = True
        return True

    def success(self, *, was_probe: bool) -> None:
        """Note that a call succeeded."""
        self.release(was_probe=was_probe)
        self.failures = 0
        self.not_before = -math.inf

    def failure(self, now: float, *, was_probe: bool, retry_after: float = 0.0) -> bool:
        """Note that a call failed, and that `retry_after` seconds were asked for.

        Returns:
            Whether the breaker opened by it; one that was open before does not open again.
        """
        self.release(was_probe=was_probe)
        self.failures += 1
        self._failed_at = now
        self._back_at = now + self.open_seconds / 2 ** max(0, self._allowed - self.failures)
        self.not_before = max(self.not_before, now + retry_after)
        return self.failures == self._allowed

    def release(self, *, was_probe: bool) -> None:
        """Note that a call ended in a way that says nothing about the address."""
        if was_probe:
            self._is_probing = False
