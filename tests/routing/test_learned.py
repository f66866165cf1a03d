"""The learned scorer: how it is fitted, and what is decided by it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.calling.calls import Calls
from mollm.errors import ConfigError
from mollm.routing.base import Router, Scorer
from mollm.routing.decision import ScoringRouter
from mollm.routing.learned import LearnedScorer
from tests.fuzz import cases
from tests.routing.asked import decide, question
from tests.routing.fitted import EXAMPLES, same

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def scorer() -> LearnedScorer:
    """A small one that knows two subjects."""
    return LearnedScorer.fit(EXAMPLES, fallback="general")


# --- deciding


async def test_a_question_goes_to_the_mixture_that_it_resembles(scorer: LearnedScorer) -> None:
    """The route names the mixture, a probability for each mixture, the router and a reason."""
    route = await ScoringRouter(scorer, scorer.decision()).route(question("why does my car not start?"), Calls({}))

    assert route.mixture == "car"
    assert set(route.probabilities) == {"car", "sleep", "general"}
    assert sum(route.probabilities.values()) == pytest.approx(1.0)
    assert max(route.probabilities, key=lambda name: route.probabilities[name]) == "car"
    assert route.router == "learned"
    assert "car" in route.reason
    assert route.seconds > 0.0


def test_it_is_a_scorer(scorer: LearnedScorer) -> None:
    """It satisfies the interface of all scorers, and of all routers with a decision."""
    assert isinstance(scorer, Scorer)
    assert isinstance(ScoringRouter(scorer, scorer.decision()), Router)


def test_below_the_threshold_the_fallback_answers(scorer: LearnedScorer) -> None:
    """A mixture that does not reach the threshold loses the question; the reason has both figures."""
    route = decide(scorer, "why does my car not start?", 1.0)

    assert route.mixture == "general"
    assert "below the threshold 1.00" in route.reason
    assert f"{route.probabilities['car']:.2f}" in route.reason


def test_threshold_zero_never_rejects(scorer: LearnedScorer) -> None:
    """With threshold 0 the likeliest mixture always answers."""
    route = decide(scorer, "Do cats sleep in a cold engine bay?", 0.0)

    assert route.probabilities[route.mixture] == max(route.probabilities.values())


@pytest.mark.parametrize("query", ["", " \n\t ", "\U0001f680\U0001f680", "ქართული ენა", "\ud800\udfff"])
def test_what_no_example_has_goes_to_the_fallback(scorer: LearnedScorer, query: str) -> None:
    """Without a single known n-gram the fallback answers, all mixtures are equally likely, and the reason says so."""
    route = decide(scorer, query)

    assert route.mixture == "general"
    assert set(route.probabilities.values()) == {1 / 3}
    assert "nothing in it is known" in route.reason


def test_a_fallback_without_examples_takes_part() -> None:
    """The fallback needs no examples; it still has a probability and still gets what is below the threshold."""
    scorer = LearnedScorer.fit({"car": EXAMPLES["car"], "sleep": EXAMPLES["sleep"]}, fallback="general")

    route = decide(scorer, "Who invented the wheel?", 0.99)

    assert route.mixture == "general"
    assert set(route.probabilities) == {"car", "sleep", "general"}
    assert sum(route.probabilities.values()) == pytest.approx(1.0)


@given(query=st.text(max_size=300))
@settings(max_examples=cases(200))
def test_no_text_makes_it_raise(scorer: LearnedScorer, query: str) -> None:
    """Any text gets one of the mixtures and probabilities from 0 to 1 that sum to 1."""
    route = decide(scorer, query)

    assert route.mixture in EXAMPLES
    assert sum(route.probabilities.values()) == pytest.approx(1.0)
    assert all(0.0 <= p <= 1.0 for p in route.probabilities.values())


@pytest.mark.parametrize("unit", ["car ", "x", "睡", "\n", "\U0001f600 sleep "])
def test_a_megabyte_is_routed_by_its_ends(scorer: LearnedScorer, unit: str) -> None:
    """A text of a million characters is decided like its two ends alone."""
    text = unit * (1_000_000 // len(unit))

    route = decide(scorer, text)

    assert route.probabilities == decide(scorer, text[:1000] + text[-1000:]).probabilities


# --- fitting


def test_fitting_is_deterministic(scorer: LearnedScorer) -> None:
    """The same examples give the same router to the last bit, whatever the order of the mixtures."""
    again = LearnedScorer.fit(dict(reversed(EXAMPLES.items())), fallback="general")

    assert same(scorer, again)


def test_blank_and_repeated_examples_do_not_count(scorer: LearnedScorer) -> None:
    """Blank lines, repetitions and mixtures without examples change nothing."""
    untidy = {name: [*texts, "", "  ", f" {texts[0]} "] for name, texts in EXAMPLES.items()}

    assert same(scorer, LearnedScorer.fit({**untidy, "empty": [], "blank": [" "]}, fallback="general"))


@pytest.mark.parametrize(
    "examples",
    [
        {"car": ["tyre"], "sleep": ["nap"]},
        {"car": ["tyre"], "sleep": EXAMPLES["sleep"]},
        {"car": ["the same"], "sleep": ["the same"], "general": ["the same"]},
        {"car": ["the same", "also"], "sleep": ["the same", "also"]},
        {"car": ["?!", "..."], "sleep": ["\U0001f634", "-"]},
        {"car": ["\ud800", "tyre"], "sleep": ["\n\x00nap", "\x1c\u2028x"]},
        {f"mixture {n}": [f"word{n} only", f"word{n} twice"] for n in range(40)},
    ],
    ids=["one each", "one and six", "all the same", "contradictory", "no words", "odd characters", "forty"],
)
def test_poor_examples_still_make_a_router(tmp_path: Path, examples: dict[str, list[str]]) -> None:
    """Few, contradictory or odd examples fit without a warning, and the router can be kept."""
    scorer = LearnedScorer.fit(examples, fallback="general")
    scorer.save(tmp_path)

    assert same(scorer, LearnedScorer.load(tmp_path))
    assert 0.0 <= scorer.threshold <= 1.0
    assert decide(scorer, "a tyre, a nap").mixture in {*examples, "general"}


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        ({}, "none has any"),
        ({"car": [], "sleep": ["  "]}, "none has any"),
        ({"car": EXAMPLES["car"]}, "only 'car' has any"),
        ({"car": EXAMPLES["car"], "sleep": []}, "only 'car' has any"),
    ],
)
def test_examples_of_fewer_than_two_mixtures_are_refused(examples: dict[str, list[str]], words: str) -> None:
    """With nothing to tell apart, fitting says what is missing and what else can be done."""
    with pytest.raises(ConfigError, match=words):
        LearnedScorer.fit(examples, fallback="general")


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(scorer: LearnedScorer, threshold: float) -> None:
    """A threshold outside 0 to 1 is refused."""
    with pytest.raises(ConfigError, match="from 0 to 1"):
        scorer.decision(threshold)


@pytest.mark.parametrize(
    "change",
    [
        {"fallback": "car"},
        {"examples": {**EXAMPLES, "car": EXAMPLES["car"][1:]}},
    ],
    ids=["fallback", "examples"],
)
def test_the_digest_covers_all_that_is_fitted_on(scorer: LearnedScorer, change: dict[str, Any]) -> None:
    """Another fallback or example gives another digest; a threshold of one's own costs no fit."""
    wanted: dict[str, Any] = {"examples": EXAMPLES, "fallback": "general", **change}

    assert LearnedScorer.fit(wanted.pop("examples"), **wanted).digest != scorer.digest


def test_fitting_without_scikit_learn_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever installed mollm without it learns what brings it, and what needs no fit."""
    monkeypatch.setitem(sys.modules, "sklearn", None)

    with pytest.raises(ConfigError, match=r"is not installed; run `.* install .*scikit-learn`, or .*`router.path`"):
        LearnedScorer.fit(EXAMPLES, fallback="general")
