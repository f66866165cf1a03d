"""An LLM as the rest of mollm calls it: with its settings, timeouts, retries, breaker, bound and price.

This is the one place that retries. A retry happens before the first visible token, within the deadline, and
within a budget shared by all LLMs of a configuration, so that an outage does not multiply its own load.
"""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import tenacity

from mollm.errors import EmptyReply, LLMError, Refused, Unreachable, UserError
from mollm.llms.base import CHARACTERS_PER_TOKEN, LLM, Chunk, Completion, Request, text_of
from mollm.llms.translate import translate
from mollm.types import Settings, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from mollm.types import Message

T = TypeVar("T")

LONGEST_RETRY_AFTER = 120.0
"""Seconds; a provider that asks for more is out for this request. The OpenAI SDK uses the same cap."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; the last two apply to streamed calls only."""

    total: float = 120.0
    first_token: float = 60.0
    idle: float = 30.0


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    input: float
    output: float

    def cost(self, usage: Usage) -> float:
        """USD for `usage`."""
        return (usage.prompt_tokens * self.input + usage.completion_tokens * self.output) / 1e6


class RetryBudget:
    """Retries may be 10 % of calls, and at least 10 (Google SRE book, chapter 22)."""

    def __init__(self, *, share: float = 0.1, minimum: int = 10) -> None:
        self._share, self._minimum = share, minimum
        self.calls = 0
        self.retries = 0

    def take(self) -> bool:
        """Use up one retry, if there is one left."""
        if self.retries >= max(self._minimum, self._share * self.calls):
            return False
        self.retries += 1
        return True


class Breaker:
    """Stops calling an LLM that keeps failing, tries one call after a while, and closes when it succeeds."""

    def __init__(self, *, failures: int = 8, open_seconds: float = 15.0) -> None:
        self._allowed, self._open_seconds = failures, open_seconds
        self._failures = 0
        self._opens_until = 0.0
        self._is_probing = False

    def enter(self, now: float) -> None:
        """Let a call through, or raise `Unreachable` while open."""
        if self._failures < self._allowed:
            return
        if now < self._opens_until or self._is_probing:
            wait = max(0.0, self._opens_until - now)
            raise Unreachable(
                f"not called: its last {self._failures} calls failed; next try in {wait:.0f} s",
                code="breaker_open",
                retry_after_seconds=wait,
            )
        self._is_probing = True

    def leave(self, now: float, *, error: LLMError | None = None, cancelled: bool = False) -> None:
        """Count how a call ended; one the caller cancelled or got wrong says nothing about the LLM."""
        self._is_probing = False
        if error is not None and error.trips_breaker:
            self._failures += 1
            self._opens_until = now + self._open_seconds
        elif not cancelled:
            self._failures = 0


