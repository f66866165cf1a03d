"""What keeps an outage from growing: a budget for retries, and a breaker for an LLM that keeps failing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.errors import Unreachable

if TYPE_CHECKING:
    from mollm.errors import LLMError


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


class Breaker:
    """Stops calling an LLM that keeps failing, tries one call after a while, and closes when it succeeds."""

    def __init__(self, *, failures: int = 8, open_seconds: float = 15.0) -> None:
        self._allowed, self._open_seconds = failures, open_seconds
        self._failures = 0
        self._open_until = 0.0
        self._is_probing = False

    def enter(self, now: float) -> bool:
        """Let a call through, or raise `Unreachable` while open.

        Returns:
            Whether the call is the probe; to be handed to `leave`.
        """
        if self._failures < self._allowed:
            return False
        if now < self._open_until or self._is_probing:
            wait = max(0.0, self._open_until - now)
            raise Unreachable(
                f"not called: its last {self._failures} calls failed; next try in {wait:.0f} s",
                code="breaker_open",
                retry_after_seconds=wait,
            )
        self._is_probing = True
        return True

    def leave(self, now: float, is_probe: bool, *, error: LLMError | None = None, counts: bool = True) -> None:
        """Note how a call ended.

        Args:
            now: On the event loop's clock.
            is_probe: What `enter` returned.
            error: How it failed; None for a success.
            counts: Unset for a call that the caller ended: it says nothing about the LLM.
        """
        if is_probe:
            self._is_probing = False
        if not counts:
            return
        if error is None:
            self._failures = 0
        elif error.trips_breaker:
            self._failures += 1
            self._open_until = now + self._open_seconds
