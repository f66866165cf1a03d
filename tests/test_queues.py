"""One question at a time for each conversation, across tasks, threads and event loops."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from mollm.errors import RequestError
from mollm.queues import Queues


class Register:
    """Notes who was inside, and that nobody else was."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.inside = 0

    def enter(self, number: int) -> None:
        """Somebody has the turn."""
        self.inside += 1
        assert self.inside == 1
        self.order.append(number)

    def leave(self) -> None:
        """And has it no longer."""
        self.inside -= 1


async def in_turn(queues: Queues, register: Register, number: int, conversation: str = "c") -> None:
    """Have the turn for a moment."""
    async with queues.aturn(conversation):
        register.enter(number)
        await asyncio.sleep(0.001)
        register.leave()


async def test_tasks_have_their_turn_in_the_order_in_which_they_came() -> None:
    """One after the other, and another conversation waits for none of them."""
    queues, register = Queues(10), Register()

    async with queues.aturn("other"):
        await asyncio.gather(*(in_turn(queues, register, number) for number in range(20)))

    assert register.order == list(range(20))


def test_threads_and_event_loops_share_the_turns() -> None:
    """Some block, some await, each on a loop of its own; never two at once, and everybody has one."""
    queues, register = Queues(30), Register()

    def ask(number: int) -> None:
        if number % 2:
            asyncio.run(in_turn(queues, register, number))
        else:
            with queues.turn("c"):
                register.enter(number)
                time.sleep(0.001)
                register.leave()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(40)))

    assert sorted(register.order) == list(range(40))


async def test_a_task_that_is_cancelled_while_it_waits_loses_only_its_own_turn() -> None:
    """Those behind it do not wait for it."""
    queues, register = Queues(10), Register()

    async with queues.aturn("c"):
        tasks = [asyncio.create_task(in_turn(queues, register, number)) for number in range(5)]
        await asyncio.sleep(0)
        for number in (0, 2, 4):
            tasks[number].cancel()
        await asyncio.sleep(0)
    done = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(each) for each in done] == [asyncio.CancelledError, type(None)] * 2 + [asyncio.CancelledError]
    assert register.order == [1, 3]
    async with asyncio.timeout(1):
        await in_turn(queues, register, 9)


async def test_who_waits_too_long_is_told_so() -> None:
    """A stream that nobody reads on keeps its turn; the others do not hang with it."""
    queues = Queues(0.05)

    async def wait() -> None:
        async with queues.aturn("c"):
            pass

    async with queues.aturn("c"):
        with pytest.raises(RequestError, match=r"thread 'c' is still answering another question after 0\.05 s"):
            await asyncio.create_task(wait())
        with pytest.raises(RequestError, match="still answering"):
            await asyncio.to_thread(lambda: queues.turn("c").__enter__())
    async with queues.aturn("c"):
        pass


async def test_a_blocking_call_does_not_wait_for_the_loop_that_it_blocks() -> None:
    """It would wait for ever."""
    queues = Queues(10)

    async with queues.aturn("c"):
        with pytest.raises(RequestError, match="on this event loop"), queues.turn("c"):
            pass


async def test_who_has_the_turn_does_not_wait_for_it() -> None:
    """A question asked while the stream of another is read: the one could only begin after the other."""
    queues = Queues(10)

    async with queues.aturn("c"):
        with pytest.raises(RequestError, match="read to its end"):
            async with queues.aturn("c"):
                pass
    with queues.turn("d"), pytest.raises(RequestError, match="read to its end"), queues.turn("d"):
        pass


@pytest.mark.parametrize("error", [TimeoutError("mine"), ValueError("mine"), RequestError("mine")])
async def test_an_error_in_the_block_is_raised_as_it_is(error: Exception) -> None:
    """And the turn goes to the next."""
    queues = Queues(10)

    with pytest.raises(type(error), match=r"^mine$"), queues.turn("c"):
        raise error
    with pytest.raises(type(error), match=r"^mine$"):
        async with queues.aturn("c"):
            raise error
    with queues.turn("c"):
        pass


def test_nothing_is_kept_of_a_conversation_that_rests() -> None:
    """A server sees any number of threads."""
    queues = Queues(10)
    blocked = threading.Event()

    with ThreadPoolExecutor(2) as pool, suppress(TimeoutError):
        for number in range(100):
            with queues.turn(str(number)):
                pool.submit(blocked.set)

    assert not queues._lines.waiting  # noqa: SLF001
