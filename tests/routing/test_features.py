"""A text as numbers, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import ComplementNB
from sklearn.svm import LinearSVC

from mollm.routing import fitting
from mollm.routing.features import EDGE, Block, normalise
from mollm.routing.learned import LearnedRouter

EXAMPLES = {
    "cars": ["Why does my car squeak?", "How do I change a tyre on a Škoda?", "car car car won't start", "Öl??"],
    "cooks": ["How do I boil an egg?", "a  recipe\twith\n2 eggs", "Crème brûlée for 10", "what's a roux?"],
    "other": ["Hello!", "Who was Napoleon?", "🙂 🙂", "你好 今天天气怎么样", "x"],
}
WORD = r"(?u)\b\w+\b"
TEXTS = [text for texts in EXAMPLES.values() for text in texts]
LABELS = np.repeat(np.arange(3), [len(texts) for texts in EXAMPLES.values()])

queries = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(" ".join(TEXTS).split()), max_size=30).map(" ".join),
    st.text(alphabet="aeggcr ?'\t\n\u00a0\u2028Öö\u0130\u0131ß\u017f\u212a1_", max_size=60),
)


@pytest.fixture(scope="module")
def router() -> LearnedRouter:
    """Ours, fitted on the texts."""
    return LearnedRouter.fit(EXAMPLES, fallback="other")


@pytest.fixture(scope="module")
def vectorizers() -> list[Any]:
    """Scikit-learn's own for words and for characters, fitted on the same texts."""
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD, sublinear_tf=True)
    chars = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return [words.fit(TEXTS), chars.fit(TEXTS)]


def as_vector(block: Block, text: str) -> np.ndarray[Any, Any]:
    """What `block` makes of `text`, as scikit-learn scales it: unknown n-grams left out, length 1."""
    rows, weights = block.weigh(normalise(text))
    known = rows < len(block.index)
    vector = np.zeros(len(block.index))
    vector[rows[known]] = weights[known]
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def test_vocabulary_and_idf_are_those_of_scikit_learn(router: LearnedRouter, vectorizers: list[Any]) -> None:
    """The same n-grams in the same order, with the same inverse document frequency."""
    for block, vectorizer in zip(router.blocks, vectorizers, strict=True):
        assert list(block.index) == list(vectorizer.get_feature_names_out())
        np.testing.assert_allclose(block.idf[:-1], vectorizer.idf_, rtol=1e-12)


@given(text=queries)
@settings(max_examples=300, deadline=None)
def test_any_text_becomes_the_same_vector_as_in_scikit_learn(
    router: LearnedRouter, vectorizers: list[Any], text: str
) -> None:
    """Whatever the text, both blocks equal scikit-learn's TF-IDF to rounding."""
    for block, vectorizer in zip(router.blocks, vectorizers, strict=True):
        theirs = vectorizer.transform([text]).toarray()[0]

        np.testing.assert_allclose(as_vector(block, text), theirs, rtol=1e-9, atol=1e-12)


@given(text=queries)
@settings(max_examples=100, deadline=None)
def test_scores_are_those_of_scikit_learn(router: LearnedRouter, vectorizers: list[Any], text: str) -> None:
    """Deciding with numpy gives what scikit-learn's separator and naive Bayes give for the same features.

    Each block counts in proportion to how much of the text's weight is known.
    """
    columns, coverage = [], []
    for block, vectorizer in zip(router.blocks, vectorizers, strict=True):
        rows, weights = block.weigh(normalise(text))
        known = np.linalg.norm(weights[rows < len(block.index)])
        coverage.append(known / np.linalg.norm(weights) if len(weights) else 0.0)
        columns.append(vectorizer.transform(TEXTS).toarray())
    training = np.hstack(columns)
    machine = LinearSVC(C=1.0, class_weight="balanced", max_iter=20_000, tol=1e-3, random_state=0)
    machine.fit(training, LABELS)
    bayes = ComplementNB(alpha=0.1).fit(training, LABELS)

    query = np.hstack([share * v.transform([text]).toarray() for share, v in zip(coverage, vectorizers, strict=True)])
    evidence = query @ bayes.feature_log_prob_.T
    theirs = machine.decision_function(query) + fitting.COUNTED * (evidence - evidence.mean())

    ours = router.scores(text)
    if ours is None:
        assert not any(coverage)
    else:
        np.testing.assert_allclose(ours, theirs[0], atol=1e-3)


@given(middle=st.text(min_size=1, max_size=50))
@settings(max_examples=50, deadline=None)
def test_only_the_ends_of_a_long_text_count(middle: str) -> None:
    """A text keeps its first and its last thousand characters; what lies between changes nothing."""
    head, tail = "how do I " * 200, "change a tyre " * 100

    assert normalise(head + middle + tail) == normalise(head + tail)
    assert len(normalise(head + middle + tail)) == 2 * EDGE + 1
