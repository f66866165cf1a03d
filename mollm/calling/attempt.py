"""An LLM as the rest of mollm calls it: with its settings, timeouts, retries, breaker, bound and price.

This is the one place that retries. A retry happens before the first visible token, within the deadline, and
within a budget shared by all LLMs of a configuration, so that an outage does not multiply its own load.
"""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import tenacity

from mollm.calling.base import LLM, Chunk, Completion, Request
from mollm.calling.health import Breaker, RetryBudget
from mollm.calling.patience import Patience
from mollm.calling.translate import translate
from mollm.errors import EmptyReply, LLMError, Refused, TimedOut, UserError
from mollm.messages import CHARACTERS_PER_TOKEN, text_of
from mollm.types import Settings, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from mollm.config.llms import Dialect
    from mollm.types import Message

T = TypeVar("T")

DEFAULT_WINDOW = 8192
WINDOW_SECONDS = 2.0
"""What asking a server for its window may take; a server that is slow here is asked again next time."""
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


class ReliableLLM:
    """One LLM of a configuration.

    Attributes:
        name: In the configuration.
        defaults: Settings where a request has none.
        price: None where it is not known.
        dialect: Which server answers, where that is known and request fields of its own may be sent.
    """

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
        dialect: Dialect | None = None,
        image_tokens: int = 2000,
    ) -> None:
        self.name = name
        self.defaults = defaults
        self.price = price
        self.dialect = dialect
        self.image_tokens = image_tokens
        self._llm = llm
        self._timeouts = timeouts
        self._retries = retries
        self._budget = budget or RetryBudget()
        self._breaker = Breaker()
        self._max_in_flight = max_in_flight
        self._slots: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]
        self._slots = weakref.WeakKeyDictionary()
        self._window = window

    async def complete(self, request: Request, *, deadline: float | None = None, tell: Any = None) -> Completion:
        """Return the whole reply, its usage estimated if the provider said nothing.

        Args:
            request: Its settings win over the LLM's own.
            deadline: On the event loop's clock; retries and the wait for `max_in_flight` included.

        Raises:
            LLMError: The call failed, after retries where they made sense.
        """
        loop = asyncio.get_running_loop()
        request = Request(request.messages, request.settings.over(self.defaults), request.is_answer)
        clock = _Clock(loop.time() + self._timeouts.total, deadline)

        async def attempt() -> Completion:
            completion = await self._llm.complete(request)
            _check(request, completion.finish_reason, completion.message)
            return completion

        async with self._slot(clock):
            completion, is_probe = await self._with_retries(attempt, clock)
            self._breaker.leave(loop.time(), is_probe)
        if completion.usage is None:
            usage = self.estimate(request.messages, completion.text)
            return Completion(completion.message, completion.finish_reason, usage, completion.logprobs)
        return completion

    async def stream(
        self, request: Request, *, deadline: float | None = None, tell: Any = None
    ) -> AsyncGenerator[Chunk, None]:
        """Yield the reply piece by piece. Raises as `complete`, also in the middle."""
        loop = asyncio.get_running_loop()
        request = Request(request.messages, request.settings.over(self.defaults), request.is_answer)
        clock = _Clock(loop.time() + self._timeouts.total, deadline)

        async def attempt() -> tuple[list[Chunk], AsyncIterator[Chunk]]:
            chunks = self._llm.stream(request)
            try:
                return await self._up_to_first_token(request, chunks), chunks
            except BaseException:
                await _aclose(chunks)
                raise

        async with self._slot(clock):
            (held, chunks), is_probe = await self._with_retries(attempt, clock)
            failure: LLMError | None = None
            is_whole = False
            patience = Patience(self._timeouts.idle, clock.until)
            try:
                for chunk in held:
                    yield chunk
                while True:
                    try:
                        chunk = await patience.next(chunks)
                    except StopAsyncIteration:
                        is_whole = True
                        return
                    except Exception as error:  # noqa: BLE001 - raised as ours
                        failure = self._ours(error)
                        raise failure from _harmless(error)
                    yield chunk
            finally:
                patience.close()
                counts = is_whole or (failure is not None and not clock.ended_by_caller(failure, loop.time()))
                self._breaker.leave(loop.time(), is_probe, error=failure, counts=counts)
                await _aclose(chunks)

    async def context_window(self) -> int:
        """Tokens that a prompt and its answer may have together: set, asked from the server, or 8192."""
        if self._window is None:
            ask = getattr(self._llm, "context_window", None)
            try:
                async with asyncio.timeout(WINDOW_SECONDS):
                    self._window = (await ask()) if ask else 0
            except Exception as error:  # noqa: BLE001 - a server that fails here may still answer the question
                self._ours(error)
        return self._window or DEFAULT_WINDOW

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

    def _ours(self, error: Exception) -> LLMError:
        return translate(error, self.name)

    def _slot(self, clock: _Clock) -> _Slot:
        semaphore = None
        if self._max_in_flight is not None:
            # A semaphore belongs to one event loop.
            loop = asyncio.get_running_loop()
            semaphore = self._slots.get(loop)
            if semaphore is None:
                semaphore = self._slots[loop] = asyncio.Semaphore(self._max_in_flight)
        return _Slot(self.name, semaphore, clock)

    async def _once(self, attempt: Callable[[], Awaitable[T]], clock: _Clock) -> tuple[T, bool]:
        # Breaker and clock around one attempt, and the one spot where a foreign error becomes ours. Who calls this
        # tells the breaker of a success, since a stream that was opened may still break.
        now = asyncio.get_running_loop().time
        try:
            is_probe = self._breaker.enter(now())
        except LLMError as error:
            raise self._ours(error) from None
        try:
            async with asyncio.timeout_at(clock.until):
                return await attempt(), is_probe
        except UserError:
            self._breaker.leave(now(), is_probe, counts=False)
            raise
        except Exception as error:  # noqa: BLE001 - raised as ours
            ours = self._ours(error)
            self._breaker.leave(now(), is_probe, error=ours, counts=not clock.ended_by_caller(ours, now()))
            raise ours from _harmless(error)
        except BaseException:
            self._breaker.leave(now(), is_probe, counts=False)
            raise

    async def _with_retries(self, attempt: Callable[[], Awaitable[T]], clock: _Clock) -> tuple[T, bool]:
        self._budget.earn()
        try:
            return await self._once(attempt, clock)
        except LLMError as error:
            # tenacity's own bookkeeping costs more than a whole call to a server near by, so it starts here.
            first: LLMError | None = error
        loop = asyncio.get_running_loop()
        backoff = _Backoff()

        def pause(state: tenacity.RetryCallState) -> float:
            return max(backoff(state), _retry_after(state) or 0.0)

        def may_retry(error: BaseException) -> bool:
            return isinstance(error, LLMError) and error.is_retryable and error.code != "breaker_open"

        def must_stop(state: tenacity.RetryCallState) -> bool:
            if state.attempt_number > self._retries:
                return True
            wait = pause(state)
            too_late = wait > LONGEST_RETRY_AFTER or loop.time() + wait >= clock.until
            return too_late or not self._budget.take()

        async def again() -> tuple[T, bool]:
            nonlocal first
            if first is not None:
                error, first = first, None
                raise error
            return await self._once(attempt, clock)

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(may_retry),
            stop=must_stop,
            wait=pause,
            sleep=asyncio.sleep,
            reraise=True,
        )
        return await retrying(again)

    async def _up_to_first_token(self, request: Request, chunks: AsyncIterator[Chunk]) -> list[Chunk]:
        # Nothing is shown before the first visible token, so until then a failure can still be made good.
        loop = asyncio.get_running_loop()
        held: list[Chunk] = []
        finish_reason, thought = None, False
        async with asyncio.timeout(self._timeouts.first_token) as clock:
            async for chunk in chunks:
                held.append(chunk)
                if chunk.text.strip() or (chunk.delta.get("tool_calls") and request.settings.tools):
                    return held
                if chunk.delta.get("refusal") and request.is_answer:
                    return held
                finish_reason = chunk.finish_reason or finish_reason
                if chunk.delta.get("reasoning_content") or chunk.delta.get("reasoning"):
                    # It is thinking: alive, though nothing can be shown yet.
                    thought = True
                    clock.reschedule(loop.time() + self._timeouts.idle)
        _check(request, finish_reason, {"reasoning": "..."} if thought else {})
        return held


