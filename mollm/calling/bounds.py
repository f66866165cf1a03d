"""How long a call may take, and how many calls an LLM may have in flight."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mollm.errors import Exhausted, TimedOut

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.errors import LLMError

CONNECTIONS = 512
"""Calls in flight at one address, where nothing else is said: more would queue up at the server instead of here."""
WAITED = "waited for a connection of this process"
"""A note on the cancellation of a call that had none yet."""
RETRY_AFTER = 5.0
"""Seconds after which a client may try again what found no connection here; nobody knows when one becomes free."""


class Clock:
    """Until when a call may run, on the event loop's clock, and whose limit that is.

    Attributes:
        now: Reads the event loop's clock.
        until: The end of the call, with its retries.
    """

    __slots__ = ("_deadline", "now", "until")

    def __init__(self, seconds: float, deadline: float | None) -> None:
        """Begin now; the call may take so many seconds, and no longer than to the caller's `deadline`."""
        self.now = asyncio.get_running_loop().time
        self._deadline = deadline
        until = self.now() + seconds
        self.until = until if deadline is None else min(until, deadline)

    def ended_by_caller(self, error: LLMError) -> bool:
        """The caller's time ran out, which says nothing about the LLM."""
        return isinstance(error, TimedOut) and self._deadline is not None and self.now() >= self._deadline


class Room:
    """How many calls all LLMs of a pool may have in flight, where their connections have to fit this process.

    Half of it is divided among the LLMs, so that one whose server hangs leaves each other its part; the rest is for
    whoever comes first.

    Attributes:
        most: Returns the bound, which may change; None: there is none.
    """

    def __init__(self) -> None:
        self.most: Callable[[], int] | None = None
        self._members: weakref.WeakSet[Slots] = weakref.WeakSet()

    def join(self, slots: Slots) -> None:
        """Count the calls of one more LLM."""
        self._members.add(slots)

    def has(self, slots: Slots) -> bool:
        """Whether one more call of this LLM fits."""
        if self.most is None:
            return True
        most = self.most()
        own = max(1, most // (2 * len(self._members)))
        if slots.in_use < own:
            return True
        shared = sum(max(0, member.in_use - own) for member in self._members)
        return shared < most - own * len(self._members)

    def let_in(self) -> None:
        """Let in who fits by now, of the LLM with the fewest calls first."""
        if self.most is not None:
            for member in sorted([m for m in self._members if m.waiting], key=lambda m: m.in_use):
                member.let_in()


@dataclass(slots=True)
class _OnLoop:
    """The calls to an LLM on one event loop."""

    in_use: int = 0
    waiting: deque[asyncio.Future[bool]] = field(default_factory=deque)


class Slots:
    """The calls that one LLM has in flight, at most so many on one event loop; the others wait in turn.

    A call takes a connection, so this is what keeps the connections of an LLM whose server hangs from using up
    those of another, and the only place where one is waited for: HTTP clients have no bound of their own below it.
    """

    def __init__(self, most: int, room: Room | None = None) -> None:
        """Take the bound of this LLM, and the room that it shares with others."""
        self.most = most
        self._room = room or Room()
        self._room.join(self)
        self._of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _OnLoop] = weakref.WeakKeyDictionary()

    @property
    def in_use(self) -> int:
        """Calls in flight."""
        return sum(calls.in_use for calls in list(self._of_loop.values()))

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn."""
        return sum(len(calls.waiting) for calls in list(self._of_loop.values()))

    def slot(self, clock: Clock, llm: str) -> Slot:
        """A slot for one call to the LLM of that name, waited for no longer than the call may run."""
        return Slot(self, clock, llm)

    async def enter(self, until: float) -> bool:
        """Wait for a slot, and return whether one was free at `until`, a time of the event loop's clock."""
        loop = asyncio.get_running_loop()
        calls = self._of_loop.get(loop)
        if calls is None:
            calls = self._of_loop[loop] = _OnLoop()
        if not calls.waiting and self._fits(calls):
            calls.in_use += 1
            return True
        turn: asyncio.Future[bool] = loop.create_future()
        calls.waiting.append(turn)
        timer = loop.call_at(until, _give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError as error:
            error.add_note(WAITED)
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave()  # it was let in at the moment at which it gave up
            raise
        finally:
            timer.cancel()
            if turn in calls.waiting:
                calls.waiting.remove(turn)

    def leave(self) -> None:
        """Give a slot back on the event loop on which it was taken."""
        self._of_loop[asyncio.get_running_loop()].in_use -= 1
        self.let_in()
        self._room.let_in()

    def let_in(self) -> None:
        """Let in who waits on the running event loop, as far as there is room."""
        calls = self._of_loop.get(asyncio.get_running_loop())
        while calls and calls.waiting and self._fits(calls):
            turn = calls.waiting.popleft()
            if not turn.done():
                calls.in_use += 1
                turn.set_result(True)

    def _fits(self, calls: _OnLoop) -> bool:
        return calls.in_use < self.most and self._room.has(self)


def _give_up(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)


class Slot:
    """The right to one call, held inside `async with`. Raises `Exhausted` where none becomes free in time."""

    __slots__ = ("_clock", "_llm", "_slots")

    def __init__(self, slots: Slots, clock: Clock, llm: str) -> None:
        self._slots, self._clock, self._llm = slots, clock, llm

    async def __aenter__(self) -> None:
        begun = self._clock.now()
        if not await self._slots.enter(self._clock.until):
            waited = f"not called: {self._clock.now() - begun:.1f} s it {WAITED}"
            message = f"{waited}, and its calls in flight left no place in time"
            raise Exhausted(message, llm=self._llm, retry_after_seconds=RETRY_AFTER)

    async def __aexit__(self, *_: object) -> None:
        self._slots.leave()
