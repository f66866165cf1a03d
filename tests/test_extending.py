"""What people implement takes its place beside what is built in, under the same rules."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM, extending, load_config
from mollm.errors import (
    AggregationError,
    BadRequest,
    ConfigError,
    LimitError,
    NotInFormat,
    ProviderFailed,
    RoutingError,
)
from mollm.extending import (
    Aggregator,
    BreakerOpened,
    Brief,
    CallEnded,
    Calls,
    CallStarted,
    Done,
    Event,
    Observer,
    Picked,
    PlannedCall,
    Question,
    Request,
    Route,
    Routed,
    Settings,
    Token,
    Writing,
    Written,
)
from mollm.llms.scripted import Reply, ScriptedLLM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm import Answer

LLMS = {name: {"model": "x/y", "retries": 0, "max_tokens": 100} for name in "abc"}
WORKERS = {"description": "d", "workers": ["a", "b"]}


def config(**mixture: Any) -> dict[str, Any]:
    """One mixture of two workers, whose aggregator is `longest`."""
    return {"llms": LLMS, "mixtures": {"m": {**WORKERS, "aggregator": {"method": "longest"}, **mixture}}}


def scripted(**scripts: Any) -> dict[str, ScriptedLLM]:
    """Each LLM says its name, or what the script says."""
    return {name: ScriptedLLM(scripts.get(name, f"{name}, by name")) for name in "abc"}


class Longest:
    """Takes the longest proposal."""

    def __init__(self) -> None:
        self.briefs: list[Brief] = []

    async def aggregate(self, brief: Brief, calls: Calls) -> Picked:  # noqa: ARG002
        self.briefs.append(brief)
        return Picked(max(brief.proposals, key=lambda proposal: len(proposal.text)))


class Asking:
    """Lets an LLM write, as often as it says; plans what it is told to."""

    def __init__(self, llm: str, *, planned: int, made: int = 1, max_tokens: int = 50) -> None:
        self.llm, self.planned, self.made, self.max_tokens = llm, planned, made, max_tokens

    def plan(self, question: Question, proposal_tokens: int, caller: Settings) -> Sequence[PlannedCall]:  # noqa: ARG002
        if not self.planned:
            return ()
        return [PlannedCall("aggregator", self.llm, 50, question.tokens + proposal_tokens, self.planned)]

    async def aggregate(self, brief: Brief, calls: Calls) -> str:
        text = ""
        for _ in range(self.made):
            request = Request(brief.messages, Settings(max_tokens=self.max_tokens))
            outcome = await calls.attempt("aggregator", self.llm, request)
            if outcome.completion is None:
                assert outcome.error
                raise outcome.error
            text += outcome.completion.text
        return text


def asked(aggregator: Aggregator, *, stream: bool = False, limits: dict[str, Any] | None = None, **scripts: Any) -> Any:
    """The answer of the mixture by an aggregator, or its events."""
    whole = {**config(), "limits": limits or {}}
    with MoLLM(whole, llms=scripted(**scripts), aggregators={"longest": aggregator}) as mollm:
        return list(mollm.stream("Hi")) if stream else mollm.ask("Hi")


def test_an_aggregator_of_ones_own_is_chosen_by_its_method() -> None:
    """It reads the proposals and the question, and what it picks is the answer."""
    own = Longest()

    answer = asked(own, b="a longer one, by far")

    assert answer.text == "a longer one, by far"
    assert answer.calls == 2
    assert [proposal.worker for proposal in own.briefs[0].proposals] == ["a", "b"]
    assert own.briefs[0].messages[-1]["content"] == "Hi"


class Flattering:
    """Writes a `Written` of its own, in words."""

    async def aggregate(self, brief: Brief, calls: Calls) -> Written:  # noqa: ARG002
        return Written({"role": "assistant", "content": "seven"})


@pytest.mark.parametrize("own", [Longest(), Asking("c", planned=1), Flattering()], ids=["picked", "text", "written"])
@pytest.mark.parametrize("engine", ["auto", "graph"])
def test_what_an_aggregator_of_ones_own_returns_is_held_to_the_format(own: Aggregator, engine: Any) -> None:
    """A proposal, a text or a message that is not in it is written anew; if nobody can, the question fails."""
    form = {"type": "json_object"}

    def able(request: Request) -> str:
        return '{"n": 7}' if "Write the same answer" in str(request.messages) else "seven"

    for script in (able, lambda _: "seven"):
        llms = scripted(a=script, b=script, c=lambda _: "seven")
        with MoLLM(config(), llms=llms, aggregators={"longest": own}, engine=engine) as mollm:
            if script is able:
                assert mollm.ask("Hi", response_format=form).text == '{"n": 7}'
            else:
                with pytest.raises(NotInFormat, match="no answer is in the response format"):
                    mollm.ask("Hi", response_format=form)


def test_workers_are_asked_for_the_form_of_what_is_picked() -> None:
    """An aggregator that calls nobody picks, one that does may say so."""
    asking, judge = Asking("c", planned=1), Asking("c", planned=1)
    judge.picks = True  # type: ignore[attr-defined]

    for own, is_bound in ((Longest(), True), (asking, False), (judge, True)):
        llms = scripted()
        with MoLLM(config(), llms=llms, aggregators={"longest": own}) as mollm:
            mollm.ask("Hi", stop=["END"])
        assert [request.settings.stop == ["END"] for request in llms["a"].requests] == [is_bound]


def test_a_text_is_shown_where_the_caller_streams() -> None:
    """As any answer that nobody wrote token by token."""
    events = asked(Asking("c", planned=1), stream=True, c="written")

    assert "".join(event.text for event in events if isinstance(event, Token)) == "written"
    assert events[-1].answer.text == "written"
    assert [call.role for call in events[-1].answer.breakdown] == ["worker", "worker", "aggregator"]


def test_its_calls_are_counted_before_the_first() -> None:
    """Workers and plan together."""
    with pytest.raises(LimitError, match=r"5 calls at worst \(2 proposals \+ 3 aggregators\), and limits.calls is 4"):
        asked(Asking("c", planned=3), limits={"calls": 4})


@pytest.mark.parametrize(
    ("own", "text"),
    [
        (Asking("c", planned=0), "the aggregator makes a call that it did not plan, to 'c'"),
        (Asking("c", planned=1, made=2), "the aggregator makes more calls than it planned, to 'c'"),
        (Asking("c", planned=1, max_tokens=51), "the aggregator asks 'c' for 51 tokens, and planned 50 at most"),
    ],
    ids=["unplanned", "too often", "too long"],
)
def test_what_nobody_planned_is_refused(own: Asking, text: str) -> None:
    """It ends the question: a ceiling that some calls get around is none."""
    with pytest.raises(LimitError, match=text):
        asked(own)


class Swallowing(Asking):
    """Takes any failure for an empty answer."""

    async def aggregate(self, brief: Brief, calls: Calls) -> str:
        try:
            return await super().aggregate(brief, calls)
        except Exception:  # noqa: BLE001 - that is the point
            return "nothing happened"


def test_a_refusal_cannot_be_swallowed() -> None:
    """Whatever becomes of the exception."""
    with pytest.raises(LimitError, match="did not plan"):
        asked(Swallowing("c", planned=0))


def test_one_that_fails_costs_no_answer() -> None:
    """The best proposal is the answer, and says why."""
    answer = asked(Asking("c", planned=1), a="4", b="4", c=BadRequest("no"))

    assert answer.text == "4"
    assert answer.degraded == ("the aggregator c: no", "the best proposal (a) is the answer")


class Broken:
    """Has a bug."""

    async def aggregate(self, brief: Brief, calls: Calls) -> str:  # noqa: ARG002
        raise ZeroDivisionError("a bug")


def test_a_bug_is_not_hidden() -> None:
    """An error of no kind of ours is the author's to see."""
    with pytest.raises(ZeroDivisionError):
        asked(Broken())


