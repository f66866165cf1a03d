"""A router of one's own: what may be given, and what a function may return."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm import MoLLM, load_config
from mollm.calling.base import Request
from mollm.calling.calls import Calls
from mollm.errors import ConfigError, LimitError, RoutingError
from mollm.llms.scripted import ScriptedLLM
from mollm.routing.base import Scores, plan_of
from mollm.routing.decision import Decision, ScoringRouter
from mollm.routing.fixed import FixedRouter
from mollm.routing.own import as_router
from mollm.routing.registry import build_router
from mollm.types import Route
from tests.routing.asked import question

if TYPE_CHECKING:
    from mollm.types import Question

DECISION = Decision("general", 0.6)
CONFIG: dict[str, Any] = {
    "llms": {"a": {"model": "scripted/from a"}, "b": {"model": "scripted/from b"}},
    "router": {"fallback": "one"},
    "mixtures": {
        "one": {"description": "One.", "workers": ["a"]},
        "other": {"description": "Other.", "workers": ["b"]},
    },
}


class Asking:
    """A router, or a scorer, that asks an LLM and planned nothing."""

    kind = "asking"

    async def _ask(self, question: Question, calls: Calls) -> str:
        outcome = await calls.attempt("router", "a", Request(question.messages))
        return outcome.completion.text if outcome.completion else "nothing"


class AskingRouter(Asking):
    async def route(self, question: Question, calls: Calls) -> Route:
        return Route("other", {}, self.kind, await self._ask(question, calls))


class AskingScorer(Asking):
    async def score(self, question: Question, calls: Calls) -> Scores:
        return Scores({}, await self._ask(question, calls), "other")


async def routed(function: Any, decision: Decision = DECISION) -> Route:
    """What becomes of a question that `function` is asked."""
    return await as_router(function, decision).route(question("Why does my car squeak?"), Calls({}))


def test_a_router_is_taken_as_it_is() -> None:
    """Nothing stands between."""
    router = FixedRouter("general")

    assert as_router(router, DECISION) is router


def test_a_scorer_gets_the_decision() -> None:
    """Threshold and fallback are those of the configuration."""
    scorer = AskingScorer()

    assert as_router(scorer, DECISION) == ScoringRouter(scorer, DECISION)


@pytest.mark.parametrize("given", [None, 5, "general", object(), FixedRouter, AskingScorer, {"kind": "fixed"}])
def test_anything_else_is_refused(given: Any) -> None:
    """With what is taken, and what was given."""
    with pytest.raises(ConfigError, match=r"^router= takes an object .*or a function of the question; it was given "):
        as_router(given, DECISION)


def test_a_class_is_told_from_its_object() -> None:
    """The likeliest mistake has words of its own."""
    with pytest.raises(ConfigError, match="given the class FixedRouter, not an object of it"):
        as_router(FixedRouter, DECISION)  # type: ignore[arg-type] # the mistake


def by_word(question: Question) -> str:
    """Return the name of a mixture."""
    return "car" if "car" in question.last else "general"


async def by_waiting(question: Question) -> str:
    """Return the same, later."""
    return by_word(question)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (by_word, "by_word"),
        (by_waiting, "by_waiting"),
        (lambda q: by_word(q), "lambda"),
        (functools.partial(by_word), "partial"),
    ],
)
async def test_a_function_names_the_mixture(function: Any, kind: str) -> None:
    """Plain or async, with a name or without one."""
    route = await routed(function)

    assert (route.mixture, route.probabilities, route.router) == ("car", {"car": 1.0}, kind)
    assert (route.reason, route.is_sure) == (f"{kind} picks car", True)
    assert route.seconds > 0.0


@pytest.mark.parametrize(
    ("returned", "mixture", "reason"),
    [
        ({"car": 0.7, "sleep": 0.3}, "car", "by_hand finds car likeliest (probability 0.70)"),
        ({"sleep": 0.7, "car": 0.7}, "sleep", "by_hand finds sleep likeliest (probability 0.70)"),
        (
            {"car": 0.5},
            "general",
            "by_hand finds car likeliest, but its probability 0.50 is below the threshold 0.60, "
            "so the fallback general answers",
        ),
        ({}, "general", "by_hand finds nothing suitable, so the fallback general answers"),
        (Scores({"car": 0.9}, "a word", "car"), "car", "a word (probability 0.90)"),
        (Scores({"car": 0.9}, "a word"), "general", "a word, so the fallback general answers"),
    ],
)
async def test_a_function_scores(returned: Any, mixture: str, reason: str) -> None:
    """By probabilities, of which the first of the likeliest is taken, or by scores; both are decided on."""

    def by_hand(_: Question) -> Any:
        return returned

    route = await routed(by_hand)

    assert (route.mixture, route.reason, route.router) == (mixture, reason, "by_hand")


async def test_a_function_decides() -> None:
    """A route is taken word for word."""
    route = Route("car", {}, "mine", "by hand", 3.0, is_sure=False)

    assert await routed(lambda _: route) is route


@pytest.mark.parametrize(
    "returned", [None, 3, ("car",), {"car": 1.5}, {"car": -0.1}, {"car": float("nan")}, {"car": "high"}, {1: 0.5}]
)
async def test_a_function_that_returns_something_else_is_named(returned: Any) -> None:
    """With what it returned and what it may return."""

    def by_mistake(_: Question) -> Any:
        return returned

    with pytest.raises(RoutingError, match=r"the router by_mistake returned .*; allowed is the name of a mixture"):
        await routed(by_mistake)


@given(
    probabilities=st.dictionaries(st.sampled_from(["car", "sleep", "general"]), st.floats(0, 1)),
    threshold=st.floats(0, 1),
)
async def test_no_mixture_below_the_threshold_but_the_fallback(
    probabilities: dict[str, float], threshold: float
) -> None:
    """Whatever a function returns for the mixtures."""
    route = await routed(lambda _: probabilities, Decision("general", threshold))

    assert route.mixture == "general" or probabilities[route.mixture] >= threshold
    assert route.mixture == "general" or probabilities[route.mixture] == max(probabilities.values())


def test_all_of_it_works_where_a_router_is_given() -> None:
    """For `MoLLM` and for a graph; the fallback is that of the configuration."""
    from mollm import create_graph

    with MoLLM(CONFIG, router=lambda q: "other" if "other" in q.last else {}) as mollm:
        picked, left = mollm.ask("the other one"), mollm.ask("Hi")
    graph: Any = create_graph(CONFIG, router=lambda _: {"other": 0.8})
    state = graph.invoke({"messages": [("user", "Hi")]})

    assert (picked.text, picked.route.reason) == ("from b", "lambda picks other")
    assert (left.text, left.route.is_sure) == ("from a", False)
    assert state["mollm"]["route"]["reason"] == "lambda finds other likeliest (probability 0.80)"


def test_an_error_of_a_function_is_its_own() -> None:
    """Nothing is swallowed."""

    def broken(_: Question) -> str:
        raise ZeroDivisionError("mine")

    with MoLLM(CONFIG, router=broken) as mollm, pytest.raises(ZeroDivisionError, match="mine"):
        mollm.ask("Hi")


# --- calls that nobody planned


class Wrapped:
    """Hands on to an LLM router, and forgets its plan."""

    kind = "wrapped"

    def __init__(self) -> None:
        config = {**CONFIG, "router": {"kind": "llm", "llm": "a", "fallback": "one"}}
        self._router = build_router(load_config(config))

    async def route(self, question: Question, calls: Calls) -> Route:
        return await self._router.route(question, calls)


@pytest.mark.parametrize("router", [AskingRouter(), AskingScorer(), Wrapped()], ids=["router", "scorer", "wrapped"])
def test_a_call_that_was_not_planned_ends_the_question(router: Any) -> None:
    """It is no failed call that a fallback could make good, and the LLM is not reached."""
    fake = ScriptedLLM("other")

    with (
        MoLLM(CONFIG, llms={"a": fake}, router=router) as mollm,
        pytest.raises(LimitError, match=r"a call that it did not plan, to 'a'"),
    ):
        mollm.ask("Hi")

    assert not fake.requests


def test_a_plan_is_that_of_all_who_may_call() -> None:
    """Nobody who has none."""
    asked = question("Hi")

    assert plan_of(as_router(by_word, DECISION), asked) == ()
    assert plan_of(as_router(AskingScorer(), DECISION), asked) == ()
    assert plan_of(FixedRouter("one"), asked) == ()
    [planned] = plan_of(Wrapped()._router, asked)  # noqa: SLF001 - what it forgets
    assert (planned.role, planned.llm, planned.times) == ("router", "a", 1)
