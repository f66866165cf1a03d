"""Two mixtures that answer together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.errors import RoutingError
from mollm.llms.scripted import ScriptedLLM
from mollm.routing.learned import LearnedScorer
from mollm.types import Route
from tests.routing.asked import decide
from tests.routing.fitted import EXAMPLES

if TYPE_CHECKING:
    from mollm.types import Question

BOTH = Route("car", {"car": 0.5, "sleep": 0.5}, "mine", "for both", second="sleep")
CONFIG: dict[str, Any] = {
    "llms": {name: {"model": f"scripted/from {name}", "max_tokens": 50, "retries": 0} for name in "abcw"},
    "mixtures": {
        "car": {"description": "Cars.", "workers": ["a", "b"], "aggregator": {"llm": "w"}},
        "sleep": {"description": "Sleep.", "workers": [{"llm": "c", "prompt": "You sleep well."}, "b"]},
        "vote": {
            "description": "Votes.",
            "workers": ["a", "b", "c"],
            "aggregator": {"method": "vote"},
            "ask_first": 2,
            "agree": 2,
        },
        "alone": {"description": "One.", "workers": ["c"]},
        "general": {"description": "Anything else.", "workers": ["a"]},
    },
}


def both(first: str, second: str | None) -> Any:
    """A router that picks these two."""
    return lambda _: Route(first, {}, "mine", "for both", second=second)


def ask(router: Any, question: Any = "Hi", **sections: Any) -> tuple[Any, dict[str, ScriptedLLM]]:
    """Ask with LLMs that note what they were asked; further keyword arguments are options or sections."""
    options = {name: sections.pop(name) for name in ("n", "tools") if name in sections}
    fakes = {name: ScriptedLLM(f"from {name}") for name in "abcw"}
    with MoLLM({**CONFIG, **sections}, llms=fakes, router=router) as mollm:
        return mollm.ask(question, **options), fakes


def test_the_workers_of_both_answer_under_the_first_ones_aggregator() -> None:
    """A worker that both have is asked once, and another one's prompt stays its own."""
    found, fakes = ask(lambda _: BOTH)

    assert [proposal.worker for proposal in found.proposals] == ["a", "b", "c"]
    assert (found.text, found.mixture, found.route.second) == ("from w", "car", "sleep")
    assert [call.role for call in found.breakdown].count("worker") == 3
    assert "You sleep well." in str(fakes["c"].requests[0].messages)
    assert "from a" in (read := str(fakes["w"].requests[0].messages))
    assert "from c" in read


@pytest.mark.parametrize(
    ("first", "second", "writer", "asked"),
    [
        ("vote", "car", "w", ["a", "b", "c"]),  # a vote would answer half of the question
        ("vote", "alone", "c", ["a", "b", "c"]),
        ("alone", "car", "c", ["c", "a", "b"]),  # no aggregator of its own: its worker writes
        ("general", "alone", "a", ["a", "c"]),
    ],
)
def test_all_are_asked_and_somebody_writes(first: str, second: str, writer: str, asked: list[str]) -> None:
    """Whatever ends the first one's layer early, and however it makes its answer."""
    found, _ = ask(both(first, second))

    assert [proposal.worker for proposal in found.proposals] == asked
    assert [(call.role, call.llm) for call in found.breakdown][-1] == ("aggregator", writer)


def test_what_both_could_take_is_counted_before_anybody_is_asked() -> None:
    """Where it exceeds a limit the first answers alone, and the reason says why."""
    fits, _ = ask(lambda _: BOTH, limits={"calls": 4})
    alone, fakes = ask(lambda _: BOTH, limits={"calls": 3})

    assert len(fits.proposals) == 3
    assert fits.calls == 4
    assert [proposal.worker for proposal in alone.proposals] == ["a", "b"]
    assert alone.route.second is None
    assert "for both; sleep is not joined: the two together (car + sleep) is not asked" in alone.route.reason
    assert "4 calls at worst (3 proposals + 1 aggregator), and limits.calls is 3" in alone.route.reason
    assert not fakes["c"].requests


def test_several_answers_come_from_the_first_alone() -> None:
    """They need a single LLM."""
    found, _ = ask(both("alone", "general"), n=2)

    assert len(found.alternatives) == 1
    assert found.route.second is None
    assert found.route.reason == "for both; general is not joined: n and logprobs need a single LLM"


def test_tools_stay_with_the_first() -> None:
    """The workers of both propose, and its LLM for tools acts."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

    found, fakes = ask(lambda _: BOTH, tools=[tool])

    assert [proposal.worker for proposal in found.proposals] == ["a", "b", "c"]
    assert [call.llm for call in found.breakdown if call.role == "tools"] == ["w"]
    assert fakes["w"].requests[0].settings.tools


@pytest.mark.parametrize("second", ["nowhere", "car", "a"])
def test_a_second_mixture_is_another_one(second: str) -> None:
    """Else the router is at fault."""
    with pytest.raises(RoutingError, match=f"joined '{second}' to 'car', which is no other mixture"):
        ask(both("car", second))


async def test_a_resumed_run_knows_both() -> None:
    """The graph, which carries the run as plain data, asks the same workers as the loop."""
    fakes = {name: ScriptedLLM(f"from {name}") for name in "abcw"}
    async with MoLLM(CONFIG, llms=fakes, router=lambda _: BOTH, engine="graph") as mollm:
        found = await mollm.aask("Hi")

    assert [proposal.worker for proposal in found.proposals] == ["a", "b", "c"]
    assert found.route.second == "sleep"


# --- who picks two

ASKED = {
    "Why can't I sleep, and which oil does my car need?": {"sleep", "car"},
    "Which oil does the engine of my car need?": {"car"},
    "How many hours should a child sleep at night?": {"sleep"},
}


def test_a_learned_router_finds_both_subjects() -> None:
    """Those of its thresholds that were fitted say when; without `multi` there is never a second one."""
    scorer = LearnedScorer.fit(EXAMPLES, fallback="general")
    decision = replace(scorer.decision(), multi=True)

    for text, mixtures in ASKED.items():
        route = decision.decide(scorer.scores(text), "learned")
        assert {route.mixture, route.second} - {None} == mixtures, text
        assert decide(scorer, text).second is None


async def test_the_file_says_whether_two_may_answer() -> None:
    """`multi`, for every kind of router that scores, also in a chain."""
    member = {"kind": "python", "path": f"{__name__}:two_likely"}
    for router in (member, {"kind": "chain", "members": [member]}, {"kind": "ensemble", "members": [member]}):
        for multi in (False, True):
            async with MoLLM({**CONFIG, "router": {**router, "threshold": 0.4, "multi": multi}} if router is member
                             else {**CONFIG, "router": {**router, "multi": multi}}) as mollm:  # fmt: skip
                route = await mollm.aroute("Hi")
            assert route.second == ("sleep" if multi else None)


def two_likely(_: Question) -> dict[str, float]:
    """Find two mixtures likely."""
    return {"car": 0.55, "sleep": 0.44, "general": 0.01}
