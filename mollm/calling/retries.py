"""When and where a call is tried again. This is the one place that retries.

A retry goes to another address where there is one. It does so at once, and costs nothing, where that address is
sound: a server that answers everybody else only gets the call that it would have got, had the first one not been
there. In every other case something suffers, perhaps all of it, so a retry waits, and takes from a budget that
all LLMs of a pool share: an outage does not multiply its own load.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import tenacity

from mollm.calling.addresses import Attempt
from mollm.calling.bounds import WAITED
from mollm.calling.health import Standing
from mollm.calling.hedge import Hedge
from mollm.calling.quoting import quoted, with_quote
from mollm.calling.shortage import NO_DESCRIPTOR, SAID_AGAIN
from mollm.calling.translate import NOT_CONNECTED, translate
from mollm.errors import Exhausted, LLMError, TimedOut, UserError
from mollm.events import BreakerOpened, Event, Retried
from mollm.types import Failure

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Sequence

    from mollm.calling.addresses import Address, Addresses
    from mollm.calling.base import Request
    from mollm.calling.bounds import Clock
    from mollm.calling.health import RetryBudget

log = logging.getLogger("mollm")

T = TypeVar("T")
Ask: TypeAlias = Callable[[Attempt], Awaitable[T]]
"""Makes a call at the address of an attempt, and says where it succeeded."""
Tell: TypeAlias = Callable[[Event], None]

LONGEST_RETRY_AFTER = 120.0
"""Seconds; a provider that asks for more is out for this request. The OpenAI SDK uses the same cap."""
TURNED_AWAY = frozenset((401, 402, 403, 404, 429, 503))
"""Statuses of a server that did not hand the request on to a model."""
LONGEST_SHORTAGE = 5.0
"""Seconds for which a call waits for a port or memory; for a descriptor it waits as long as it may run."""
BACKOFF = tenacity.wait_random_exponential(multiplier=0.5, min=0.1, max=8)


class Retries:
    """Tries the calls to one LLM, again where it makes sense.

    Attributes:
        refused: Retries that would have made sense, and that `budget` or `time` did not allow.
    """

    def __init__(
        self, llm: str, addresses: Addresses, retries: int, budget: RetryBudget, secrets: Sequence[str] = ()
    ) -> None:
        """Take what the calls share.

        Args:
            llm: Name of the LLM.
            addresses: Where it is served.
            retries: How often a call is tried again.
            budget: Taken from for every retry at an address that is not sound.
            secrets: Taken out of what a provider said, before anybody reads it.
        """
        self._llm = llm
        self._addresses = addresses
        self._most = retries
        self._hedges = retries > 0 and len(addresses) > 1
        self._budget = budget
        self._secrets = secrets
        self.refused: Counter[str] = Counter()
        self._said_lacking = -math.inf

    async def reach(self, ask: Ask[T], request: Request, clock: Clock, tell: Tell | None, *, hedge: bool = False) -> T:
        """Return what `ask` brings from the first address that answers.

        Args:
            ask: Called with one attempt after another.
            request: What it asks; nothing of it is in the log.
            clock: Holds for all of them together.
            tell: Is told of every retry, and of every breaker that opens.
            hedge: A second address may be asked while the first does not answer; `ask` then runs twice at once.

        Raises:
            LLMError: None did; the last error, or that all addresses are open.
        """
        self._budget.earn()
        tried: list[Address] = []
        retried = lacked = 0
        begun = clock.now()
        while True:
            attempt = self._begin(clock.now(), tried)
            try:
                call = self._try(attempt, ask, request, clock, tell)
                if not hedge or not self._hedges:
                    return await call
                return await self._hedge(attempt, ask, request, clock, tell, tried).first_reply(call)
            except Exhausted as error:
                if error.code == NO_DESCRIPTOR or not self._may_go_on(tried, attempt.address, clock.now()):
                    await self._until_there_is_more(error, lacked, begun, clock)
                    lacked += 1
                continue
            except LLMError as error:
                tried.append(attempt.address)
                wait = self._wait(error, retried, tried, clock)
                self.report(error, wait)
                if wait is None:
                    raise
                self._tell_retried(tell, error, wait, attempt.address)
                # A request that brings servers down must not be sent to all of them. One that no server has seen
                # may be: a call finds the address that lives, however many are dead.
                retried += wait > 0 or not _was_turned_away(error)
            if wait:
                await asyncio.sleep(wait)

    def judge(self, attempt: Attempt, error: Exception, request: Request, clock: Clock, tell: Tell | None) -> LLMError:
        """Make the error of an attempt one of ours, and hold it against the address where it speaks against it."""
        ours = translate(error, self._llm)
        ours.address, ours.said = attempt.address.name, quoted(ours.said, request, self._secrets)
        if not self._speaks_against_address(ours) or clock.ended_by_caller(ours):
            attempt.abandoned()
        elif attempt.failed(clock.now(), ours.retry_after_seconds or 0.0) and tell:
            breaker = attempt.address.breaker
            tell(BreakerOpened(self._llm, breaker.failures, breaker.open_seconds, attempt.address.name))
        return ours

    def _may_go_on(self, tried: list[Address], lacking: Address, now: float) -> bool:
        # An address of a family that this machine has not is one that it has no address for, and others may do.
        tried.append(lacking)
        return self._addresses.pick(now, tried) is not None

    async def _until_there_is_more(self, error: Exhausted, times: int, begun: float, clock: Clock) -> None:
        """Wait a moment for what was lacking here. Raises the error where it was waited for as long as may be."""
        now = clock.now()
        if now >= self._said_lacking + SAID_AGAIN:
            self._said_lacking = now
            log.warning("%s: %s; its calls wait", place_of(self._llm, error.address), error.message)
        until = clock.until if error.code == NO_DESCRIPTOR else min(clock.until, begun + LONGEST_SHORTAGE)
        wait = random.uniform(0.5, 1) * min(1.0, 0.05 * 2 ** min(times, 8))  # noqa: S311 - so that not all come back at once
        try:
            await asyncio.sleep(min(wait, max(0.0, clock.until - now)))
        except asyncio.CancelledError as cancelled:
            cancelled.add_note(WAITED)
            raise
        if now + wait >= until:
            self.report(error)
            raise error

    def report(self, error: LLMError, wait: float | None = None) -> None:
        """Tell the operator how a call failed, what the provider said, and in how many seconds it is tried again."""
        level = logging.WARNING if wait is None else logging.INFO
        outcome = "" if wait is None else f" (tried again in {wait:.1f} s)" if wait else " (tried again)"
        place = place_of(self._llm, error.address)
        log.log(level, "%s: %s%s", place, with_quote(error.message, error.said), outcome)

    def _begin(self, now: float, tried: list[Address]) -> Attempt:
        attempt = self._addresses.begin(now, tried)
        if attempt is None and tried:
            tried.clear()
            attempt = self._addresses.begin(now)
        if attempt is None:
            raise self._addresses.unavailable(now, self._llm)
        return attempt

    async def _try(self, attempt: Attempt, ask: Ask[T], request: Request, clock: Clock, tell: Tell | None) -> T:
        try:
            return await ask(attempt)
        except (UserError, MemoryError):
            attempt.abandoned()
            raise
        except Exception as error:  # noqa: BLE001 - raised as ours
            raise self.judge(attempt, error, request, clock, tell) from harmless(error)
        except BaseException:
            attempt.abandoned()
            raise

    def _hedge(
        self,
        attempt: Attempt,
        ask: Ask[T],
        request: Request,
        clock: Clock,
        tell: Tell | None,
        tried: list[Address],
    ) -> Hedge[T]:
        half = (clock.until - clock.now()) / 2

        def second() -> Coroutine[Any, Any, T] | None:
            now = clock.now()
            other = self._addresses.pick(now, [attempt.address])
            if other is None or other.breaker.standing(now) is not Standing.READY or not self._budget.take():
                return None
            slow = TimedOut(f"no reply within {half:.0f} s; it is still waited for, and another address is asked")
            self._tell_retried(tell, slow, 0.0, attempt.address)
            tried.append(other)
            return answer_at(other)

        async def answer_at(other: Address) -> T:
            reply = await self._try(other.begin(clock.now()), ask, request, clock, tell)
            self.judge(attempt, TimedOut("another address answered first"), request, clock, tell)
            return reply

        return Hedge(second, after=half)

    def _wait(self, error: LLMError, retried: int, tried: Collection[Address], clock: Clock) -> float | None:
        """Seconds to wait before the next attempt; None where there must not be one."""
        now = clock.now()
        if retried >= self._most or not self._speaks_against_address(error):
            return None
        if now >= clock.until:
            self.refused["time"] += 1
            return None
        other = self._addresses.pick(now, tried)
        if other is not None and other.breaker.is_sound(now):
            return 0.0
        if other is None:
            tried = ()
            if not error.is_retryable or self._addresses.pick(now) is None:
                return None
        wait = max(_backoff(retried), self._addresses.asked_to_wait(now, tried))
        has_time = wait <= LONGEST_RETRY_AFTER and now + wait < clock.until
        if has_time and self._budget.take():
            return wait
        self.refused["budget" if has_time else "time"] += 1
        return None

    def _speaks_against_address(self, error: LLMError) -> bool:
        # No caller can name a model or a path that one of several addresses has and another has not.
        return error.trips_breaker or (error.status == 404 and len(self._addresses) > 1)

    def _tell_retried(self, tell: Tell | None, error: LLMError, wait: float, address: Address) -> None:
        if tell:
            failure = Failure(error.kind, error.status, error.message, error.retry_after_seconds)
            tell(Retried(self._llm, failure, wait, address.name))


def _was_turned_away(error: LLMError) -> bool:
    return error.code == NOT_CONNECTED or error.status in TURNED_AWAY


def _backoff(retried: int) -> float:
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = retried + 1
    return BACKOFF(state)


def harmless(error: BaseException) -> BaseException | None:
    """What an error may be raised `from`: nothing that holds a key."""
    # aiohttp's errors carry the request with its headers, and so the key, into every debugger and error report.
    return None if hasattr(error, "request_info") else error


def place_of(llm: str, address: str) -> str:
    """Name an LLM in the log, and where it is called if that has a name."""
    return f"{llm} at {address}" if address else llm
