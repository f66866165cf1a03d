"""Retries, breaker, bounds and prices: the same for every LLM."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from mollm.calling.attempt import Price, ReliableLLM, Timeouts
from mollm.calling.base import Chunk, Request
from mollm.calling.health import RetryBudget
from mollm.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    EmptyReply,
    LLMError,
    ProviderFailed,
    QuotaExceeded,
    RateLimited,
    Refused,
    TimedOut,
    Unexpected,
    Unreachable,
)
from mollm.llms.scripted import Reply, Script, ScriptedLLM
from mollm.options import Settings
from mollm.types import Usage
from tests.clock import run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ASK = Request([{"role": "user", "content": "12345678"}])


def test_a_passing_failure_is_retried() -> None:
    """Two failures and a success within `retries` are a success."""
    fake = ScriptedLLM([ProviderFailed("x"), ProviderFailed("x"), "yes"])

    completion = run_virtual(ReliableLLM("m", fake, retries=2).complete(ASK))

    assert completion.text == "yes"
    assert len(fake.requests) == 3


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_are_counted(retries: int) -> None:
    """A call that keeps failing is tried once and then `retries` times more."""
    fake = ScriptedLLM(ProviderFailed("x"))

    with pytest.raises(ProviderFailed):
        run_virtual(ReliableLLM("m", fake, retries=retries).complete(ASK))

    assert len(fake.requests) == 1 + retries


@pytest.mark.parametrize("kind", [BadRequest, AuthFailed, QuotaExceeded, ContextTooLong, Refused, EmptyReply])
def test_what_cannot_get_better_is_not_retried(kind: type[LLMError]) -> None:
    """A request the provider rejects is rejected once: it is wrong, not allowed, not paid for, too long or unwanted."""
    fake = ScriptedLLM(kind("x"))

    with pytest.raises(kind):
        run_virtual(ReliableLLM("m", fake, retries=5).complete(ASK))

    assert len(fake.requests) == 1


async def seconds_of(llm: ReliableLLM, deadline: float | None = None) -> float:
    """Virtual seconds a call takes, failed or not."""
    with contextlib.suppress(LLMError):
        await llm.complete(ASK, deadline=deadline)
    return asyncio.get_running_loop().time()


def test_retry_after_is_honoured() -> None:
    """The wait is at least what the provider asks for."""
    fake = ScriptedLLM([RateLimited("x", retry_after_seconds=20), "yes"])

    assert 20 <= run_virtual(seconds_of(ReliableLLM("m", fake))) < 30
    assert len(fake.requests) == 2


@pytest.mark.parametrize(("asked", "deadline"), [(20, 10.0), (121, None)])
def test_a_wait_that_is_too_long_is_not_begun(asked: float, deadline: float | None) -> None:
    """A Retry-After beyond the deadline, or of more than two minutes, ends the call at once."""
    fake = ScriptedLLM(RateLimited("x", retry_after_seconds=asked))
    llm = ReliableLLM("m", fake, timeouts=Timeouts(total=600))

    assert run_virtual(seconds_of(llm, deadline)) == 0
    assert len(fake.requests) == 1


def test_all_attempts_share_one_deadline() -> None:
    """`total` bounds the call with its retries, not each attempt."""
    fake = ScriptedLLM(Reply(delay=40, error=ProviderFailed("x")))
    llm = ReliableLLM("m", fake, retries=5, timeouts=Timeouts(total=100))

    assert run_virtual(seconds_of(llm)) <= 100
    assert len(fake.requests) == 3


def test_the_budget_bounds_retries_over_all_llms() -> None:
    """Three LLMs of one configuration share ten retries."""
    budget = RetryBudget()
    fakes = [ScriptedLLM(ProviderFailed("x")) for _ in range(3)]
    llms = [ReliableLLM(str(i), fake, retries=5, budget=budget) for i, fake in enumerate(fakes)]

    async def run() -> None:
        for llm in llms:
            with pytest.raises(LLMError):
                await llm.complete(ASK)

    run_virtual(run())
    assert sum(len(fake.requests) for fake in fakes) == 3 + 10


def test_the_breaker_opens_probes_and_closes() -> None:
    """After repeated failures calls fail at once; later one probe goes through, and its success closes it."""
    script: list[Script] = [*[ProviderFailed("x")] * 8, "yes", "yes"]
    fake = ScriptedLLM(script)
    llm = ReliableLLM("m", fake, retries=0)

    async def run() -> None:
        for _ in range(8):
            with pytest.raises(ProviderFailed):
                await llm.complete(ASK)
        with pytest.raises(Unreachable, match="8 calls failed") as caught:
            await llm.complete(ASK)
        assert caught.value.retry_after_seconds == pytest.approx(15)
        await asyncio.sleep(16)
        assert (await llm.complete(ASK)).text == "yes"
        assert (await llm.complete(ASK)).text == "yes"

    run_virtual(run())
    assert len(fake.requests) == 10


def test_a_probe_that_fails_keeps_the_breaker_open() -> None:
    """One probe at a time, and a failed one starts the wait anew."""
    fake = ScriptedLLM([ProviderFailed("x")] * 9)
    llm = ReliableLLM("m", fake, retries=0)

    async def run() -> None:
        for _ in range(8):
            with pytest.raises(ProviderFailed):
                await llm.complete(ASK)
        await asyncio.sleep(16)
        with pytest.raises(ProviderFailed):
            await llm.complete(ASK)
        with pytest.raises(Unreachable):
            await llm.complete(ASK)

    run_virtual(run())
    assert len(fake.requests) == 9


def test_the_caller_s_own_deadline_does_not_trip_the_breaker() -> None:
    """A caller with little time cannot switch a healthy LLM off for everybody else."""
    llm = ReliableLLM("m", ScriptedLLM(Reply("yes", delay=2)))

    async def run() -> str:
        for _ in range(20):
            with pytest.raises(TimedOut):
                await llm.complete(ASK, deadline=asyncio.get_running_loop().time() + 1)
        return (await llm.complete(ASK)).text

    assert run_virtual(run()) == "yes"


def test_an_unexpected_error_is_neither_retried_nor_counted() -> None:
    """A bug of ours or of a request says nothing about the LLM."""
    fake = ScriptedLLM(lambda request: ZeroDivisionError() if request.messages[0]["content"] == "bad" else "yes")
    llm = ReliableLLM("m", fake)

    async def run() -> str:
        for _ in range(20):
            with pytest.raises(Unexpected):
                await llm.complete(Request([{"role": "user", "content": "bad"}]))
        return (await llm.complete(ASK)).text

    assert run_virtual(run()) == "yes"
    assert len(fake.requests) == 21


def test_waiting_for_a_place_ends_with_the_deadline() -> None:
    """`max_in_flight` never makes a call last longer than it may."""
    llm = ReliableLLM("m", ScriptedLLM(Reply("yes", delay=50)), max_in_flight=1)

    async def run() -> float:
        busy = asyncio.create_task(llm.complete(ASK))
        await asyncio.sleep(1)
        with pytest.raises(TimedOut, match="no place"):
            await llm.complete(ASK, deadline=3.0)
        ended = asyncio.get_running_loop().time()
        await busy
        return ended

    assert run_virtual(run()) == pytest.approx(3)


def test_a_stream_keeps_its_place_until_it_ends() -> None:
    """Streams count in `max_in_flight` for as long as they run."""
    llm = ReliableLLM("m", ScriptedLLM("one two"), max_in_flight=1)

    async def run() -> None:
        first = llm.stream(ASK)
        await anext(first)
        with pytest.raises(TimedOut):
            await llm.complete(ASK, deadline=1.0)
        await first.aclose()
        await llm.complete(ASK)

    run_virtual(run())


def test_streams_that_break_open_the_breaker() -> None:
    """A first token is no success; the end is."""
    fake = ScriptedLLM(Reply("one two three", error=ProviderFailed("gone"), breaks_after=1))
    llm = ReliableLLM("m", fake)

    async def run() -> None:
        for _ in range(8):
            with pytest.raises(ProviderFailed, match="gone"):
                _ = [chunk async for chunk in llm.stream(ASK)]
        with pytest.raises(Unreachable):
            await llm.complete(ASK)

    run_virtual(run())


def test_thinking_is_a_sign_of_life() -> None:
    """A model that streams its reasoning is not cut off before its first visible token."""

    class Thinking(ScriptedLLM):
        async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:  # noqa: ARG002 - the interface
            for _ in range(10):
                await asyncio.sleep(20)
                yield Chunk({"reasoning_content": "hm"})
            yield Chunk({"content": "yes"}, finish_reason="stop")

    async def run() -> str:
        llm = ReliableLLM("m", Thinking("x"), timeouts=Timeouts(total=600, first_token=60, idle=30))
        return "".join([chunk.text async for chunk in llm.stream(ASK)])

    assert run_virtual(run()) == "yes"


def test_a_tool_call_nobody_asked_for_is_an_empty_reply() -> None:
    """Small models invent tool calls; without tools in the request they are no answer."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    reply = Reply(message={"role": "assistant", "content": None, "tool_calls": [call]})
    tools = Settings(tools=[{"type": "function", "function": {"name": "f"}}])

    with pytest.raises(EmptyReply):
        run_virtual(ReliableLLM("m", ScriptedLLM(reply)).complete(ASK))
    found = run_virtual(ReliableLLM("m", ScriptedLLM(reply)).complete(Request(ASK.messages, tools)))

    assert found.message["tool_calls"] == [call]


