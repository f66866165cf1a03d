"""Mixtures beside all that they have to be better than: every arm, and which questions count."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mollm.errors import DataError
from mollm.evaluation.mixtures.comparing.compare import report_of
from mollm.evaluation.mixtures.comparing.halves import best_elsewhere, halves
from mollm.evaluation.mixtures.records import Gathered, Record
from mollm.evaluation.mixtures.report import Turned
from mollm.evaluation.mixtures.scores.exact import Exact
from mollm.types import Failure, Proposal
from tests.evaluation.mixtures.pools import ABOUT, Final, column, equals, gathered, lopsided, pool, rows_of, voted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.evaluation.mixtures.report import Arm, MixtureReport, Report
    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.mixtures.scores.base import Score

SAID = {"a": ["1", "1", "1", "2"], "b": ["1", "2", "2", "2"], "c": ["1", "1", "2", "1"]}


def reported(*found: Gathered, score: Score | None = None, **about: Any) -> Report:
    """What is reported of mixtures."""
    return asyncio.run(report_of(found, score or Final(), replace(ABOUT, **about)))


def one(found: Gathered, score: Score | None = None, **about: Any) -> MixtureReport:
    """What is reported of one mixture."""
    return reported(found, score=score, **about).mixtures[0]


def arm(report: MixtureReport, kind: str, name: str = "") -> Arm:
    """An arm by its kind, and the beginning of its name."""
    return next(arm for arm in report.arms if arm.kind == kind and arm.name.startswith(name))


def test_all_arms_are_there_in_one_order() -> None:
    """The mixture first, then what it is held against, and what could not be had with its reason."""
    report = one(gathered(SAID, why_not_itself="a ceiling was reached"))

    kinds = [arm.kind for arm in report.arms]
    assert kinds == ["mixture", "member", "member", "member", "best", "random", "self", "vote", "oracle"]
    assert [arm.score for arm in report.arms] == [0.5, 0.75, 0.25, 0.75, *(arm.score for arm in report.arms[4:])]
    assert arm(report, "random").score == pytest.approx((0.75 + 0.25 + 0.75) / 3)
    assert arm(report, "oracle").score == 1.0
    assert arm(report, "oracle").calls is None
    assert arm(report, "self").score is None
    assert arm(report, "self").why == "a ceiling was reached"


def test_the_best_member_is_chosen_on_other_questions() -> None:
    """Each question is answered by the member that is best on the half it is not in; each kind is halved."""
    kinds = ["x", "x", "x", "y"] * 10
    second = halves(kinds)
    scores = np.zeros((40, 2))
    scores[second, 0] = 1.0
    scores[~second, 1] = 1.0

    picks = best_elsewhere(scores, second)

    assert [int(second[np.array(kinds) == kind].sum()) for kind in "xy"] == [15, 5]
    assert scores[np.arange(40), picks].sum() == 0, "who is best on one half is the worst on the other here"


def test_of_equal_members_the_first_is_best() -> None:
    """Also of a single question, of which one half has none."""
    assert best_elsewhere(np.ones((1, 3)), halves([None])).tolist() == [0]
    assert one(gathered({"a": ["1"], "b": ["1"]})).gain is not None
    assert arm(one(gathered({"a": ["1"] * 9, "b": ["1"] * 9})), "best").name == "best member (a)"


def test_a_vote_makes_as_many_calls_as_the_mixture() -> None:
    """To the nearest whole call; where that is not all of them, the vote of all stands beside it."""
    found = gathered({**SAID, "d": ["2", "2", "2", "2"]})
    answers = tuple(replace(r, calls=calls) for r, calls in zip(found.answers, (2, 2, 2, 3), strict=True))

    report = one(replace(found, answers=answers))

    assert [a.name for a in report.arms if a.kind == "vote"] == ["plain vote of 2, for 2.25 calls", "plain vote of 4"]
    vote = arm(report, "vote", "plain vote of 2")
    assert (vote.calls, vote.prompt_tokens, vote.completion_tokens, vote.seconds) == (2.0, 20.0, 40.0, 1.0)
    assert vote.score == 0.75, "where two do not agree the first listed is taken"
    assert arm(report, "vote", "plain vote of 4").score == 0.5
    assert report.vote is not None
    assert report.vote.member == "plain vote of 4"


def test_a_mixture_that_asks_more_than_its_members_is_beside_a_vote_of_all() -> None:
    """An aggregator and samples are calls as well; there are no more members to ask."""
    found = gathered(SAID)
    report = one(replace(found, answers=tuple(replace(r, calls=9) for r in found.answers)))

    assert [a.name for a in report.arms if a.kind == "vote"] == ["plain vote of 3, for 9.00 calls"]


def test_a_vote_passes_by_members_that_failed() -> None:
    """And fails where all of them did, which counts 0."""
    report = one(gathered({"a": [None, None], "b": ["1", None], "c": ["2", None]}))

    vote = arm(report, "vote")
    assert (vote.score, vote.failed) == (0.5, 1)
    assert (arm(report, "mixture").failed, arm(report, "oracle").failed, arm(report, "member", "a").failed) == (1, 1, 2)


def test_questions_that_do_not_count_are_named() -> None:
    """No reference to hold an answer against, or not asked of all: they count for nobody, and never as right."""
    found = gathered({"a": ["1", "?", "1"], "b": ["2", "?", "1"]})
    rows = (found.rows[0], replace(found.rows[1], reference="?"), found.rows[2])

    report = one(replace(found, rows=rows, unasked={"q2": "a ceiling was reached"}))

    assert report.questions == 1
    assert [(e.id, e.place, e.why) for e in report.excluded] == [
        ("q1", "questions.jsonl:2", "the reference '?' is no final answer"),
        ("q2", "questions.jsonl:3", "a ceiling was reached"),
    ]
    assert arm(report, "member", "a").score == 1.0
    assert arm(report, "member", "b").score == 0.0


def test_a_failure_is_never_right() -> None:
    """Even where an empty text would be."""
    report = one(gathered({"a": [None, "1"], "b": [None, "1"]}), Final({"": 1.0}))

    assert [a.score for a in report.arms if a.kind in ("mixture", "member", "oracle")] == [0.5] * 4


def test_an_answer_that_cannot_be_scored_takes_its_question_out() -> None:
    """All arms are compared on the same questions; a number that is none counts as no score."""
    report = one(gathered({"a": ["1", "odd", "1"], "b": ["1", "1", "1"]}), Final({"odd": None}))
    other = one(gathered({"a": ["1", "odd", "1"], "b": ["1", "1", "1"]}), Final({"odd": math.nan}))

    assert report.questions == other.questions == 2
    assert [(e.id, e.why) for e in report.excluded] == [("q1", "the answer of maths, a could not be scored")]


def test_a_member_that_is_hardly_ever_scored_is_no_arm() -> None:
    """It would take nearly all questions from the others."""
    report = one(gathered({"a": ["1", "1", "1"], "b": ["x", "x", "1"]}), Final({"x": None}))

    assert report.questions == 3
    assert arm(report, "member", "b").why == "its answers are scored on 1 of 3 questions only"
    assert report.gain is not None


def test_a_self_mixture_that_is_hardly_ever_scored_takes_no_question_from_the_others() -> None:
    """People rate what is served, and nobody has seen its answers."""
    itself = column(["x", "x", "1"])
    report = one(gathered({"a": ["1", "1", "1"], "b": ["1", "2", "1"]}, itself=itself), Final({"x": None}))

    assert report.questions == 3
    assert report.excluded == ()
    assert arm(report, "self").score is None
    assert arm(report, "self").why == "its answers are scored on 1 of 3 questions only"


def test_where_nothing_counts_nothing_is_said() -> None:
    """All arms are there, and say why they have no score."""
    found = gathered(SAID)
    report = one(replace(found, unasked=dict.fromkeys((row.id for row in found.rows), "no answer was recorded")))

    assert report.questions == 0
    assert {a.score for a in report.arms} == {None}
    assert {a.why for a in report.arms} == {"no question counts"}
    assert (report.verdict.kind, report.gain) == ("cannot be told", None)


def test_without_members_that_are_scored_the_mixture_stands_alone() -> None:
    """As where people rated its answers only."""
    rated = gathered({"a": ["x", "x"], "b": ["x", "x"]})  # but for these, nobody else's are
    answers = tuple(replace(r, text="1") for r in rated.answers)
    alone = one(replace(rated, answers=answers), Final({"x": None}))

    assert arm(alone, "mixture").score == 1.0
    assert alone.verdict.sentence == "cannot be told: no worker's answers are scored on enough questions"


def test_an_llm_that_only_writes_is_what_its_mixture_has_to_beat() -> None:
    """Else a strong writer over weak workers seems worth its price: it is there for one call."""
    said = pool((0.5, 0.4, 0.4), 300, 0)
    strong = column(pool((0.9,), 300, 1)["a"], cost_usd=0.001)
    weak = gathered(said)
    dear = [replace(r, calls=4, cost_usd=0.008) for r in strong]
    written = replace(weak, answers=tuple(dear))

    without, report = one(written), one(replace(written, readers={"strong": strong}))

    assert without.verdict.kind == "better"
    assert (
        report.verdict.sentence
        == "not better than strong alone on these 300 questions: 0 gains, 0 losses, 8.0 times the cost"
    )
    assert [a.kind for a in report.arms[:6]] == ["mixture", "member", "member", "member", "reader", "best"]
    assert arm(report, "best").name == "best member (strong)"
    assert arm(report, "oracle").score == pytest.approx(0.97, abs=0.04)
    assert {a.name for a in report.arms if a.kind == "vote"} == {"plain vote of 3, for 4.00 calls"}  # of workers


def test_an_llm_that_only_writes_and_is_hardly_ever_scored_is_no_arm() -> None:
    """As people rate what is served; and it does not vote in place of workers that are not scored."""
    both = replace(gathered({"a": ["1"] * 3, "b": ["1", "2", "1"]}), readers={"w": column(["x", "x", "1"])})
    only = replace(gathered({"a": ["x"] * 3}), answers=column(["1"] * 3), readers={"w": column(["1"] * 3)})

    report, alone = one(both, Final({"x": None})), one(only, Final({"x": None}))

    assert (report.questions, arm(report, "reader").why) == (3, "its answers are scored on 1 of 3 questions only")
    assert alone.verdict.sentence == "cannot be told: no worker's answers are scored on enough questions"
    assert [(a.kind, a.score) for a in alone.arms[:3]] == [("mixture", 1.0), ("member", None), ("reader", None)]


def test_all_answers_to_a_question_are_scored_together() -> None:
    """By who gave them, the first member first: a judge holds the others against it, and people rate by name."""
    score = Final()
    found = gathered({**SAID, "d": [None] * 4})
    first = replace(found, answers=(replace(found.answers[0], text="written"), *found.answers[1:]))
    second = replace(gathered({"a": ["3"] * 4}), mixture="other")

    reported(first, second, score=score, routes=("other",) * 4)

    assert [name for name, _ in score.asked[:8]] == ["q0", "q1", "q2", "q3"] * 2
    assert list(score.asked[0][1].items()) == [
        ("a", "1"),
        ("b", "1"),
        ("c", "1"),
        ("maths", "written"),
        ("maths routed", "3"),
    ]
    assert score.asked[4][1] == {"a": "3", "other": "3", "other routed": "3"}


def test_one_text_may_have_several_scores() -> None:
    """As people rate: what one said of the mixture's answer was not said of the member's."""

    class Rated(Final):
        async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
            return {who: {"a": 0.25, "b": 0.5, "maths": 1.0}[who] for who in texts if row.id}

    report = one(gathered({"a": ["1"] * 3, "b": ["1"] * 3}), Rated())

    assert [a.score for a in report.arms if a.kind in ("mixture", "member")] == [1.0, 0.25, 0.5]


def test_a_member_may_have_the_name_of_its_mixture() -> None:
    """Both are scored."""
    report = one(replace(gathered({"a": ["1", "1"], "b": ["1", "2"]}), mixture="b"))

    assert [(a.kind, a.score) for a in report.arms[:3]] == [("mixture", 1.0), ("member", 1.0), ("member", 0.5)]


def test_a_score_that_cannot_go_on_says_why() -> None:
    """Its own error, not a group of all that were cancelled with it."""

    class Broken(Final):
        async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
            raise DataError(f"{row.place}: no rating of {', '.join(texts)}")

    with pytest.raises(DataError, match="no rating"):
        one(gathered(SAID), Broken())


def test_the_router_is_an_arm() -> None:
    """Of the answers of the mixtures that it picked; a question without a route failed."""
    good, bad = gathered({"a": ["1"] * 4}, kinds=["maths", "other"]), gathered({"b": ["2"] * 4}, mixture="other")

    report = reported(good, bad, routes=("maths", "other", "maths", None))

    assert (arm(report.mixtures[0], "routed").score, arm(report.mixtures[0], "routed").failed) == (0.5, 1)
    assert report.router is not None
    assert (report.router.kinds, report.router.mixtures) == (("maths", "other"), ("maths", "other"))
    assert (report.router.counts, report.router.accuracy) == (((2, 0), (0, 1)), 1.0)
    assert report.notes == ("scored by a test",)


def test_a_router_that_picks_what_was_not_asked_has_no_score() -> None:
    """It is not counted as wrong either."""
    report = one(gathered({"a": ["1"] * 4}), routes=("maths", "third", "maths", "third"))

    assert arm(report, "routed").why == "2 questions without an answer of the mixture picked"


def test_what_is_worth_its_price_is_on_the_front() -> None:
    """By money where all have a price, else by calls; what is nowhere better for more is not on it."""
    prices = {"a": 0.003, "b": 0.001, "c": 0.002}
    rows = rows_of(4)
    said = {"a": ["1", "1", "1", "2"], "b": ["1", "2", "2", "2"], "c": ["2", "2", "2", "2"]}
    alone = {name: column(finals, cost_usd=prices[name]) for name, finals in said.items()}
    report = one(Gathered("maths", rows, voted(alone, rows), alone))

    on_front = {a.name for a in report.arms if a.is_on_front and a.kind == "member"}
    assert on_front == {"a alone", "b alone"}
    assert not arm(report, "mixture").is_on_front
    assert report.gain is not None
    assert report.gain.ratio_of == "cost"
    assert report.gain.cost_ratio == pytest.approx(0.006 / 0.003)
    without = one(gathered(said))
    assert {a.name for a in without.arms if a.is_on_front and a.kind == "member"} == {"a alone"}
    assert without.gain is not None
    assert without.gain.ratio_of == "tokens"
    assert without.gain.cost_ratio == pytest.approx(3.0)


def test_an_llm_without_a_price_leaves_the_mixture_without_one() -> None:
    """The sum of the others would look cheap."""
    rows = rows_of(2)
    alone = {"a": column(["1", "1"], cost_usd=0.001), "b": column(["1", "1"])}
    answers = tuple(replace(r, cost_usd=0.001) for r in voted(alone, rows))
    report = one(Gathered("maths", rows, answers, alone))

    assert (arm(report, "mixture").cost_usd, arm(report, "member", "a").cost_usd) == (None, 0.001)


def test_answers_that_the_aggregator_turned_are_counted() -> None:
    """Against the best proposal, which would be the answer without it; a vote turns nothing and is not counted."""
    found = gathered({"a": ["1", "1", "2", "1"], "b": ["1", "1", "2", "1"]})
    texts = ("1", "wrong", "right", "1")
    written = tuple(
        replace(r, text=text, calls=calls) for r, text, calls in zip(found.answers, texts, (3, 3, 3, 2), strict=True)
    )

    report = one(replace(found, answers=written), Final({"right": 1.0}))

    assert report.turned == Turned(wrong=1, right=1, questions=3)
    assert one(found).turned is None


def test_an_answer_with_a_partial_score_is_made_better_or_worse() -> None:
    """However far both are from right; and the report says that its answers are not right or wrong."""
    alone = {"a": column(["low"] * 3), "b": column(["low"] * 3)}
    answers = tuple(
        replace(record, text=text, final=text, calls=3)
        for record, text in zip(voted(alone, rows_of(3)), ("lower", "higher", "low"), strict=True)
    )
    score = Final({"low": 0.3, "lower": 0.2, "higher": 0.4})

    report = asyncio.run(report_of([Gathered("maths", rows_of(3), answers, alone)], score, ABOUT))

    assert report.mixtures[0].turned == Turned(wrong=1, right=1, questions=3)
    assert not report.is_exact


def test_lost_questions_stand_beside_their_proposals() -> None:
    """All of them, with what everybody said and how good it was, also what nobody said alone."""
    found = gathered({"a": ["1", "1"], "b": ["2", "1"], "c": ["2", "1"]})
    more = (Proposal("d", "d", 1, "3", "3"), Proposal("e", "e", 1, "", error=Failure("timed_out", None, "it was late")))
    answers = (replace(found.answers[0], proposals=(*found.answers[0].proposals, *more)), found.answers[1])

    report = one(replace(found, answers=answers), Final({"3": 0.25}))

    [lost] = report.lost
    assert (lost.id, lost.answer.text, lost.answer.score, lost.best.who, lost.best.score) == ("q0", "2", 0.0, "a", 1.0)
    assert [(side.who, side.score, side.error) for side in lost.proposals] == [
        ("a", 1.0, None),
        ("b", 0.0, None),
        ("c", 0.0, None),
        ("d", 0.25, None),
        ("e", 0.0, "it was late"),
    ]


def test_members_on_each_kind() -> None:
    """And the mixture; questions of no kind are left out."""
    report = one(gathered({"a": ["1", "2", "1"] * 2, "b": ["2", "1", "1"] * 2}, kinds=["sums", "words", None]))

    assert report.domains is not None
    assert (report.domains.kinds, report.domains.questions) == (("sums", "words"), (2, 2))
    assert report.domains.names == ("maths", "a", "b")
    assert report.domains.scores == ((1.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    assert one(gathered({"a": ["1"], "b": ["1"]})).domains is None


def test_agreement_and_confidence_are_held_against_what_is_right() -> None:
    """In ten bins each, empty ones left out; the calibration error is that of all answers with a confidence."""
    found = gathered({"a": ["1", "1", "2", "1"], "b": ["1", "2", "2", "1"], "c": ["1", "1", "2", "2"]})
    sure = tuple(replace(r, confidence=value) for r, value in zip(found.answers, (0.9, 0.7, 0.9, None), strict=True))

    report = one(replace(found, answers=sure))

    assert [(b.low, b.questions, b.right) for b in report.agreement] == [(0.6, 2, 1.0), (0.9, 2, 0.5)]
    assert [(b.low, b.questions, b.right) for b in report.confidence] == [(0.7, 1, 1.0), (0.9, 2, 0.5)]
    assert report.calibration_error == pytest.approx((0.8 + 0.3) / 3)
    assert one(found).calibration_error is None


def test_a_mixture_of_one_member_has_nothing_to_be_compared_with() -> None:
    """Several samples of it have: they are held against it alone."""
    single = one(gathered({"a": ["1", "2"]}))
    found = gathered({"a": ["1", "2"]})
    samples = one(replace(found, answers=tuple(replace(r, calls=5) for r in found.answers)))

    assert (single.gain, single.verdict.sentence) == (None, "is a alone, so there is nothing to compare")
    assert samples.gain is not None
    assert samples.gain.cost_ratio == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_a_lopsided_pool_is_worse_and_a_pool_of_equals_is_better(seed: int) -> None:
    """The weak outvote the strong; those that err on different questions mend each other."""
    worse, better = one(gathered(lopsided(300, seed))), one(gathered(equals(300, seed)))

    assert worse.verdict.kind == "worse"
    assert worse.verdict.sentence.startswith("worse than a alone on these 300 questions: ")
    assert worse.verdict.sentence.endswith(" losses, 5.0 times the tokens")
    assert better.verdict.kind == "better"


def test_members_that_say_the_same_are_not_better_together() -> None:
    """However many questions: not better, and never better by chance. With few it cannot be told."""
    said = pool((0.7,), 1000, 0)["a"]
    report, few = (one(gathered(dict.fromkeys("abc", said[:count]))) for count in (1000, 40))

    assert report.verdict.sentence == (
        "not better than a alone on these 1,000 questions: 0 gains, 0 losses, 3.0 times the tokens"
    )
    assert few.verdict.kind == "cannot be told"
    assert few.verdict.enough is not None
    assert few.verdict.enough > 40


def test_final_answers_are_scored_in_their_place() -> None:
    """The score that users have: prose is read, and a reference that is no value counts for nobody."""
    rows = tuple(
        replace(row, reference=reference) for row, reference in zip(rows_of(3), ("4", "0.5", "-"), strict=True)
    )
    texts = {"a": ("The answer is 4.", "So it is 1/2.", "4"), "b": ("The answer is 5.", "So it is 0.50", "5")}
    alone = {
        name: tuple(Record(row.id, text) for row, text in zip(rows, said, strict=True)) for name, said in texts.items()
    }
    report = one(Gathered("maths", rows, alone["a"], alone), Exact())

    assert [a.score for a in report.arms if a.kind in ("mixture", "member")] == [1.0, 1.0, 0.5]
    assert [e.id for e in report.excluded] == ["q2"]


def test_figures_are_finite_for_few_questions() -> None:
    """One to five questions tell nothing, whatever they say."""
    for count in range(1, 6):
        for a, b in (("1", "2"), ("2", "1"), ("1", "1"), ("2", "2")):
            found = gathered({"a": [a] * count, "b": [b] * count, "c": [b] * count})
            report = one(found)
            assert report.verdict.kind == "cannot be told"
            assert report.gain is not None
            assert all(map(math.isfinite, (*report.gain.interval, report.gain.p, report.gain.difference)))
