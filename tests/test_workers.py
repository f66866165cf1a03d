"""The rules of asking, against a plain specification and case by case."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.asking import Rules
from mollm.calling.attempt import ReliableLLM
from mollm.calling.calls import Calls
from mollm.config.effect_problems import effect_problems
from mollm.config.mixtures import MixtureConfig, WorkerConfig
from mollm.errors import ConfigError
from mollm.events import STREAMED, Arrived, Event, Failed, Started, Token
from mollm.final.calibration import SIGNALS, VOTES, Calibration, Member
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.workers import Layer, Worker, ask
from tests.clock import run_virtual
from tests.fuzz import cases

if TYPE_CHECKING:
    from mollm.calling.base import Completion, Request

QUESTION = [{"role": "user", "content": "How many?"}]


@dataclass(frozen=True)
class Scripted:
    """How one planned call would go, if it is started."""

    seconds: float
    final: str | None
    fails: bool = False


@dataclass(frozen=True)
class Outcome:
    """What can be seen of a layer from outside."""

    started: dict[int, float]
    arrived: frozenset[int]
    agreed: bool
    ended: float


def specification(script: list[Scripted], rules: Rules) -> Outcome:
    """The rules as the documentation words them, played through moment by moment."""
    started: dict[int, float] = {}
    settled: dict[int, float] = {}
    arrived: set[int] = set()
    now = last_start = 0.0
    over: float | None = None

    def start(count: int) -> None:
        nonlocal last_start
        for _ in range(min(count, len(script) - len(started))):
            started[len(started)] = last_start = now

    def agreed() -> bool:
        votes = Counter(script[i].final for i in arrived if script[i].final is not None)
        most = max(votes.values(), default=0)
        asked = len(started) - sum(script[i].fails for i in settled)
        is_sure = rules.sure is not None and (stated(script, arrived) or 0) >= rules.sure
        if rules.majority and most > 1 and most > asked / 2:
            return True
        return is_sure or (rules.agree is not None and max(votes.values(), default=0) >= rules.agree)

    start(rules.ask_first)
    while True:
        running = {i: t + script[i].seconds for i, t in started.items() if i not in settled}
        moments = [(rules.deadline, "deadline", -1)]
        moments += [(at, "settles", i) for i, at in running.items()]
        if over is not None:
            moments.append((over, "grace is over", -1))
        elif rules.widen_after is not None and len(started) < len(script):
            moments.append((last_start + rules.widen_after, "waited", -1))
        if now < rules.deadline / 2:
            moments.append((rules.deadline / 2, "half", -1))
        now, what, index = min(moments)
        if what in ("deadline", "grace is over"):
            return Outcome(started, frozenset(arrived), False, now)
        if what == "waited":
            start(rules.widen)
            continue
        if what == "half":
            start(len(script) if len(arrived) < rules.quorum else 0)
            continue
        settled[index] = now
        if script[index].fails:
            if rules.majority and agreed():
                return Outcome(started, frozenset(arrived), True, now)
            if len(started) < len(script) and over is None:
                start(1)
                continue
        else:
            arrived.add(index)
            if len(arrived) >= rules.enough and over is None:
                over = now + rules.grace
            if agreed() or over == now:
                return Outcome(started, frozenset(arrived), agreed(), now)
        if len(settled) == len(started):
            if len(started) == len(script) or over is not None:
                return Outcome(started, frozenset(arrived), False, now)
            stops = rules.agree is not None or rules.sure is not None or rules.majority
            open_text = stops and arrived and all(script[i].final is None for i in arrived)
            start(len(script) if open_text else rules.widen)


CALIBRATION = Calibration(
    {f"w{i}": Member() for i in range(6)},
    base=0.0,
    weights={**dict.fromkeys((*VOTES, *SIGNALS), 0.0), "leader": 2.0, "runner_up": 1.0},
    questions=0,
    error=None,
)


def stated(script: list[Scripted], arrived: set[int] | frozenset[int]) -> float | None:
    """What the calibration above comes to, worked out from the votes for the two that have most."""
    votes = Counter(script[i].final for i in arrived if script[i].final is not None)
    if not votes:
        return None
    most, second = (*sorted(votes.values(), reverse=True), 0)[:2]
    return most**2 / (most**2 + 1 + second)


class Heard:
    """An observer that notes events with their time."""

    def __init__(self) -> None:
        self.events: list[tuple[float, Event]] = []

    def tell(self, event: Event) -> None:
        if isinstance(event, STREAMED):
            self.events.append((asyncio.get_running_loop().time(), event))

    async def show(self, token: Token) -> None:
        raise AssertionError(f"workers are not streamed, but {token} came")


def play(script: list[Scripted], rules: Rules) -> tuple[Outcome, Layer, list[ScriptedLLM]]:
    """Run the real thing on a virtual clock."""
    fakes = [
        ScriptedLLM(
            Reply(
                f"The answer is {call.final}." if call.final is not None else "It depends on what one calls a pile.",
                delay=call.seconds,
                error=ValueError("broken") if call.fails else None,
            )
        )
        for call in script
    ]
    llms = {f"w{i}": ReliableLLM(f"w{i}", fake, retries=0) for i, fake in enumerate(fakes)}
    workers = [Worker(name, name) for name in llms]
    heard = Heard()

    async def run() -> tuple[Layer, float]:
        layer = await ask(workers, QUESTION, rules, Calls(llms), observer=heard, calibration=CALIBRATION)
        return layer, asyncio.get_running_loop().time()

    layer, ended = run_virtual(run())
    started = {int(e.worker[1:]): at for at, e in heard.events if isinstance(e, Started)}
    arrived = frozenset(int(e.proposal.worker[1:]) for _, e in heard.events if isinstance(e, Arrived))
    return Outcome(started, arrived, layer.agreed, ended), layer, fakes


@st.composite
def scripts(draw: st.DrawFn) -> tuple[list[Scripted], Rules]:
    """Any script with any rules; binary fractions keep two things from happening at the very same moment."""
    planned = draw(st.integers(1, 6))
    script = [
        Scripted(
            draw(st.integers(1, 12)) + 2.0 ** -(10 + index),
            draw(st.sampled_from(["1", "2", None])),
            draw(st.booleans()) and draw(st.booleans()),
        )
        for index in range(planned)
    ]
    enough = draw(st.integers(1, planned))
    rules = Rules(
        ask_first=draw(st.integers(1, planned)),
        agree=draw(st.none() | st.integers(2, max(2, planned))),
        majority=draw(st.booleans()),
        sure=draw(st.none() | st.sampled_from([0.3, 0.45, 0.55, 0.72, 0.85, 0.95])),
        widen=draw(st.integers(1, planned)),
        widen_after=draw(st.none() | st.integers(1, 8).map(lambda n: n + 2.0**-9)),
        enough=enough,
        grace=draw(st.just(0.0) | st.integers(0, 9).map(lambda n: n + 2.0**-20)),
        quorum=draw(st.integers(1, enough)),
        deadline=draw(st.integers(2, 40)) + 2.0**-26,
    )
    return script, rules


@settings(max_examples=cases(400))
@given(scripts())
def test_asking_follows_the_plain_specification(case: tuple[list[Scripted], Rules]) -> None:
    """Whatever arrives, fails or hangs: calls start, arrive and end exactly when the specification says."""
    script, rules = case

    outcome, layer, fakes = play(script, rules)

    expected = specification(script, rules)
    assert outcome.started == pytest.approx(expected.started)
    assert outcome.arrived == expected.arrived
    assert outcome.agreed == expected.agreed
    assert outcome.ended == pytest.approx(expected.ended)
    assert layer.confidence == pytest.approx(stated(script, expected.arrived))
    assert len(layer.proposals) == len(expected.started), "one proposal per call started"
    unfinished = [
        i for i, at in expected.started.items() if i not in expected.arrived and at + script[i].seconds > expected.ended
    ]
    assert [fakes[i].cancelled for i in unfinished] == [1] * len(unfinished), "what still ran was cancelled"


def finals(*values: str | None, seconds: float = 1.0) -> list[Scripted]:
    """Calls that settle one after another."""
    return [Scripted(seconds + index / 8, value) for index, value in enumerate(values)]


def test_two_that_agree_are_enough() -> None:
    """With `ask_first: 2` and `agree: 2` the third worker is not asked when the first two agree."""
    outcome, layer, _ = play(finals("7", "7", "7"), Rules(ask_first=2, agree=2, enough=3))

    assert set(outcome.started) == {0, 1}
    assert outcome.agreed
    assert [p.final for p in layer.proposals] == ["7", "7"]


def test_disagreement_widens_by_one() -> None:
    """Two that differ bring in the next worker, and nobody else once two agree."""
    outcome, _, _ = play(finals("7", "8", "7", "7"), Rules(ask_first=2, agree=2, enough=4))

    assert set(outcome.started) == {0, 1, 2}
    assert outcome.agreed


def test_one_that_is_sure_enough_is_the_answer() -> None:
    """With a probability, whoever comes first may do, and a second opinion counts as far as it makes it surer."""
    alone, layer, _ = play(finals("7", "7", "7"), Rules(ask_first=1, sure=0.45, enough=3))
    two, _, _ = play(finals("7", "7", "7"), Rules(ask_first=1, sure=0.75, enough=3))
    all_, doubted, _ = play(finals("7", "8", "9"), Rules(ask_first=1, sure=0.75, enough=3))

    assert set(alone.started) == {0}
    assert alone.agreed
    assert layer.confidence == pytest.approx(0.5)
    assert set(two.started) == {0, 1}
    assert set(all_.started) == {0, 1, 2}
    assert not all_.agreed
    assert doubted.confidence == pytest.approx(1 / 3)


def test_open_text_starts_all_the_rest() -> None:
    """Proposals without a final answer cannot agree, so waiting for agreement is given up at once."""
    outcome, _, _ = play(finals(None, None, None, None), Rules(ask_first=2, agree=2, enough=4))

    assert set(outcome.started) == {0, 1, 2, 3}
    assert outcome.started[2] == outcome.started[3]


def test_a_failure_is_replaced_at_once() -> None:
    """The next planned call starts the moment one fails, not when the others have settled."""
    script = [Scripted(1, None, fails=True), Scripted(9, "7"), Scripted(1, "7")]

    outcome, _, _ = play(script, Rules(ask_first=2, enough=2))

    assert outcome.started == pytest.approx({0: 0.0, 1: 0.0, 2: 1.0})


@pytest.mark.parametrize(
    ("rules", "ended"),
    [
        (Rules(ask_first=1, enough=3, sure=0.45, deadline=20.0), 11.0),
        (Rules(ask_first=1, enough=3, quorum=2, majority=True, deadline=20.0), 11.125),
    ],
    ids=["sure", "quorum"],
)
def test_one_that_hangs_does_not_cost_the_answer_where_it_is_asked_alone(rules: Rules, ended: float) -> None:
    """When half of the time is over and too few have arrived to go on with, all others are asked."""
    outcome, layer, _ = play([Scripted(99, "7"), *finals("7", "7")], rules)

    assert outcome.started == pytest.approx({0: 0.0, 1: 10.0, 2: 10.0})
    assert layer.agreed
    assert outcome.ended == pytest.approx(ended)


def test_a_slow_worker_is_overtaken_after_widen_after() -> None:
    """The next worker starts while a slow one is still awaited, and the slow one is cancelled in the end."""
    script = [Scripted(60, "7"), Scripted(1, "7")]

    outcome, layer, fakes = play(script, Rules(ask_first=1, enough=1, widen_after=2.0))

    assert outcome.ended == pytest.approx(3.0)
    assert fakes[0].cancelled == 1
    assert layer.proposals[0].error is not None
    assert layer.proposals[0].error.kind == "cancelled"
    assert layer.proposals[0].usage.estimated


def test_a_worker_that_never_replies_costs_the_deadline_and_no_more() -> None:
    """At the deadline the layer ends with what arrived; the silent worker is a timed-out proposal."""
    script = [Scripted(1e6, "7"), Scripted(1, "7"), Scripted(2, "8")]

    outcome, layer, _ = play(script, Rules(ask_first=3, enough=3, deadline=5.0))

    assert outcome.ended == pytest.approx(5.0)
    error = layer.proposals[0].error
    assert error is not None
    assert error.kind == "timed_out"
    assert "5 s" in error.message


def test_those_that_run_have_the_time_of_grace() -> None:
    """When enough have arrived, one that is soon there counts as well; one that is not is cancelled."""
    script = [Scripted(1, "7"), Scripted(2.5, "8"), Scripted(9, "7"), Scripted(1, "7")]

    outcome, layer, fakes = play(script, Rules(ask_first=3, enough=1, grace=2.0))

    assert outcome.ended == pytest.approx(3.0)
    assert [p.final for p in layer.proposals] == ["7", "8", None]
    assert layer.proposals[2].error is not None
    assert layer.proposals[2].error.kind == "cancelled"
    assert fakes[2].cancelled == 1
    assert not fakes[3].requests, "nothing new is started"


def test_grace_ends_once_nobody_is_waited_for() -> None:
    """All that run have settled: nothing is left to wait for, however long the time of grace is."""
    outcome, _, _ = play([Scripted(1, "7"), Scripted(2, "8")], Rules(ask_first=2, enough=1, grace=50.0))

    assert outcome.ended == pytest.approx(2.0)


def test_grace_ends_at_agreement() -> None:
    """Two that agree are the answer, also in the time of grace."""
    script = [Scripted(1, "7"), Scripted(1.5, "8"), Scripted(2, "7"), Scripted(60, "9")]

    outcome, _, _ = play(script, Rules(ask_first=4, agree=2, enough=2, grace=50.0))

    assert outcome.agreed
    assert outcome.ended == pytest.approx(2.0)


def test_a_failure_in_the_time_of_grace_is_not_replaced() -> None:
    """Enough are there already: another call would only take longer."""
    script = [Scripted(1, "7"), Scripted(2, None, fails=True), Scripted(1, "7")]

    outcome, layer, fakes = play(script, Rules(ask_first=2, enough=1, grace=50.0))

    assert outcome.ended == pytest.approx(2.0)
    assert len(layer.proposals) == 2
    assert not fakes[2].requests


def test_nobody_is_waited_for_beyond_the_deadline() -> None:
    """The time of grace ends with the layer, and what still runs then is told as late."""
    script = [Scripted(1, "7"), Scripted(60, "8")]

    outcome, layer, _ = play(script, Rules(ask_first=2, enough=1, grace=50.0, deadline=5.0))

    assert outcome.ended == pytest.approx(5.0)
    assert layer.proposals[1].error is not None
    assert layer.proposals[1].error.kind == "timed_out"


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("77...", 2),
        ("787..", 3),
        ("7897.", 5),
        ("78977", 5),
        ("7!7..", 3),
        ("7!87.", 4),
    ],
)
def test_a_majority_is_more_than_half_of_those_asked(said: str, asked: int) -> None:
    """2 of 2, 2 of 3, 3 of 4, 3 of 5: two say less where more were asked. One that failed counts as not asked."""
    script = [Scripted(1, None if final in ".!" else final, final == "!") for final in said]

    outcome, layer, _ = play(script, Rules(ask_first=2, majority=True, enough=5))

    assert len(outcome.started) == asked
    assert layer.agreed is (asked < len(said) or said == "78977")


@settings(max_examples=cases(200))
@given(scripts())
def test_a_grace_that_is_refused_when_loaded_could_not_have_had_an_effect(case: tuple[list[Scripted], Rules]) -> None:
    """Where the configuration says that grace has no effect, no script ends otherwise with it than without.

    Unless the first ones hang until half of the deadline, when all are asked.
    """
    script, rules = case
    counts = {name: getattr(rules, name) for name in ("ask_first", "widen", "widen_after", "enough")}
    counts["agree"] = rules.agree or ("majority" if rules.majority else rules.sure)
    is_counted = bool(rules.agree) or rules.majority
    sure = None if is_counted else rules.sure
    rules = replace(rules, majority=rules.majority and not rules.agree, sure=sure, deadline=200.0)
    mixture = MixtureConfig(description="x", workers=[WorkerConfig(llm="a", samples=len(script))], grace=5.0, **counts)
    if next(effect_problems("m", mixture), None):
        assert specification(script, replace(rules, grace=5.0)) == specification(script, replace(rules, grace=0.0))


def test_cancelling_the_request_cancels_every_worker() -> None:
    """A caller that goes away leaves no call running."""
    fakes = [ScriptedLLM(Reply("7", delay=100)) for _ in range(3)]
    llms = {f"w{i}": ReliableLLM(f"w{i}", fake) for i, fake in enumerate(fakes)}

    async def run() -> None:
        asking = ask([Worker(n, n) for n in llms], QUESTION, Rules(ask_first=3, enough=3), Calls(llms))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asking, 1)

    run_virtual(run())
    assert [fake.cancelled for fake in fakes] == [1, 1, 1]


def test_agreement_stands_whatever_arrives_in_the_same_moment() -> None:
    """A third reply of the same instant cannot undo what two have agreed on."""
    script = [Scripted(1, "4"), Scripted(1, "4"), Scripted(1, "5")]

    outcome, _, _ = play(script, Rules(ask_first=3, agree=2, enough=3))

    assert outcome.agreed


def test_a_library_that_cancels_itself_is_a_failed_worker() -> None:
    """It is replaced at once like any other, instead of being waited for."""

    class Cancelling(ScriptedLLM):
        async def complete(self, request: Request) -> Completion:  # noqa: ARG002 - the interface
            raise asyncio.CancelledError

    llms = {"a": ReliableLLM("a", Cancelling("x")), "b": ReliableLLM("b", ScriptedLLM("The answer is 7."))}

    async def run() -> tuple[Layer, float]:
        rules = Rules(ask_first=1, enough=1, deadline=60)
        layer = await ask([Worker(n, n) for n in llms], QUESTION, rules, Calls(llms))
        return layer, asyncio.get_running_loop().time()

    layer, ended = run_virtual(run())
    assert ended == 0
    assert [p.final for p in layer.proposals] == [None, "7"]


def test_an_llm_that_cannot_be_used_costs_one_proposal() -> None:
    """Weights that do not load are the failure of that worker, not of the question."""
    llms = {
        "a": ReliableLLM("a", ScriptedLLM(ConfigError("the weights are damaged"))),
        "b": ReliableLLM("b", ScriptedLLM("The answer is 7.")),
    }

    layer = run_virtual(ask([Worker(n, n) for n in llms], QUESTION, Rules(ask_first=2, enough=2), Calls(llms)))

    assert [p.error.message if p.error else p.final for p in layer.proposals] == ["the weights are damaged", "7"]


def test_each_sample_of_a_worker_gets_its_own_seed() -> None:
    """The same seed for every sample would make the samples equal."""
    requests = [Worker("w", "w", sample=n).request(QUESTION, seed=10) for n in range(3)]

    assert [request.settings.seed for request in requests] == [10, 11, 12]


def test_a_failed_proposal_is_told_with_its_cause() -> None:
    """A listener hears of a failure what the answer will say of it."""
    fake = ScriptedLLM(Reply(error=TimeoutError()))
    llms = {"w": ReliableLLM("w", fake, retries=0)}
    heard = Heard()

    layer = run_virtual(ask([Worker("w", "w")], QUESTION, Rules(ask_first=1), Calls(llms), observer=heard))

    failed = [event for _, event in heard.events if isinstance(event, Failed)]
    assert [event.proposal for event in failed] == list(layer.proposals)
    assert failed[0].proposal.error is not None
    assert failed[0].proposal.error.kind == "timed_out"
