"""A router of one's own in place of the configured one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import mollm
from mollm import MoLLM
from mollm.calling.base import Request
from mollm.errors import RoutingError
from mollm.llms.scripted import ScriptedLLM
from mollm.routing.base import Router
from mollm.types import PlannedCall, Route

if TYPE_CHECKING:
    from mollm.calling.calls import Calls
    from mollm.types import Question

CONFIG: dict[str, Any] = {
    "llms": {"a": {"model": "scripted/from a"}, "b": {"model": "scripted/from b"}},
    "router": {"kind": "learned", "fallback": "one", "path": "nowhere"},
    "mixtures": {
        "one": {"description": "One.", "workers": ["a"]},
        "other": {"description": "Other.", "workers": ["b"]},
    },
}


class Own:
    """Sends everything to one mixture and notes what it was given; may ask an LLM first."""

    kind = "own"

    def __init__(self, mixture: str, asks: str | None = None) -> None:
        self._mixture, self._asks = mixture, asks
        self.given: list[tuple[str, str]] = []

    def plan(self, question: Question) -> tuple[PlannedCall, ...]:
        return (PlannedCall("router", self._asks, 1024, question.tokens),) if self._asks else ()

    async def route(self, question: Question, calls: Calls) -> Route:
        self.given.append((question.last, question.before))
        if self._asks:
            await calls.attempt("router", self._asks, Request(question.messages))
        return Route(self._mixture, {self._mixture: 1.0}, self.kind, "by hand")


def test_it_takes_the_place_of_the_configured_one() -> None:
    """It decides, its reason stands in the answer, and the configured router is not even built."""
    router = Own("other")

    with MoLLM(CONFIG, router=router) as mollm:
        answer = mollm.ask("Hi")

    assert isinstance(router, Router)
    assert (answer.text, answer.route.router, answer.route.reason) == ("from b", "own", "by hand")
    assert router.given == [("Hi", "")]


def test_a_graph_takes_one_as_well() -> None:
    """With the message before, so that a follow-up can be told."""
    router = Own("other")
    graph: Any = mollm.create_graph(CONFIG, router=router)

    state = graph.invoke({"messages": [("user", "A heap in Go?"), ("ai", "Here."), ("user", "And in Rust?")]})

    assert state["mollm"]["mixture"] == "other"
    assert router.given == [("And in Rust?", "A heap in Go?")]


def test_its_calls_are_on_the_books() -> None:
    """An LLM that it asks is counted with the others."""
    llms = {"a": ScriptedLLM("from a")}

    with MoLLM(CONFIG, llms=llms, router=Own("other", asks="a")) as mollm:
        answer = mollm.ask("Hi")

    assert [(call.role, call.llm) for call in answer.breakdown] == [("router", "a"), ("bypass", "b")]
    assert len(llms["a"].requests) == 1


def test_a_named_mixture_needs_no_router() -> None:
    """The caller's choice comes first."""
    router = Own("other")

    with MoLLM(CONFIG, router=router) as mollm:
        assert mollm.ask("Hi", mixture="one").text == "from a"

    assert router.given == []


def test_a_mixture_that_there_is_not_is_named() -> None:
    """With those that there are."""
    with (
        MoLLM(CONFIG, router=Own("third")) as mollm,
        pytest.raises(RoutingError, match=r"'third', which is no mixture; there are: one"),
    ):
        mollm.ask("Hi")