def test_a_window_that_could_not_be_asked_is_asked_again() -> None:
    """One failed look-up does not fix the window for ever."""

    class Windowed(ScriptedLLM):
        answers: ClassVar[list[Any]] = [OSError("down"), 131072]

        async def context_window(self) -> int:
            found = self.answers.pop(0)
            if isinstance(found, Exception):
                raise found
            return int(found)

    llm = ReliableLLM("m", Windowed("x"))

    async def run() -> list[int]:
        return [await llm.context_window() for _ in range(3)]

    assert run_virtual(run()) == [8192, 131072, 131072]


def test_cancelled_and_rejected_calls_do_not_trip_the_breaker() -> None:
    """What the caller did says nothing about the provider."""
    fake = ScriptedLLM(lambda _: Reply(delay=5, error=BadRequest("x")))
    llm = ReliableLLM("m", fake, retries=0)

    async def run() -> None:
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(llm.complete(ASK), 1)
            with pytest.raises(BadRequest):
                await llm.complete(ASK)

    run_virtual(run())
    assert len(fake.requests) == 40


def test_max_in_flight_bounds_calls_at_once() -> None:
    """Six calls of one second, two at a time, take three seconds."""
    llm = ReliableLLM("m", ScriptedLLM(Reply("yes", delay=1)), max_in_flight=2)

    async def run() -> float:
        await asyncio.gather(*(llm.complete(ASK) for _ in range(6)))
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(3)