class ReliableLLM:
    """One LLM of a configuration."""

    def __init__(
        self,
        name: str,
        llm: LLM,
        *,
        defaults: Settings = Settings(max_tokens=1024),
        timeouts: Timeouts = Timeouts(),
        retries: int = 2,
        budget: RetryBudget | None = None,
        max_in_flight: int | None = None,
        price: Price | None = None,
        window: int | None = None,
    ) -> None:
        self.name = name
        self.defaults = defaults
        self.price = price
        self._llm = llm
        self._timeouts = timeouts
        self._retries = retries
        self._budget = budget or RetryBudget()
        self._breaker = Breaker()
        self._max_in_flight = max_in_flight
        self._slots: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]
        self._slots = weakref.WeakKeyDictionary()
        self._window = window

    async def complete(self, request: Request, *, deadline: float | None = None) -> Completion:
        """Return the whole reply, its usage estimated if the provider said nothing.

        Args:
            request: Its settings win over the LLM's own.
            deadline: On the event loop's clock; retries included.

        Raises:
            LLMError: The call failed, after retries where they made sense.
        """
        loop = asyncio.get_running_loop()
        request = Request(request.messages, request.settings.over(self.defaults))
        until = self._until(deadline, loop.time())

        async def attempt() -> Completion:
            completion = await self._llm.complete(request)
            _check(completion.finish_reason, completion.text, completion.message)
            return completion

        completion = await self._with_retries(attempt, self._timeouts.total, until)
        if completion.usage is None:
            usage = self.estimate(request.messages, completion.text)
            return Completion(completion.message, completion.finish_reason, usage, completion.logprobs)
        return completion

    async def stream(self, request: Request, *, deadline: float | None = None) -> AsyncGenerator[Chunk, None]:
        """Yield the reply piece by piece. Raises as `complete`, also in the middle."""
        loop = asyncio.get_running_loop()
        request = Request(request.messages, request.settings.over(self.defaults))
        until = self._until(deadline, loop.time())

        async def attempt() -> tuple[list[Chunk], AsyncIterator[Chunk]]:
            chunks = self._llm.stream(request)
            try:
                return await _up_to_first_token(chunks), chunks
            except BaseException:
                await _aclose(chunks)
                raise

        held, chunks = await self._with_retries(attempt, self._timeouts.first_token, until)
        try:
            for chunk in held:
                yield chunk
            while True:
                try:
                    async with asyncio.timeout_at(min(until, loop.time() + self._timeouts.idle)):
                        chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                except Exception as error:
                    raise translate(error, self.name) from error
                yield chunk
        finally:
            await _aclose(chunks)

    async def context_window(self) -> int:
        """Tokens that a prompt and its answer may have together: set, asked from the server, or 8192."""
        if self._window is None:
            ask = getattr(self._llm, "context_window", None)
            try:
                async with asyncio.timeout(5):
                    self._window = (await ask()) if ask else None
            except Exception as error:  # noqa: BLE001 - whatever the server does here, the question is still answered
                translate(error, self.name)
            self._window = self._window or 8192
        return self._window

    def estimate(self, messages: Sequence[Message], text: str = "") -> Usage:
        """Estimate the tokens of a call from its characters."""
        prompt = sum(len(text_of(m.get("content"))) for m in messages) // CHARACTERS_PER_TOKEN
        completion = len(text) // CHARACTERS_PER_TOKEN
        return Usage(prompt, completion, prompt + completion, estimated=True)

    def cost(self, usage: Usage) -> float | None:
        """USD for `usage`; None without a price."""
        return self.price.cost(usage) if self.price else None

    async def aclose(self) -> None:
        """Close what the LLM opened on the running event loop."""
        await self._llm.aclose()

    def _until(self, deadline: float | None, now: float) -> float:
        own = now + self._timeouts.total
        return own if deadline is None else min(own, deadline)

    async def _once(self, attempt: Callable[[], Awaitable[T]], until: float) -> T:
        # Bound, breaker and clock around one attempt, and the one spot where a foreign error becomes ours.
        now = asyncio.get_running_loop().time
        async with self._slot():
            try:
                self._breaker.enter(now())
            except LLMError as error:
                raise translate(error, self.name) from None
            try:
                async with asyncio.timeout_at(until):
                    result = await attempt()
            except UserError:
                self._breaker.leave(now(), cancelled=True)
                raise
            except Exception as error:
                ours = translate(error, self.name)
                self._breaker.leave(now(), error=ours)
                raise ours from error
            except BaseException:
                self._breaker.leave(now(), cancelled=True)
                raise
            self._breaker.leave(now())
            return result

    def _slot(self) -> asyncio.Semaphore | _NoBound:
        if self._max_in_flight is None:
            return _NO_BOUND
        # A semaphore belongs to one event loop.
        loop = asyncio.get_running_loop()
        if loop not in self._slots:
            self._slots[loop] = asyncio.Semaphore(self._max_in_flight)
        return self._slots[loop]

    async def _with_retries(self, attempt: Callable[[], Awaitable[T]], patience: float, until: float) -> T:
        loop = asyncio.get_running_loop()
        self._budget.calls += 1
        try:
            return await self._once(attempt, min(until, loop.time() + patience))
        except LLMError as error:
            # tenacity's own bookkeeping costs more than a whole call to a server near by, so it starts here.
            first: LLMError | None = error

        def pause(state: tenacity.RetryCallState) -> float:
            return max(backoff(state), _retry_after(state) or 0.0)

        def may_retry(error: BaseException) -> bool:
            return isinstance(error, LLMError) and error.is_retryable and error.code != "breaker_open"

        def must_stop(state: tenacity.RetryCallState) -> bool:
            if state.attempt_number > self._retries:
                return True
            wait = pause(state)
            too_late = wait > LONGEST_RETRY_AFTER or loop.time() + wait >= until
            return too_late or not self._budget.take()

        async def again() -> T:
            nonlocal first
            if first is not None:
                error, first = first, None
                raise error
            return await self._once(attempt, min(until, loop.time() + patience))

        backoff = _Backoff()
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(may_retry),
            stop=must_stop,
            wait=pause,
            sleep=asyncio.sleep,
            reraise=True,
        )
        return await retrying(again)


class _Backoff:
    # Drawn once per attempt, so that the wait that was checked against the deadline is the wait that is slept.
    def __init__(self) -> None:
        self._draw = tenacity.wait_random_exponential(multiplier=0.5, min=0.1, max=8)
        self._drawn: dict[int, float] = {}

    def __call__(self, state: tenacity.RetryCallState) -> float:
        number = state.attempt_number
        if number not in self._drawn:
            self._drawn[number] = self._draw(state)
        return self._drawn[number]


class _NoBound:
    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


_NO_BOUND = _NoBound()


def _retry_after(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after_seconds if isinstance(error, LLMError) else None


def _check(finish_reason: str | None, text: str, message: Message) -> None:
    if message.get("tool_calls"):
        return
    if finish_reason == "content_filter":
        raise Refused("the provider's content filter withheld the answer", status=200)
    if not text.strip():
        thought = message.get("reasoning_content") or message.get("reasoning")
        what = "it holds reasoning alone" if thought else "it is empty"
        raise EmptyReply(f"the reply has no text: {what} (finish_reason {finish_reason!r})", status=200)


async def _up_to_first_token(chunks: AsyncIterator[Chunk]) -> list[Chunk]:
    held: list[Chunk] = []
    finish_reason, thought = None, False
    async for chunk in chunks:
        held.append(chunk)
        if chunk.text.strip() or chunk.delta.get("tool_calls"):
            return held
        finish_reason = chunk.finish_reason or finish_reason
        thought = thought or bool(chunk.delta.get("reasoning_content") or chunk.delta.get("reasoning"))
    _check(finish_reason, "", {"reasoning": "..."} if thought else {})
    return held


async def _aclose(chunks: AsyncIterator[Chunk]) -> None:
    close = getattr(chunks, "aclose", None)
    if close:
        await close()
