"""What is done about scores."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.calling.calls import Calls
from mollm.errors import ConfigError
from mollm.routing.base import Router, Scorer, Scores, plan_of
from mollm.routing.decision import Decision, ScoringRouter
from mollm.types import PlannedCall
from tests.fuzz import cases
from tests.routing.asked import question

if TYPE_CHECKING:
    from mollm.types import Question

NAMES = ("car", "sleep", "general", "nowhere")
shares = st.floats(0.0, 1.0) | st.sampled_from([0.0, 0.25, 0.5, 1.0])
decisions = st.builds(Decision, st.just("general"), shares, shares, shares)
scores = st.builds(
    Scores, st.dictionaries(st.sampled_from(NAMES), shares), st.just("so"), st.none() | st.sampled_from(NAMES), shares
)


@given(decision=decisions, given=scores)
def test_a_pick_is_accepted_or_the_fallback_answers(decision: Decision, given: Scores) -> None:
    """Whatever was scored: a pick without doubt is taken and is sure, all else goes to the fallback.

    That holds for no scores at all, for equal ones, and for a pick that has no probability or is no mixture.
    """
    route = decision.decide(given, "kind")

    if given.pick is None and decision.threshold == decision.familiarity == 0.0 and any(given.probabilities.values()):
        given = replace(given, pick=max(given.probabilities, key=given.probabilities.__getitem__))
    likely = given.probabilities.get(given.pick or "", 1.0)
    second = max((share for name, share in given.probabilities.items() if name != given.pick), default=0.0)
    is_accepted = (
        given.pick is not None
        and likely >= decision.threshold
        and (decision.margin == 0.0 or likely - second >= decision.margin)
        and (given.familiarity is None or given.familiarity >= decision.familiarity)
    )
    assert route.mixture == (given.pick if is_accepted else "general")
    assert route.is_sure is is_accepted
    sure = {given.pick: 1.0} if given.pick else {}
    assert (route.probabilities, route.router) == ({**sure, **given.probabilities}, "kind")
    assert route.reason.startswith("so")


@given(decision=decisions, given=scores)
def test_stricter_bounds_accept_no_more(decision: Decision, given: Scores) -> None:
    """What is accepted stays accepted where nothing is asked for."""
    lenient = Decision(decision.fallback, 0.0).decide(given, "kind")

    assert lenient.is_sure or not decision.decide(given, "kind").is_sure


@pytest.mark.parametrize(
    ("given", "decision", "mixture", "is_sure", "reason"),
    [
        (Scores({"car": 0.9}, "it smells", "car"), {}, "car", True, "it smells (probability 0.90)"),
        (Scores({"car": 1.0}, "it smells", "car"), {}, "car", True, "it smells (probability 1.00)"),
        (Scores({}, "it smells", "car"), {"threshold": 1.0}, "car", True, "it smells"),
        (Scores({"car": 0.5}, "it smells", "car"), {}, "car", True, "it smells (probability 0.50)"),
        (Scores({}, "nobody knows"), {}, "general", False, "nobody knows, so the fallback general answers"),
        (
            Scores({"car": 0.4}, "it smells", "car"),
            {},
            "general",
            False,
            "it smells, but its probability 0.40 is below the threshold 0.50, so the fallback general answers",
        ),
        (
            Scores({"car": 0.6, "sleep": 0.35}, "it smells", "car"),
            {"margin": 0.3},
            "general",
            False,
            "it smells, but it leads sleep by 0.25, less than the margin 0.30, so the fallback general answers",
        ),
        (
            Scores({"car": 0.9}, "it smells", "car", 0.1),
            {"familiarity": 0.2},
            "general",
            False,
            "it smells, but it is unfamiliar (0.10, below 0.20), so the fallback general answers",
        ),
        (Scores({"general": 0.3}, "so", "general"), {}, "general", False, "so (probability 0.30)"),
        (Scores({"general": 0.7}, "so", "general"), {}, "general", True, "so (probability 0.70)"),
        (Scores({"car": float("nan")}, "so", "car"), {"threshold": 0.0}, "general", False, None),
    ],
)
def test_the_reason_says_what_decided(
    given: Scores, decision: dict[str, Any], mixture: str, is_sure: bool, reason: str | None
) -> None:
    """A pick with its probability, or what stood against it with both figures."""
    route = Decision("general", **decision).decide(given, "kind")

    assert (route.mixture, route.is_sure) == (mixture, is_sure)
    assert reason in (None, route.reason)


@settings(max_examples=cases(100))
@given(decision=decisions, given=scores, least=shares)
def test_a_second_mixture_only_adds(decision: Decision, given: Scores, least: float) -> None:
    """It is another one, no fallback, suits well enough, and whoever is picked alone is picked with it as well."""
    alone = decision.decide(given, "kind")
    both = replace(decision, multi=True, second=least).decide(given, "kind")

    assert alone.second is None
    assert both.mixture == alone.mixture or (not alone.is_sure and both.second)
    assert both.is_sure or not alone.is_sure
    if both.second is not None:
        others = {name: p for name, p in given.probabilities.items() if name not in (both.mixture, "general")}
        assert both.mixture != "general"
        assert others[both.second] == max(others.values()) >= least


def test_two_mixtures_share_the_probability_of_a_question_for_both() -> None:
    """Neither reaches the threshold alone, and together they do."""
    given = Scores({"car": 0.45, "sleep": 0.4, "general": 0.15}, "so", "car")

    route = Decision("general", 0.8, multi=True).decide(given, "kind")

    assert (route.mixture, route.second, route.is_sure) == ("car", "sleep", True)
    assert route.reason == "so (probability 0.45), and sleep suits as well (probability 0.40)"
    assert Decision("general", 0.8).decide(given, "kind").mixture == "general"


def test_a_scorer_says_itself_how_well_a_second_mixture_suits() -> None:
    """Probabilities have to share, so where a scorer tells more than these, that counts."""
    given = Scores({"car": 0.97, "sleep": 0.03}, "so", "car", suits={"car": 0.9, "sleep": 0.7}.__getitem__)
    decision = Decision("general", multi=True, second=0.6)

    assert decision.decide(given, "kind").second == "sleep"
    assert decision.decide(replace(given, suits=None), "kind").second is None
    assert replace(decision, second=0.8).decide(given, "kind").second is None


def test_nothing_is_rejected_where_nothing_is_asked_for() -> None:
    """With a threshold and a familiarity of 0 the likeliest mixture is taken, also where the scorer picks none."""
    never = Decision("general", 0.0, familiarity=0.0)

    route = never.decide(Scores({"car": 0.3, "sleep": 0.1}, "none of them", None, 0.0), "kind")

    assert (route.mixture, route.is_sure) == ("car", True)
    assert never.decide(Scores({}, "nothing"), "kind").mixture == "general"
    assert replace(never, threshold=0.01).decide(Scores({"car": 0.3}, "none"), "kind").mixture == "general"


@pytest.mark.parametrize("name", ["threshold", "margin", "familiarity", "second"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_bound_lies_between_0_and_1(name: str, value: float) -> None:
    """Anything else is refused by its name."""
    bound: Any = {name: value}
    with pytest.raises(ConfigError, match=f"{name} must be a number from 0 to 1"):
        Decision("general", **bound)


@dataclass
class ByWord:
    """Picks the mixture whose name is in the last message, and notes what it was asked."""

    kind: str = "by_word"
    reads_last_only: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)

    def plan(self, question: Question) -> list[PlannedCall]:
        """One call for each reading."""
        return [PlannedCall("router", "a", 1, len(question.last))]

    async def score(self, question: Question, calls: Calls) -> Scores:
        """Look for a name."""
        assert calls is not None
        self.asked.append((question.last, question.before))
        pick = next((name for name in NAMES if name in question.last), None)
        return Scores({pick: 0.8} if pick else {}, f"{pick} is named", pick)


async def routed(scorer: ByWord, last: str, before: str = "") -> tuple[str, str]:
    """Mixture and kind of the router."""
    router = ScoringRouter(scorer, Decision("general"))
    assert isinstance(scorer, Scorer)
    assert isinstance(router, Router)
    route = await router.route(question(last, before), Calls({}))
    assert route.seconds > 0.0
    return route.mixture, route.router


async def test_a_follow_up_that_says_nothing_is_scored_with_the_message_before() -> None:
    """Only where it falls to the fallback by itself; the two are joined, the older one first."""
    knows, asks = ByWord(), ByWord()

    assert await routed(knows, "my car", "I sleep badly") == ("car", "by_word")
    assert await routed(asks, "and mine?", "I sleep badly") == ("sleep", "by_word")

    assert knows.asked == [("my car", "I sleep badly")]
    assert asks.asked == [("and mine?", "I sleep badly"), ("I sleep badly\nand mine?", "")]


async def test_where_that_says_nothing_either_the_fallback_answers() -> None:
    """And without a message before, nothing is scored twice."""
    alone, joined = ByWord(), ByWord()

    assert await routed(alone, "well?") == ("general", "by_word")
    assert await routed(joined, "well?", "hm") == ("general", "by_word")

    assert (len(alone.asked), len(joined.asked)) == (1, 2)


async def test_a_scorer_that_reads_both_messages_is_asked_once() -> None:
    """A call of it is never made twice for one decision."""
    scorer = ByWord(reads_last_only=False)

    assert await routed(scorer, "and mine?", "I sleep badly") == ("general", "by_word")
    assert scorer.asked == [("and mine?", "I sleep badly")]


def test_the_plan_counts_the_second_reading() -> None:
    """Where a follow-up may be scored again, its calls are planned twice, with what is then read."""
    twice, once = ByWord(), ByWord(reads_last_only=False)
    asked = question("and mine?", "I sleep badly")

    def read(scorer: ByWord, asked: Question) -> list[int]:
        return [call.prompt_tokens for call in plan_of(ScoringRouter(scorer, Decision("general")), asked)]

    assert read(twice, asked) == [len("and mine?"), len("I sleep badly\nand mine?")]
    assert read(once, asked) == [len("and mine?")]
    assert read(twice, question("and mine?")) == [len("and mine?")]