def test_settings_of_the_request_win_over_those_of_the_llm() -> None:
    """What is unset falls back on the LLM's own, `max_tokens` among it."""
    fake = ScriptedLLM("yes")
    llm = ReliableLLM("m", fake, defaults=Settings(max_tokens=7, temperature=0.1, extra_body={"a": 1, "b": 1}))

    run_virtual(llm.complete(Request(ASK.messages, Settings(temperature=0.9, extra_body={"b": 2}))))

    assert fake.requests[0].settings == Settings(max_tokens=7, temperature=0.9, extra_body={"a": 1, "b": 2})


def test_a_missing_usage_is_estimated_and_marked() -> None:
    """Four characters a token, and `estimated` says so."""
    llm = ReliableLLM("m", ScriptedLLM("12345678"))

    assert run_virtual(llm.complete(ASK)).usage == Usage(2, 2, 4, estimated=True)


def test_a_price_is_per_million_tokens() -> None:
    """Input and output are priced apart."""
    llm = ReliableLLM("m", ScriptedLLM("x"), price=Price(input=1.0, output=10.0))

    assert llm.cost(Usage(1_000_000, 100_000, 1_100_000)) == pytest.approx(2.0)


def test_a_stream_is_retried_before_its_first_token_only() -> None:
    """A failure before anything was seen is made good; the reader sees one whole reply."""
    fake = ScriptedLLM([ProviderFailed("x"), "one two"])

    async def run() -> str:
        return "".join([piece.text async for piece in ReliableLLM("m", fake).stream(ASK)])

    assert run_virtual(run()) == "one two"


def test_a_broken_script_is_an_error_with_a_name() -> None:
    """An exception that no library announces still ends as ours, without its text."""
    with pytest.raises(ProviderFailed) as caught:
        run_virtual(ReliableLLM("m", ScriptedLLM(ZeroDivisionError("secret")), retries=0).complete(ASK))

    assert "ZeroDivisionError" in str(caught.value)
    assert "secret" not in str(caught.value)
