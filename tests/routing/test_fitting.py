"""How n-grams are fitted: what is held out, what is picked, and what a margin means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.errors import ConfigError
from mollm.routing import fitting
from mollm.routing.calibration import softmax
from mollm.routing.counting import count
from mollm.routing.learned import LearnedScorer
from mollm.routing.models import STRANGE, Model, NgramModel, belongs, evidence_of, familiarity_of
from tests.fuzz import cases
from tests.routing.asked import decide
from tests.routing.fitted import EXAMPLES, ngrams_of

TEXTS = [text for texts in EXAMPLES.values() for text in texts]
LABELS = np.repeat(np.arange(3), [len(texts) for texts in EXAMPLES.values()])


def test_features_are_those_that_a_question_gets() -> None:
    """What is fitted on is what the model makes of the same text later, the share of known words included."""
    weighed = count(TEXTS).weigh(np.arange(len(TEXTS)) % 2 == 0)
    halved = fitting.fit(TEXTS[::2], LABELS[::2]).model
    assert isinstance(halved, NgramModel)

    for text, features, known in zip(TEXTS, weighed.features.toarray(), weighed.known, strict=True):
        weights = np.vstack([block.weights[:-1] for block in halved.blocks]).astype(float)
        is_known = np.isin(np.concatenate(count(TEXTS).vocabularies), np.concatenate(count(TEXTS[::2]).vocabularies))
        margins = features[is_known] @ weights + halved.intercept
        scores, familiarity = halved.measure(text)

        np.testing.assert_allclose(scores, belongs(margins, halved.slope), atol=2e-3)
        assert familiarity == pytest.approx(
            float(familiarity_of(evidence_of(margins.max(), known[0]), known[1])), abs=1e-3
        )


def test_held_out_scores_are_of_models_that_did_not_see_the_example() -> None:
    """A mixture's only example of its words gets nothing from itself."""
    examples = [f"alpha{n} beta{n}" for n in range(10)] + [f"gamma{n} delta{n}" for n in range(10)]

    crossed = fitting.fit(examples, np.repeat([0, 1], 10))

    seen = np.array([crossed.model.measure(text)[1] for text in examples])
    assert crossed.held_out.all()
    assert (crossed.familiarity < seen).all()


def test_a_large_set_is_held_out_in_part() -> None:
    """Beyond two thousand held-out examples no further fold is fitted; all examples are fitted on all the same."""
    examples = [f"{'red' if n % 2 else 'blue'} {n % 97}" for n in range(2_600)]

    crossed = fitting.fit(examples, np.arange(2_600) % 2)

    assert fitting.ENOUGH <= crossed.held_out.sum() < 2_600
    assert decided(crossed.model, "red 5") != decided(crossed.model, "blue 5")


def decided(model: Model, text: str) -> int:
    """The mixture that suits best."""
    return int(model.measure(text)[0].argmax())


def test_the_usual_penalty_stays_unless_another_is_better_beyond_chance() -> None:
    """A few examples pick no other one; where a quarter of the labels is wrong, the examples are believed less."""
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 2, 300)
    texts = [
        f"{'red' if label else 'blue'} {' '.join(f'w{n}' for n in generator.integers(0, 60, 6))}" for label in labels
    ]
    partly_wrong = np.where(generator.random(300) < 0.25, 1 - labels, labels)

    assert fitting.pick_penalty(count(TEXTS), LABELS) == fitting.PENALTIES[0]
    assert fitting.pick_penalty(count(texts), partly_wrong) < fitting.PENALTIES[0]


def test_naive_bayes_is_that_of_scikit_learn() -> None:
    """The same probabilities as multinomial naive Bayes over the same features, up to the slope."""
    from sklearn.naive_bayes import MultinomialNB

    crossed = fitting.fit_naive_bayes(TEXTS, LABELS)
    model = crossed.model
    assert isinstance(model, NgramModel)
    features = count(TEXTS).weigh(np.ones(len(TEXTS), dtype=np.bool_)).features
    theirs = MultinomialNB(alpha=fitting.SMOOTHING).fit(features, LABELS).predict_joint_log_proba(features)
    weights = np.vstack([block.weights[:-1] for block in model.blocks]).astype(float)

    np.testing.assert_allclose(softmax(features @ weights + model.intercept), softmax(theirs), atol=5e-3)


def test_the_method_is_kept_and_unknown_ones_are_refused() -> None:
    """Naive Bayes makes a router like any other, and says what it is."""
    scorer = LearnedScorer.fit(EXAMPLES, fallback="general", method="naive-bayes")

    assert scorer.method == "naive-bayes"
    assert decide(scorer, "why does my car not start?", 0.0).mixture == "car"
    with pytest.raises(ConfigError, match="'guess' is not one of these: linear, naive-bayes"):
        LearnedScorer.fit(EXAMPLES, fallback="general", method="guess")  # type: ignore[arg-type]


@given(margins=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=5), known=st.tuples(*[st.floats(0.0, 1.0)] * 2))
@settings(max_examples=cases(100))
def test_scores_and_familiarity_are_in_order_and_in_range(margins: list[float], known: tuple[float, float]) -> None:
    """A larger margin never suits worse, nor do more known words make a question less familiar."""
    ordered = np.sort(np.array(margins))

    scores = belongs(ordered, np.array([50.0, -3.0]))

    assert np.isfinite(scores).all()
    assert (np.diff(scores) >= 0.0).all()
    less, more = evidence_of(ordered[0], known[0]), evidence_of(ordered[-1], 1.0)
    assert 0.0 <= familiarity_of(less, known[1]) <= familiarity_of(more, 1.0) <= 1.0
    assert familiarity_of(less, 0.9 * STRANGE) <= familiarity_of(less, STRANGE)


def test_a_question_of_unknown_words_is_less_familiar() -> None:
    """The same question with words that no example has is less familiar, whichever mixture it is for."""
    scorer = LearnedScorer.fit(EXAMPLES, fallback="general")

    known, unknown = (
        scorer.model.measure("Why do my brakes squeak?")[1],
        scorer.model.measure("Why do zhvb qrxt squeak?")[1],
    )

    assert unknown < known
    assert ngrams_of(scorer).measure("\u4f60\u597d")[1] == 0.0
