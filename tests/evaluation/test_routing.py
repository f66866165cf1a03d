"""A router measured on questions whose mixture is known."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mollm.errors import RequestError
from mollm.evaluation.asking import asking
from mollm.evaluation.baselines import UNLEARNED
from mollm.evaluation.questions import Questions
from mollm.evaluation.routing import Evaluation, Measuring, evaluate
from mollm.routing.learned import LearnedScorer
from mollm.types import Route
from tests import shipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.types import Question

QUESTIONS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data/routing_questions.jsonl").read_text("utf-8").splitlines()
]
NOWHERE = frozenset({"oos"})
FAMILIAR = {"a": 0.9, "b": 0.7, "c": 0.5, "x": 0.2}


def by_letter(question: Question) -> Route:
    """Go where the first letter of a question says; c is taken for b, and x is familiar with nobody."""
    letter = question.last[0].lower()
    pick = {"a": "a", "b": "b", "c": "b"}.get(letter, "a")
    familiar = FAMILIAR.get(letter, 0.1)
    return Route(pick, {pick: 0.8, "c": 0.2}, "own", "", is_sure=familiar > 0.3, familiarity=familiar)


def measured(
    texts: list[str],
    labels: list[str],
    router: Callable[[Question], Any] = by_letter,
    out_of_scope: frozenset[str] = frozenset(),
    **how: Any,
) -> Evaluation:
    """Evaluate a function of the question."""
    asked = Questions.of(texts, labels, out_of_scope=out_of_scope)
    return asyncio.run(evaluate(asking(router, "a"), asked, Measuring(**{"baselines": UNLEARNED, **how})))


def test_figures_are_those_of_the_questions_that_belong_somewhere() -> None:
    """Two of three are right; what belongs nowhere is caught by familiarity, and counted apart."""
    found = measured(["a1", "b1", "c1", "x1", "x2"], ["a", "b", "c", "oos", "oos"], out_of_scope=NOWHERE)

    assert (found.questions, found.mixtures) == (3, 3)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.calibration_error == pytest.approx(0.8 - 2 / 3)
    outside = found.out_of_scope
    assert outside is not None
    assert outside.auroc["familiarity"] == 1.0
    assert (outside.threshold_from, outside.recall, outside.false_alarms) == ("fitted", 1.0, 0.0)
    assert outside.kept == pytest.approx(2 / 3)


def test_the_threshold_comes_from_validation_questions() -> None:
    """Of questions that are less familiar than those asked about, so that less is caught and no alarm is false."""
    strict = measured(["a1", "b1", "c1", "x1"], list("abcx"), out_of_scope=frozenset("x"), validation=["b"] * 20)
    lax = measured(["a1", "b1", "c1", "x1"], list("abcx"), out_of_scope=frozenset("x"), validation=["y"] * 20)

    assert strict.out_of_scope is not None
    assert lax.out_of_scope is not None
    assert (strict.out_of_scope.threshold, strict.out_of_scope.threshold_from) == (0.7, "validation")
    assert strict.out_of_scope.recall == 1.0
    assert strict.out_of_scope.false_alarms == pytest.approx(1 / 3)
    assert (lax.out_of_scope.recall, lax.out_of_scope.false_alarms) == (0.0, 0.0)


def test_labels_that_the_router_never_mentions_are_named_by_row() -> None:
    """They count as wrong, and can be found."""
    found = measured(["a1", "b1", "b2", "b3"], ["a", "d", "b", "d"])

    assert found.unknown == {"d": [2, 4]}
    assert found.accuracy == 0.5


def test_a_router_that_reads_capitals_flips() -> None:
    """One that does not stays where it is, in every form that keeps the first letter."""
    texts = ["alpha beta gamma", "beta gamma delta"]
    careful = measured(texts, ["a", "b"])
    moody = measured(texts, ["a", "b"], lambda question: "a" if question.last.isupper() else by_letter(question))

    assert (careful.flips["typos"], careful.flips["upper case"]) == (0.0, 0.0)
    assert math.isnan(careful.flips["lower case"])  # nothing was changed
    assert moody.flips["upper case"] == 0.5


def test_several_mixtures_are_measured_as_sets() -> None:
    """By the pick and the second one that is joined to it."""

    def two(question: Question) -> Route:
        return Route("a", {"a": 0.6, "b": 0.4}, "own", "", second="b" if "both" in question.last else None)

    found = measured(["both", "one", "both"], ["a|b", "a", '["a", "c"]'], two, noisy=False)

    assert found.sets is not None
    assert found.sets.exact == pytest.approx(2 / 3)
    assert found.sets.micro_f1 == pytest.approx(2 * 4 / 10)
    assert found.sets_first_only is not None
    assert found.sets_first_only.exact == pytest.approx(1 / 3)
    assert found.sets_first_only.micro_f1 == pytest.approx(2 * 3 / 8)
    assert found.accuracy == 1.0


def test_nothing_to_measure_is_said() -> None:
    """Not a division by zero."""
    with pytest.raises(RequestError, match="nothing to measure"):
        measured(["x1"], ["oos"], out_of_scope=NOWHERE)


def test_the_packaged_router_is_not_easily_moved() -> None:
    """Capitals move none of the questions written for it, a greeting at most a tenth, and typos a quarter."""
    router = LearnedScorer.load(shipped.FOLDER)
    texts, labels = zip(*[(line["question"], line["mixture"]) for line in QUESTIONS], strict=True)

    asked = Questions.of(texts, labels, out_of_scope={"nowhere"})
    found = asyncio.run(evaluate(asking(router, router.fallback), asked, Measuring(baselines=UNLEARNED)))

    assert found.questions == 100
    assert found.flips["upper case"] == found.flips["lower case"] == 0.0
    assert found.flips["prefix"] <= 0.10
    assert found.flips["typos"] <= 0.25
    assert found.calibration_error <= 0.15
    assert found.coverage["0.8"] >= found.accuracy >= 0.90
