"""How many calls may be in flight: of one LLM, and of all where their connections have to fit the process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.asking import Rules
from mollm.calling.attempt import ReliableLLM, Timeouts
from mollm.calling.base import Request
from mollm.calling.bounds import Clock, Room, Slots
from mollm.calling.calls import Calls
from mollm.calling.health import State
from mollm.errors import Exhausted
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.workers import Worker, ask
from tests.clock import run_virtual
from tests.fuzz import cases

if TYPE_CHECKING:
    from mollm.workers import Layer

ASK = Request([{"role": "user", "content": "2 + 2?"}])


@given(
    most=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    fits=st.none() | st.lists(st.integers(1, 12), min_size=1, max_size=3),
    calls=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(1, 9), st.booleans()), max_size=40),
)
@settings(max_examples=cases(150))
def test_no_bound_is_passed_and_nobody_is_forgotten(
    most: list[int], fits: list[int] | None, calls: list[tuple[int, int, int, bool]]
) -> None:
    """Whatever comes when, stays how long, gives up, and however the room changes: each call gets its turn."""
    room = Room()
    slots = [Slots(bound, room) for bound in most]

    async def run() -> None:
        loop = asyncio.get_running_loop()
        if fits:
            room.most = lambda: fits[int(loop.time()) % len(fits)]
        got: list[bool] = []

        async def one(which: int, start: int, stay: int, gives_up: bool) -> None:
            await asyncio.sleep(start)
            mine = slots[which % len(slots)]
            if gives_up:
                with pytest.raises((TimeoutError, Exhausted)):
                    async with asyncio.timeout(stay / 2), mine.slot(Clock(stay / 3, None), "a"):
                        await asyncio.sleep(stay)
                return
            async with mine.slot(Clock(10_000, None), "a"):
                assert mine.in_use <= mine.most
                if fits:  # never beyond what there was at some time, but for the one call that each LLM may always have
                    assert sum(s.in_use for s in slots) <= max(max(fits), len(slots))
                got.append(True)
                await asyncio.sleep(stay)

        await asyncio.gather(*(one(*call) for call in calls))
        assert len(got) == sum(not gives_up for *_, gives_up in calls)
        assert [(s.in_use, s.waiting) for s in slots] == [(0, 0)] * len(slots)

    run_virtual(run())


def test_an_llm_that_hangs_leaves_the_others_their_part() -> None:
    """Where all connections have to fit, half of them are divided, and one LLM may have the other half besides."""

    async def run() -> None:
        room = Room()
        room.most = lambda: 12
        hangs, *others = (Slots(512, room) for _ in range(3))
        for _ in range(12):
            asyncio.create_task(hangs.enter(100.0))  # noqa: RUF006 - as good as held below
        await asyncio.sleep(1)
        assert (hangs.in_use, hangs.waiting) == (8, 4)
        for other in others:
            for _ in range(2):
                assert await other.enter(100.0)
        assert hangs.in_use + sum(other.in_use for other in others) == 12
        hangs.leave()
        await asyncio.sleep(0)
        assert (hangs.in_use, hangs.waiting) == (8, 3)

    run_virtual(run())


def hanging(**options: object) -> tuple[ReliableLLM, ScriptedLLM]:
    """An LLM that takes an hour and one call at a time."""
    fake = ScriptedLLM(Reply("yes", delay=3600))
    return ReliableLLM("m", fake, max_in_flight=1, **options), fake  # type: ignore[arg-type] # any of its options


def test_a_call_that_found_no_connection_says_so_and_blames_nobody() -> None:
    """The wait counts in the time of the call; what is said is that it waited here, and the breaker hears nothing."""
    llm, fake = hanging(timeouts=Timeouts(total=20))

    async def run() -> None:
        busy = asyncio.create_task(llm.complete(ASK, deadline=5000.0))
        await asyncio.sleep(1)
        for _ in range(20):
            with pytest.raises(Exhausted, match=r"it waited for a connection of this process") as caught:
                await llm.complete(ASK, deadline=asyncio.get_running_loop().time() + 0.5)
            assert caught.value.kind == "exhausted"
            assert caught.value.retry_after_seconds
        assert next(iter(llm.addresses)).breaker.state(asyncio.get_running_loop().time()) is State.CLOSED
        assert next(iter(llm.addresses)).breaker.failures == 0
        busy.cancel()
        await asyncio.wait([busy])

    run_virtual(run())
    assert len(fake.requests) == 1


def test_the_first_token_is_waited_for_from_the_connection_on() -> None:
    """What a stream waits for a connection does not count as the server's silence."""
    fake = ScriptedLLM(Reply("yes", delay=8))
    llm = ReliableLLM("m", fake, max_in_flight=1, retries=0, timeouts=Timeouts(first_token=10))

    async def read() -> str:
        return "".join([chunk.text async for chunk in llm.stream(ASK)])

    async def run() -> list[str]:
        return await asyncio.gather(*(read() for _ in range(4)))

    assert run_virtual(run()) == ["yes"] * 4


def test_a_worker_that_never_got_a_connection_says_so_when_its_layer_ends() -> None:
    """One that was called and did not answer says that instead."""
    llm, fake = hanging()

    async def run() -> Layer:
        workers = [Worker("m", "m"), Worker("m#2", "m", sample=1)]
        rules = Rules(ask_first=2, enough=2, deadline=30)
        return await ask(workers, ASK.messages, rules, Calls({"m": llm}))

    first, second = run_virtual(run()).proposals
    assert first.error
    assert second.error
    assert (first.error.kind, second.error.kind) == ("timed_out", "exhausted")
    assert "no answer within the 30 s" in first.error.message
    assert "waited for a connection of this process" in second.error.message
    assert second.usage.total_tokens == 0, "nothing was sent"
    assert len(fake.requests) == 1
