"""When and where a call is tried again: several addresses as one LLM."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.calling.attempt import ReliableLLM
from mollm.calling.base import Request
from mollm.calling.health import Breaker, RetryBudget
from mollm.errors import AuthFailed, BadRequest, LLMError, ProviderFailed, RateLimited, Unreachable
from mollm.events import BreakerOpened, Retried
from mollm.llms.scripted import Reply, ScriptedLLM
from tests.clock import run_virtual
from tests.fuzz import cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.events import Event

ASK = Request([{"role": "user", "content": "2 + 2?"}])

DEAD: dict[str, LLMError] = {
    "refuses": Unreachable("refused", code="not_connected"),
    "is not ready": ProviderFailed("x", status=503),
    "is limited": RateLimited("x", status=429, retry_after_seconds=20),
    "lets nobody in": AuthFailed("x", status=401),
    "has no such model": BadRequest("x", status=404),
}


class Served(ScriptedLLM):
    """A scripted LLM at an address, which can be shut down and started again."""

    def __init__(self, address: str, reply: Reply) -> None:
        super().__init__(lambda _: Reply(error=self.down) if self.down else reply)
        self.address = address
        self.down: LLMError | None = None


def served(*dead: LLMError | None, seconds: float = 0.1) -> list[Served]:
    """One for each of `dead`: None answers after so many seconds, an error fails at once with it."""
    made = [Served(f"host:{number}", Reply("yes", delay=seconds)) for number in range(len(dead))]
    for one, down in zip(made, dead, strict=True):
        one.down = down
    return made


async def answer_all(llm: ReliableLLM, questions: int, at_once: int, *, stream: bool = False, **options: Any) -> int:
    """Ask that many questions; returns how many were answered."""
    places = asyncio.Semaphore(at_once)

    async def ask() -> bool:
        async with places:
            try:
                if stream:
                    return [piece.text async for piece in llm.stream(ASK, **options)] != []
                return (await llm.complete(ASK, **options)).text == "yes"
            except LLMError:
                return False

    return sum(await asyncio.gather(*(ask() for _ in range(questions))))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dead", [*DEAD.values(), ProviderFailed("x", status=500)], ids=[*DEAD, "fails"])
def test_a_dead_address_costs_no_answer(dead: LLMError, stream: bool) -> None:
    """One of two is dead: 40 of 40 questions are answered, 8 at once, in the time the live one takes."""
    live, gone = served(None, dead)
    llm = ReliableLLM("m", [live, gone])

    async def run() -> tuple[int, float]:
        return await answer_all(llm, 40, 8, stream=stream), asyncio.get_running_loop().time()

    answered, seconds = run_virtual(run())
    assert answered == 40
    assert seconds == pytest.approx(0.5), "nobody waited before trying the other address"
    assert len(gone.requests) <= 8


@given(
    st.lists(st.sampled_from([None, *DEAD.values()]), min_size=2, max_size=6), st.integers(1, 20), st.integers(1, 60)
)
@settings(max_examples=cases(60))
def test_an_llm_is_unavailable_only_when_all_its_addresses_are(
    dead: Sequence[LLMError | None], at_once: int, questions: int
) -> None:
    """With one live address every question is answered, however many others are dead and in whatever way."""
    llm = ReliableLLM("m", served(None, *dead[1:]))

    assert run_virtual(answer_all(llm, questions, at_once)) == questions


def test_a_dead_address_takes_nothing_from_the_budget() -> None:
    """4,000 questions, one of two addresses dead: all are answered, and the ten retries in hand are still there."""
    live, gone = served(None, DEAD["refuses"])
    budget = RetryBudget()
    llm = ReliableLLM("m", [live, gone], budget=budget)

    assert run_virtual(answer_all(llm, 4000, 8)) == 4000
    assert len(gone.requests) <= 20  # up to eight before it opens, and one every 15 of these 50 seconds
    assert [budget.take() for _ in range(11)] == [True] * 10 + [False]


def test_an_outage_of_all_addresses_stays_within_the_budget() -> None:
    """Two addresses that fail half of the time are not asked more often than a tenth of the calls, and ten, allow."""

    def flaky() -> ScriptedLLM:
        numbers = iter(range(10**6))
        return ScriptedLLM(lambda _: Reply("yes", 0.1) if next(numbers) % 2 else Reply("", 0.1, ProviderFailed("x")))

    both = [flaky(), flaky()]
    llm = ReliableLLM("m", both)

    answered = run_virtual(answer_all(llm, 1000, 8))

    asked = sum(len(one.requests) for one in both)
    assert 500 <= answered < 1000
    assert asked <= 1000 + 100 + 10 + 8  # the first eight find both sound


def test_a_server_that_comes_back_is_used_again() -> None:
    """One dies in the middle and comes back later: every question is answered, and in the end both answer."""
    one, other = both = served(None, None)
    llm = ReliableLLM("m", both)

    async def run() -> list[int]:
        answered = [await answer_all(llm, 40, 8)]
        other.down = DEAD["refuses"]
        answered.append(await answer_all(llm, 400, 8))
        other.down = None
        await asyncio.sleep(15)
        for served_by in both:
            served_by.requests.clear()
        answered.append(await answer_all(llm, 40, 8))
        return answered

    assert run_virtual(run()) == [40, 400, 40]
    assert min(len(one.requests), len(other.requests)) >= 15


def test_nobody_waits_for_the_call_that_finds_out() -> None:
    """While one call probes an address that hangs, the others are answered elsewhere."""
    live, back = both = served(None, DEAD["refuses"])
    llm = ReliableLLM("m", both, breaker=lambda: Breaker(failures=1))

    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        await answer_all(llm, 8, 8)
        await asyncio.sleep(15)
        back.down = None
        back._script = Reply("yes", delay=50)  # noqa: SLF001 - it hangs for a while
        back.requests.clear()
        begun = loop.time()

        async def ask() -> float:
            await llm.complete(ASK)
            return loop.time() - begun

        return await asyncio.gather(*(ask() for _ in range(20)))

    seconds = run_virtual(run())
    assert len(back.requests) == 1
    assert sorted(seconds)[:19] == pytest.approx([0.1] * 19)
    assert live.requests


def test_a_stream_that_finds_out_holds_nobody_up() -> None:
    """With its first token the server is known to live: the next call goes there too, long before the stream ends."""
    back = served(DEAD["refuses"])[0]
    llm = ReliableLLM("m", back, retries=0, breaker=lambda: Breaker(failures=1))

    async def run() -> str:
        await answer_all(llm, 1, 1)
        await asyncio.sleep(15)
        back.down = None
        probing = llm.stream(ASK)
        await anext(probing)
        text = (await llm.complete(ASK)).text
        await probing.aclose()
        return text

    assert run_virtual(run()) == "yes"


def test_a_wrong_request_says_nothing_about_an_address() -> None:
    """A 400 is neither tried elsewhere nor held against where it came from."""
    one, other = both = served(BadRequest("x", status=400), None, seconds=0)
    llm = ReliableLLM("m", both)

    answered = run_virtual(answer_all(llm, 40, 1))

    assert answered == len(other.requests) == 20
    assert len(one.requests) == 20


def test_when_all_addresses_are_limited_the_call_waits() -> None:
    """A 429 is about an address: the other is tried at once. Where that is limited too, the shorter wait is slept."""
    one, other = both = served(*(RateLimited("x", retry_after_seconds=seconds) for seconds in (20.0, 10.0)))
    llm = ReliableLLM("m", both)

    async def run() -> float:
        loop = asyncio.get_running_loop()
        loop.call_at(5, lambda: setattr(other, "down", None))
        await llm.complete(ASK)
        return loop.time()

    assert run_virtual(run()) == pytest.approx(10.1)
    assert len(one.requests) == 1


def test_when_all_addresses_are_open_the_error_says_so() -> None:
    """It is raised at once, with the earliest time at which one is tried again."""
    llm = ReliableLLM("m", served(DEAD["refuses"], DEAD["is not ready"]), retries=1)

    async def run() -> LLMError:
        for _ in range(8):
            with pytest.raises(LLMError):
                await llm.complete(ASK)
            await asyncio.sleep(0.1)
        asked = asyncio.get_running_loop().time()
        with pytest.raises(Unreachable) as caught:
            await llm.complete(ASK)
        assert asyncio.get_running_loop().time() == asked
        return caught.value

    error = run_virtual(run())
    assert "all its 2 addresses keep failing" in str(error)
    assert error.code == "breaker_open"
    assert error.retry_after_seconds is not None
    assert 13 < error.retry_after_seconds < 15


def test_a_request_that_brings_servers_down_is_not_sent_to_all_of_them() -> None:
    """One that a model may have seen is tried `retries` times more, however many addresses are left."""
    made = served(*[ProviderFailed("crashed", status=500)] * 6)

    assert run_virtual(answer_all(ReliableLLM("m", made, retries=2), 1, 1)) == 0
    assert sum(len(one.requests) for one in made) == 3


def test_a_request_that_no_model_has_seen_goes_on() -> None:
    """Three of four dead, two retries by default: the call still finds the live one; with `retries: 0` it does not."""
    dead = DEAD["refuses"]

    async def ask(retries: int) -> list[int]:
        made = served(dead, dead, dead, None)
        await answer_all(ReliableLLM("m", made, retries=retries), 1, 1)
        return [len(one.requests) for one in made]

    assert run_virtual(ask(2)) == [1, 1, 1, 1]
    assert run_virtual(ask(0)) == [1, 0, 0, 0]


def test_whoever_asks_is_told_of_retries_and_of_breakers_that_open() -> None:
    """Each retry with its reason, its wait and where it failed; a breaker once, when it opens."""
    told: list[Event] = []
    llm = ReliableLLM("m", served(DEAD["refuses"], None), breaker=lambda: Breaker(failures=2, open_seconds=20))

    async def run() -> None:
        for _ in range(2):
            await llm.complete(ASK, tell=told.append)
            await llm.complete(ASK, tell=told.append)
            await asyncio.sleep(11)

    run_virtual(run())
    first, opened, second = told
    assert isinstance(first, Retried)
    assert (first.llm, first.failure.kind, first.wait_seconds, first.address) == ("m", "unreachable", 0, "host:0")
    assert opened == BreakerOpened("m", 2, 20, "host:0")
    assert isinstance(second, Retried)


def test_an_llm_without_an_address_has_one_without_a_name() -> None:
    """LiteLLM, LangChain, local, scripted and replayed LLMs are retried as ever, after a wait, and tell of it."""
    told: list[Event] = []
    llm = ReliableLLM("m", ScriptedLLM([ProviderFailed("x"), "yes"]))

    async def run() -> float:
        await llm.complete(ASK, tell=told.append)
        return asyncio.get_running_loop().time()

    seconds = run_virtual(run())
    (retried,) = told
    assert isinstance(retried, Retried)
    assert retried.address == ""
    assert 0.1 <= retried.wait_seconds == pytest.approx(seconds)


def test_max_in_flight_holds_over_all_addresses() -> None:
    """Six calls of one second, two at a time, take three seconds, however many addresses there are."""
    llm = ReliableLLM("m", served(None, None, None, seconds=1), max_in_flight=2)

    async def run() -> float:
        await answer_all(llm, 6, 6)
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(3)


def test_the_window_is_asked_where_somebody_answers() -> None:
    """An address that is down or slow does not hide the window that another one knows."""

    class Windowed(ScriptedLLM):
        def __init__(self, window: int | None) -> None:
            super().__init__("x")
            self._window = window

        async def context_window(self) -> int:
            if self._window is None:
                await asyncio.sleep(1000)
                raise OSError("down")
            return self._window

    llm = ReliableLLM("m", [Windowed(None), Windowed(4096)])

    assert run_virtual(llm.context_window()) == 4096


async def test_closing_closes_every_client() -> None:
    """What each of them opened."""
    closed: list[str] = []

    class Closing(Served):
        async def aclose(self) -> None:
            closed.append(self.address)

    await ReliableLLM("m", [Closing("a", Reply("x")), Closing("b", Reply("x"))]).aclose()

    assert closed == ["a", "b"]


def test_a_stream_in_the_middle_is_not_tried_again() -> None:
    """What was shown cannot be taken back; the failure counts against its address."""
    breaking = Served("host:0", Reply("one two three", error=ProviderFailed("gone"), breaks_after=1))
    llm = ReliableLLM("m", [breaking, *served(None)], breaker=lambda: Breaker(failures=1))
    told: list[Event] = []

    async def run() -> list[str]:
        with pytest.raises(ProviderFailed, match="gone"):
            async for _ in llm.stream(ASK, tell=told.append):
                pass
        return [piece.text async for piece in llm.stream(ASK)]

    assert "".join(run_virtual(run())) == "yes"
    assert told == [BreakerOpened("m", 1, 15, "host:0")]
