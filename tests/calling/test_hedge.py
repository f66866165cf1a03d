"""A server that takes a call and never answers, beside one that does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mollm.calling.attempt import ReliableLLM
from mollm.calling.base import Request
from mollm.calling.health import Breaker, RetryBudget
from mollm.errors import LLMError, ProviderFailed, TimedOut
from mollm.events import BreakerOpened, Retried
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.types import Usage
from tests.clock import run_virtual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.events import Event

ASK = Request([{"role": "user", "content": "2 + 2?"}])
FOREVER = 10_000.0


async def ask(
    clients: Sequence[ScriptedLLM], told: list[Event] | None = None, *, budget: RetryBudget | None = None
) -> tuple[str, float]:
    """One call by default settings (120 s in all): what it brought, and after how many seconds."""
    llm = ReliableLLM("m", clients, budget=budget)
    try:
        text = (await llm.complete(ASK, tell=told.append if told is not None else None)).text
    except LLMError as error:
        text = error.message
    return text, asyncio.get_running_loop().time()


def test_a_hanging_address_costs_no_answer() -> None:
    """One of two hangs: 40 of 40 questions are answered, 8 at once; those it took wait for half of their time."""
    live, hanging = ScriptedLLM(Reply("yes", delay=1)), ScriptedLLM(Reply("no", delay=FOREVER))
    llm = ReliableLLM("m", [live, hanging])
    told: list[Event] = []

    async def run() -> list[str]:
        places = asyncio.Semaphore(8)

        async def one() -> str:
            async with places:
                return (await llm.complete(ASK, tell=told.append)).text

        return await asyncio.gather(*(one() for _ in range(40)))

    assert run_virtual(run()) == ["yes"] * 40
    assert hanging.cancelled == len(hanging.requests) == len(told) <= 8


def test_whoever_waits_is_told() -> None:
    """That another address is asked as well, and that the silent one is left alone."""
    clients = [ScriptedLLM(Reply("no", delay=FOREVER)), ScriptedLLM("yes")]
    told: list[Event] = []
    llm = ReliableLLM("m", clients, breaker=lambda: Breaker(failures=1))

    run_virtual(llm.complete(ASK, tell=told.append))

    retried, opened = told
    assert isinstance(retried, Retried)
    assert retried.failure.message == "no reply within 60 s; it is still waited for, and another address is asked"
    assert opened == BreakerOpened("m", 1, 15)


def test_a_long_reply_is_not_lost() -> None:
    """A reply that takes longer than half of the time comes when it comes; the second call is cancelled."""
    first, second = ScriptedLLM(Reply("long", delay=70)), ScriptedLLM(Reply("late", delay=70))

    assert run_virtual(ask([first, second])) == ("long", 70)
    assert second.cancelled == 1


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Reply(delay=80, error=ProviderFailed("a")), Reply("yes", delay=30), ("yes", 90)),
        (Reply("yes", delay=80), Reply(delay=10, error=ProviderFailed("b")), ("yes", 80)),
        (Reply("yes", delay=60), Reply("x", delay=FOREVER), ("yes", 60)),
        (Reply(delay=FOREVER), Reply(delay=FOREVER), ("no answer in time", 120)),
    ],
    ids=["the first fails", "the second fails", "the first answers just then", "both hang"],
)
def test_one_reply_is_enough(first: Reply, second: Reply, expected: tuple[str, float]) -> None:
    """Once two are asked, a failure of one leaves the other to be waited for."""
    assert run_virtual(ask([ScriptedLLM(first), ScriptedLLM(second)])) == expected


@pytest.mark.parametrize("delays", [(FOREVER, 1), (70, FOREVER)], ids=["the second answers", "the first answers"])
@pytest.mark.parametrize("usage", [Usage(10, 5, 15), None], ids=["told", "estimated"])
def test_both_calls_are_paid_for(delays: tuple[float, float], usage: Usage | None) -> None:
    """The prompt of the one that was given up counts as well, as an estimate."""
    clients = [ScriptedLLM(Reply("yes", delay=delay, usage=usage)) for delay in delays]
    llm = ReliableLLM("m", clients)

    completion = run_virtual(llm.complete(ASK))

    assert [len(client.requests) for client in clients] == [1, 1]
    answered = usage or llm.estimate(ASK.messages, "yes")
    assert completion.usage == answered + llm.estimate(ASK.messages)
    assert completion.usage.estimated


def test_when_both_fail_the_call_is_tried_again_or_fails() -> None:
    """As after any failure: with what is left of time, tries and budget."""
    first = ScriptedLLM([Reply(delay=70, error=ProviderFailed("a")), "yes"])
    second = ScriptedLLM([Reply(delay=5, error=ProviderFailed("b")), "yes"])

    text, seconds = run_virtual(ask([first, second]))

    assert text == "yes"
    assert 70 < seconds < 71


def test_a_second_call_takes_from_the_budget() -> None:
    """An LLM that is slow everywhere is not asked twice as much."""
    budget = RetryBudget(in_hand=0)
    first, second = ScriptedLLM(Reply("slow", delay=100)), ScriptedLLM("yes")

    assert run_virtual(ask([first, second], budget=budget)) == ("slow", 100)
    assert second.requests == []


def test_a_single_address_is_not_asked_twice() -> None:
    """Nor one whose every sibling has failed."""
    alone = ScriptedLLM(Reply("slow", delay=100))

    assert run_virtual(ask([alone])) == ("slow", 100)
    assert len(alone.requests) == 1


@pytest.mark.parametrize("seconds", [30, 60, 90])
def test_a_cancelled_call_leaves_nothing_running(seconds: float) -> None:
    """Whether one or two were asked by then: both are cancelled, and the cancellation reaches the caller."""
    first, second = ScriptedLLM(Reply(delay=FOREVER)), ScriptedLLM(Reply(delay=FOREVER))
    llm = ReliableLLM("m", [first, second])

    async def run() -> None:
        task = asyncio.create_task(llm.complete(ASK))
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(run())
    assert [client.cancelled for client in (first, second)] == [len(client.requests) for client in (first, second)]
    assert all(address.in_flight == 0 for address in llm._addresses)  # noqa: SLF001 - nobody else can see it


def test_a_caller_who_was_rescued_can_be_cancelled_later() -> None:
    """The first call is ended from within; that must not look like, or hide, a cancellation from outside."""
    llm = ReliableLLM("m", [ScriptedLLM(Reply(delay=FOREVER)), ScriptedLLM("yes")])

    async def run() -> int:
        async with asyncio.timeout(FOREVER):
            await llm.complete(ASK)
            task = asyncio.current_task()
            assert task is not None
            return task.cancelling()

    assert run_virtual(run()) == 0


def test_the_deadline_of_the_caller_is_halved_too() -> None:
    """With 20 s to go another address is asked after 10."""
    llm = ReliableLLM("m", [ScriptedLLM(Reply(delay=FOREVER)), ScriptedLLM("yes")])

    async def run() -> float:
        await llm.complete(ASK, deadline=20.0)
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == 10


def test_a_deadline_that_ends_both_is_no_failure_of_theirs() -> None:
    """The caller's time ran out, which says nothing about the addresses."""
    llm = ReliableLLM("m", [ScriptedLLM(Reply(delay=FOREVER)), ScriptedLLM(Reply(delay=FOREVER))])

    async def run() -> None:
        with pytest.raises(TimedOut):
            await llm.complete(ASK, deadline=20.0)

    run_virtual(run())
    assert all(address.breaker.failures == 0 for address in llm._addresses)  # noqa: SLF001 - it shows much later else