def test_one_that_breaks_off_ends_the_stream() -> None:
    """What was shown cannot be taken back."""

    class BreakingOff:
        async def aggregate(self, brief: Brief, calls: Calls) -> str:  # noqa: ARG002
            await brief.observer.show(Token("half"))
            raise AggregationError("the answer broke off")

    with pytest.raises(AggregationError):
        asked(BreakingOff(), stream=True)


def test_nobody_is_asked_where_the_workers_agree() -> None:
    """Agreement is settled before any aggregator."""
    own = Longest()
    whole = config(agree=2)

    with MoLLM(whole, llms=scripted(a="4", b="4"), aggregators={"longest": own}) as mollm:
        assert mollm.ask("Hi").text == "4"
    assert own.briefs == []


def test_an_unknown_method_is_named() -> None:
    """With those that there are."""
    with pytest.raises(ConfigError, match=r"mixtures\.m\.aggregator\.method"):
        MoLLM(config(), llms=scripted())


class Hearing:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.shown = ""

    def tell(self, event: Event) -> None:
        self.told.append(event)

    async def show(self, token: Token) -> None:
        self.shown += token.text


@pytest.mark.parametrize("engine", ["auto", "graph"])
def test_an_observer_hears_everything(engine: Any) -> None:
    """Of every question, whichever way it is run: route, calls with their role, who writes, and the answer."""
    heard = Hearing()
    with MoLLM({"llms": LLMS, "mixtures": {"m": WORKERS}}, llms=scripted(), observers=[heard], engine=engine) as mollm:
        answers = [mollm.ask("Hi"), mollm.ask("Ho")]

    kinds = [type(event).__name__ for event in heard.told]
    first = kinds[: len(kinds) // 2]
    assert first == kinds[len(kinds) // 2 :]
    assert first[0] == "Routed"
    assert first[-4:] == ["Writing", "CallStarted", "CallEnded", "Done"]
    assert sorted(first[1:-4]) == sorted(["Started", "CallStarted", "CallEnded", "Arrived"] * 2)
    calls = [event.call for event in heard.told if isinstance(event, CallEnded)]
    assert [call.role for call in calls] == ["worker", "worker", "aggregator"] * 2
    assert [event.number for event in heard.told if isinstance(event, CallStarted)] == [1, 2, 3] * 2
    assert [event.answer.id for event in heard.told if isinstance(event, Done)] == [answer.id for answer in answers]


def test_an_observer_is_shown_the_tokens_of_a_stream() -> None:
    """And may take its time."""
    heard = Hearing()
    with MoLLM({"llms": LLMS, "mixtures": {"m": WORKERS}}, llms=scripted(a="one two"), observers=[heard]) as mollm:
        events = list(mollm.stream("Hi"))

    assert heard.shown == "one two"
    assert [event for event in heard.told if isinstance(event, Writing)] == [Writing("aggregator", "a")]
    assert not any(isinstance(event, CallStarted | CallEnded) for event in events), (
        "a stream tells what its reader needs"
    )


SECRET = "-".join(["do", "not", "tell"])


class Failing:
    """Fails at everything."""

    def tell(self, event: Event) -> None:  # noqa: ARG002
        raise ValueError(SECRET)

    async def show(self, token: Token) -> None:  # noqa: ARG002
        raise ValueError(SECRET)


@pytest.mark.parametrize("engine", ["auto", "graph"])
def test_an_observer_that_fails_costs_no_answer(engine: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The log names it, and nothing of what it says."""
    whole = {"llms": LLMS, "mixtures": {"m": WORKERS}}
    with MoLLM(whole, llms=scripted(), observers=[Failing()], engine=engine) as mollm:
        assert mollm.ask("Hi").text == "a, by name"
        assert [type(event) for event in mollm.stream("Hi")][-1] is Done

    assert "the observer Failing failed: ValueError" in caplog.text
    assert SECRET not in caplog.text
    assert caplog.records[0].levelno == logging.ERROR


async def test_retries_and_breakers_are_heard() -> None:
    """With the LLM, what failed, and how long it is left alone."""
    heard = Hearing()
    llms = {"a": {"model": "x/y", "retries": 1}}
    whole = {"llms": llms, "mixtures": {"m": {"description": "d", "workers": ["a"]}}}
    llm = ScriptedLLM(Reply(error=ConnectionRefusedError(111, "x")))
    async with MoLLM(whole, llms={"a": llm}, observers=[heard]) as mollm:
        for _ in range(5):
            with pytest.raises(Exception, match="a: "):
                await mollm.aask("Hi")

    retried = [event for event in heard.told if isinstance(event, extending.Retried)]
    assert retried[0].llm == "a"
    assert retried[0].failure.kind == "unreachable"
    opened = [event for event in heard.told if isinstance(event, BreakerOpened)]
    assert [event.llm for event in opened] == ["a"]
    assert opened[0].seconds > 0


def test_protocols_tell_what_fits() -> None:
    """`isinstance` is what `MoLLM` goes by."""
    assert isinstance(Longest(), Aggregator)
    assert isinstance(Hearing(), Observer)
    assert not isinstance(object(), Aggregator)


def test_every_name_is_there() -> None:
    """What the module lists can be imported, and nothing else is promised."""
    assert all(getattr(extending, name) for name in extending.__all__)
    assert {Routed, Done} <= {getattr(extending, name) for name in extending.__all__}


def test_two_questions_do_not_share_a_plan() -> None:
    """Side by side, each has the calls of its own."""
    own = Asking("c", planned=1)

    async def both() -> list[str]:
        async with MoLLM(config(), llms=scripted(c="x"), aggregators={"longest": own}) as mollm:
            return [answer.text for answer in await asyncio.gather(mollm.aask("1"), mollm.aask("2"))]

    assert asyncio.run(both()) == ["x", "x"]


def test_an_aggregator_that_was_not_handed_over_is_named() -> None:
    """A `Config` may name it where nobody brings it."""
    known = load_config(config(), methods=["longest"])

    with pytest.raises(ConfigError, match=r"mixtures\.m\.aggregator\.method: 'longest' was not given"):
        MoLLM(known, llms=scripted())


ONE = {"llms": LLMS, "mixtures": {"m": {"description": "d", "workers": ["a"]}}}


SHORT = Settings(max_tokens=8)


class Judge:
    """A router that asks `c`, as often and as much as it is told to."""

    kind = "judge"

    def __init__(self, *planned: PlannedCall, text: str = "x", settings: Settings = SHORT) -> None:
        self.planned, self.text, self.settings = planned, text, settings
        self.left: asyncio.Task[Any] | None = None

    def plan(self, question: Question) -> Sequence[PlannedCall]:  # noqa: ARG002
        return self.planned

    async def route(self, question: Question, calls: Calls) -> Route:  # noqa: ARG002
        await self.ask(calls)
        return Route("m", {"m": 1.0}, self.kind, "judged")

    async def ask(self, calls: Calls) -> Any:
        request = Request([{"role": "user", "content": self.text}], self.settings)
        return await calls.attempt("router", "c", request)


def judged(judge: Judge, **sections: Any) -> Answer:
    """The answer where `judge` routes."""
    with MoLLM({**ONE, **sections}, llms=scripted(), router=judge) as mollm:
        return mollm.ask("Hi")


FAIR = PlannedCall("router", "c", 8, 100)


def test_a_router_that_keeps_to_its_plan_is_counted() -> None:
    """Its call stands in the breakdown, first."""
    assert [call.role for call in judged(Judge(FAIR)).breakdown] == ["router", "bypass"]


@pytest.mark.parametrize(
    ("judge", "text"),
    [
        (Judge(replace(FAIR, times=-5), replace(FAIR, times=6)), "its plan counts less than nothing"),
        (Judge(replace(FAIR, prompt_tokens=-1)), "its plan counts less than nothing"),
        (Judge(replace(FAIR, llm="z")), "names 'z', which is no LLM here"),
        (Judge(replace(FAIR, prompt_tokens=9), text="hi " * 900), "a prompt of up to 900 tokens, and planned 9"),
        (Judge(FAIR, settings=Settings(max_tokens=-1)), "asks 'c' for -1 tokens"),
        (Judge(FAIR, settings=Settings(max_tokens=8, extra_body={"n": 5})), "sets n in extra_body"),
        (Judge(*[FAIR] * 20), "20 calls at worst"),
    ],
    ids=["negative", "negative prompt", "unknown", "longer", "minus one", "extra", "many"],
)
def test_a_plan_cannot_be_got_around(judge: Judge, text: str) -> None:
    """Neither by odd numbers nor by what is sent."""
    with pytest.raises(LimitError, match=text):
        judged(judge)


def test_a_plan_that_is_none_is_named() -> None:
    """With whose it is."""

    class Odd(Judge):
        def plan(self, question: Question) -> Any:  # noqa: ARG002
            return None

    with pytest.raises(LimitError, match="the plan of Odd is NoneType, not a sequence of PlannedCall"):
        judged(Odd())


def test_a_ceiling_for_cost_needs_a_price_for_whatever_is_planned() -> None:
    """Also for an LLM that no mixture uses."""
    llms = {"a": {**LLMS["a"], "price": {"input": 1, "output": 1}}, "c": LLMS["c"]}

    config = {**ONE, "llms": llms, "limits": {"cost_usd": 1}}
    mollm = MoLLM(config, llms={name: ScriptedLLM("x") for name in "ac"}, router=Judge(FAIR))
    with mollm, pytest.raises(LimitError, match=r"c has no price, so limits\.cost_usd cannot be kept"):
        mollm.ask("Hi")


def test_nobody_is_asked_where_no_mixture_fits_after_the_router() -> None:
    """The router's own LLM would be paid for nothing."""
    llms = scripted()

    mollm = MoLLM({**ONE, "limits": {"calls": 1}}, llms=llms, router=Judge(FAIR))
    with mollm, pytest.raises(LimitError, match=r"2 calls at worst \(1 router \+ 1 worker\), and limits.calls is 1"):
        mollm.ask("Hi")

    assert llms["c"].requests == []


def test_what_is_known_of_an_llm_cannot_be_called() -> None:
    """The books would not show it."""
    seen: list[Any] = []

    class Peeking(Judge):
        async def ask(self, calls: Calls) -> Any:
            seen.append(calls.llm("a"))

    judged(Peeking())

    assert seen[0].name == "a"
    assert not hasattr(seen[0], "complete")


async def test_a_call_that_outlives_its_node_is_ended_and_counted() -> None:
    """And no other one can be made after it."""
    tasks: list[asyncio.Task[Any]] = []

    class Leaving(Judge):
        async def ask(self, calls: Calls) -> Any:
            tasks.append(asyncio.create_task(super().ask(calls)))
            await asyncio.sleep(0)
            self.calls = calls

    judge = Leaving(FAIR, FAIR)
    llms = scripted(c=Reply("late", delay=30))
    async with MoLLM(ONE, llms=llms, router=judge) as mollm:
        answer = await mollm.aask("Hi")
        with pytest.raises(LimitError):
            await Judge.ask(judge, judge.calls)
        await asyncio.wait(tasks)

    assert [(call.role, call.error and call.error.kind) for call in answer.breakdown] == [
        ("router", "cancelled"),
        ("bypass", None),
    ]
    assert tasks[0].cancelled()
    assert len(llms["c"].requests) == 1


def test_the_time_of_a_question_bounds_a_router_of_ones_own() -> None:
    """It is `limits.seconds` that ends it."""

    class Slow(Judge):
        async def ask(self, calls: Calls) -> Any:  # noqa: ARG002
            await asyncio.sleep(3600)

    with pytest.raises(RoutingError, match=r"the router \(judge\) did not decide within 0\.05 s"):
        judged(Slow(), limits={"seconds": 0.05})


@pytest.mark.parametrize("odd", [None, 5, {"text": "x"}])
def test_an_aggregator_has_to_return_an_answer(odd: Any) -> None:
    """Nothing else passes for one."""

    class Odd:
        async def aggregate(self, brief: Brief, calls: Calls) -> Any:  # noqa: ARG002
            return odd

    with pytest.raises(AggregationError, match=f"the aggregator Odd returned {type(odd).__name__}"):
        asked(Odd())


def test_a_router_has_to_return_a_route() -> None:
    """A name alone is for functions."""

    class Odd(Judge):
        async def route(self, question: Question, calls: Calls) -> Any:  # noqa: ARG002
            return "m"

    with pytest.raises(RoutingError, match=r"the router \(judge\) returned str, not a Route"):
        judged(Odd())


def test_an_observer_has_to_be_one() -> None:
    """It is said at once."""
    with pytest.raises(ConfigError, match="observers: int has no `tell` and `show`"):
        MoLLM(ONE, observers=[5])  # type: ignore[list-item]


def test_a_layer_that_does_not_count_does_not_agree() -> None:
    """What the layer before it brought is aggregated as it would have been without it."""
    mixture = {"description": "d", "workers": ["a", "b", "c"], "layers": 2, "agree": 2, "quorum": 2, "ask_first": "all"}
    first = {"a": "1", "b": "2", "c": "3"}
    llms = {name: ScriptedLLM([text, ProviderFailed("down"), "written"]) for name, text in first.items()}

    with MoLLM({"llms": LLMS, "mixtures": {"m": mixture}}, llms=llms) as mollm:
        answer = mollm.ask("Hi")

    assert answer.text == "written"
    assert answer.degraded == ("layer 2 does not count: 0 of at least 2 workers answered",)