class _Clock:
    """Until when a call may run, and whose limit that is."""

    __slots__ = ("_deadline", "until")

    def __init__(self, own: float, deadline: float | None) -> None:
        self._deadline = deadline
        self.until = own if deadline is None else min(own, deadline)

    def ended_by_caller(self, error: LLMError, now: float) -> bool:
        """The caller's time ran out, which says nothing about the LLM."""
        return isinstance(error, TimedOut) and self._deadline is not None and now >= self._deadline


class _Slot:
    """One of the calls that an LLM may have in flight, waited for no longer than the call may run."""

    __slots__ = ("_clock", "_name", "_semaphore")

    def __init__(self, name: str, semaphore: asyncio.Semaphore | None, clock: _Clock) -> None:
        self._name, self._semaphore, self._clock = name, semaphore, clock

    async def __aenter__(self) -> None:
        if self._semaphore is None:
            return
        try:
            async with asyncio.timeout_at(self._clock.until):
                await self._semaphore.acquire()
        except TimeoutError:
            raise TimedOut("its calls in flight left no place in time", llm=self._name) from None

    async def __aexit__(self, *_: object) -> None:
        if self._semaphore is not None:
            self._semaphore.release()


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


def _retry_after(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after_seconds if isinstance(error, LLMError) else None


def _check(request: Request, finish_reason: str | None, message: Message) -> None:
    # A tool call nobody offered a tool for is no answer; small LLMs invent them.
    if message.get("tool_calls") and request.settings.tools:
        return
    if finish_reason == "content_filter":
        raise Refused("the provider's content filter withheld the answer", status=200)
    if not text_of(message.get("content")).strip():
        thought = message.get("reasoning_content") or message.get("reasoning")
        if message.get("refusal") and not request.is_answer:
            raise Refused("the LLM refused", status=200)
        is_stopped = bool(request.settings.stop) and finish_reason == "stop" and not thought
        if request.is_answer and (message.get("refusal") or is_stopped):
            return
        what = "it holds reasoning alone" if thought else "it is empty"
        text = f"the reply has no text: {what} (finish_reason {finish_reason!r})"
        raise EmptyReply(text, status=200, code="reasoning_only" if thought else None)


def _harmless(error: BaseException) -> BaseException | None:
    # aiohttp's errors carry the request with its headers, and so the key, into every debugger and error report.
    return None if hasattr(error, "request_info") else error


async def _aclose(chunks: AsyncIterator[Chunk]) -> None:
    close = getattr(chunks, "aclose", None)
    if close:
        await close()
