"""Which LLMs do not answer for the moment, how long they are waited for, and what failed for no other reason.

An LLM that has answered and then fails is *waited for*: nothing else is asked until it answers again, but for one
question at a time that finds out. After a while without an answer, or where it never answered at all, it is *down*:
its failures are what they are, and nobody waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from mollm.errors import LLMError, TimedOut
from mollm.events import CallEnded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from mollm.calling.attempt import ReliableLLM
    from mollm.events import Event, Token

T = TypeVar("T")

PATIENCE = 50.0
"""Seconds for which an LLM that fails is waited for: a breaker lets a call through every 15 s."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 15.0
"""Seconds before it is asked again, doubled each time."""
MOMENT = 0.25
"""Seconds after which is looked again whether it has answered meanwhile."""


class Outages:
    """What the calls of an evaluation say of its LLMs; an observer of them.

    Attributes:
        seconds: How long somebody was waited for, in all.
    """

    def __init__(self, llms: Mapping[str, ReliableLLM], patience: float = PATIENCE) -> None:
        """Nothing has failed yet.

        Args:
            llms: By name.
            patience: Seconds for which an LLM that fails is waited for.
        """
        self._llms, self._patience = llms, patience
        self._answered: set[str] = set()
        self._down: set[str] = set()
        self._since: dict[str, float] = {}
        """When those that are waited for failed first after they had answered."""
        self._last: dict[str, tuple[int, float]] = {}
        """How often they were asked again, and when."""
        self._turn = asyncio.Lock()
        self.seconds = 0.0

    def tell(self, event: Event) -> None:
        """Learn of a call that ended."""
        if not isinstance(event, CallEnded) or event.call.llm not in self._llms:
            return
        name, error = event.call.llm, event.error
        if error is None:
            self._answered.add(name)
            self._down.discard(name)
            self._since.pop(name, None)
            self._last.pop(name, None)
        elif isinstance(error, LLMError) and error.trips_breaker:
            now = asyncio.get_running_loop().time()
            if isinstance(error, TimedOut) and not self._llms[name].addresses.opens_in(now):
                return  # it may be slow and well
            if name in self._answered and name not in self._down and error.is_retryable:
                self._since.setdefault(name, now)
                self._last.setdefault(name, (0, now))
            else:
                self._give_up(name)

    async def show(self, token: Token) -> None:
        """Nobody reads along."""

    async def through(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask at once where nobody is waited for; else when it is time to find out, one at a time."""
        while self._wait() is not None:
            async with self._turn:
                if await self._is_due():
                    return await ask()
        return await ask()

    def waits_for(self, llms: Iterable[str]) -> bool:
        """Whether one of these is waited for."""
        return not self._since.keys().isdisjoint(llms)

    def may_answer(self, llms: Iterable[str]) -> bool:
        """Whether none of these is known to be down."""
        return self._down.isdisjoint(llms)

    async def _is_due(self) -> bool:
        """Wait until whoever is waited for may be asked again; False where nobody is any more."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (wait := self._wait()) is not None and wait > 0:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(min(wait, MOMENT))
        self.seconds += loop.time() - begun
        for name in self._since:
            self._last[name] = self._last[name][0] + 1, loop.time()
        return wait is not None

    def _wait(self) -> float | None:
        """Seconds until those who are waited for may be asked again, 0 or more; None: nobody is."""
        now = asyncio.get_running_loop().time()
        waits = {name: self._wait_for(name, now) for name in self._since}
        for name, wait in waits.items():
            if now + wait > self._since[name] + self._patience:
                self._give_up(name)
        return max((wait for name, wait in waits.items() if name in self._since), default=None)

    def _wait_for(self, name: str, now: float) -> float:
        addresses = self._llms[name].addresses
        times, last = self._last[name]
        backoff = last + min(LONGEST_WAIT, FIRST_WAIT * 2.0**times) - now
        return max(0.0, addresses.opens_in(now), addresses.asked_to_wait(now), backoff)

    def _give_up(self, name: str) -> None:
        self._down.add(name)
        self._since.pop(name, None)
        self._last.pop(name, None)


def unavailable(ended: Iterable[CallEnded], *, is_answered: bool) -> tuple[str, ...]:
    """The LLMs of which calls failed, or were not made, in a way that says nothing of what they know.

    One that was late is among them only where nobody answered: a mixture that does not wait for the slow is served so.
    """
    found = dict.fromkeys(
        event.call.llm
        for event in ended
        if isinstance(event.error, LLMError)
        and (event.error.is_retryable or event.error.trips_breaker)  # a wrong key is mended as well
        and not (is_answered and isinstance(event.error, TimedOut))
    )
    return tuple(found)
