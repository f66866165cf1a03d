"""What a router must be better than."""

from __future__ import annotations

import pytest

from mollm.evaluation.baselines import BASELINES, accuracy, length, majority
from mollm.evaluation.questions import Questions
from tests.routing.fitted import EXAMPLES

PAIRS = [(text, name) for name, texts in EXAMPLES.items() for text in texts]
TRAIN = [text for text, _ in PAIRS], [name for _, name in PAIRS]


def test_the_commonest_mixture_and_the_one_of_the_same_length() -> None:
    """Neither reads a word."""
    texts, labels = ["aa", "bb", "a long one", "c"], ["x", "x", "y", "x"]

    assert majority(texts, labels)("anything") == "x"
    assert length(texts, labels)("as long too") == "y"


def test_naive_bayes_reads_words() -> None:
    """Of questions like those it was fitted on more are right than always the same mixture has."""
    asked = Questions.of(["Is the oil of my car dirty?", "I cannot sleep at night", "Naps?"], ["car", "sleep", "sleep"])

    assert accuracy(BASELINES["naive Bayes"], asked, TRAIN) >= 2 / 3


def test_without_training_data_no_baseline_is_asked_what_it_saw() -> None:
    """A baseline that remembers its questions is never right."""

    def by_heart(texts: object, labels: object) -> object:
        known = dict(zip(texts, labels, strict=True))  # type: ignore[call-overload]
        return lambda text: known.get(text, "never seen")

    asked = Questions.of(*TRAIN)

    assert accuracy(by_heart, asked) == 0.0  # type: ignore[arg-type]
    assert accuracy(by_heart, asked, TRAIN) == 1.0  # type: ignore[arg-type]
    assert accuracy(majority, asked) == pytest.approx(6 / 16, abs=0.2)


def test_one_question_of_two_mixtures_is_right_by_either() -> None:
    """And teaches both."""
    asked = Questions.of(["one", "two", "three", "four"], ["a|b", "a", "a", "b"])

    assert accuracy(lambda *_: lambda _: "a", asked) == 0.75
