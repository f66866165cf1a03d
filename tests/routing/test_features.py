"""A text as numbers, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.routing import fitting
from mollm.routing.features import EDGE, NGRAMS, Block, char_ngrams, normalize, word_ngrams
from mollm.routing.learned import LearnedScorer
from mollm.routing.models import belongs, evidence_of, familiarity_of
from tests.fuzz import cases
from tests.routing.fitted import ngrams_of

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
def scorer() -> LearnedScorer:
    """Ours, fitted on the texts."""
    return LearnedScorer.fit(EXAMPLES, fallback="other")


@pytest.fixture(scope="module")
def vectorizers() -> list[Any]:
    """Scikit-learn's own for words and for characters, fitted on the same texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD, sublinear_tf=True)
    chars = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return [words.fit(TEXTS), chars.fit(TEXTS)]


MASK = 2**64 - 1


def mixed(value: int) -> int:
    """The finish of SplitMix64, in plain numbers."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
    return value ^ value >> 31


def hash_of_words(gram: str) -> int:
    """The bits of a word, or of two with a space between them."""
    words = [
        sum(mixed(ord(letter) + place * 0x9E3779B97F4A7C15 & MASK) for place, letter in enumerate(word)) & MASK
        for word in gram.split(" ")
    ]
    return words[0] if len(words) == 1 else mixed(words[0]) + words[1] & MASK


def hash_of_characters(gram: str) -> int:
    """The bits of a run of characters."""
    value = mixed(ord(gram[0]))
    for letter in gram[1:]:
        value = (value ^ ord(letter)) * 0xBF58476D1CE4E5B9 & MASK
        value ^= value >> 32
    return value


HASHES = (hash_of_words, hash_of_characters)


def known(block: Block, ngrams: Any, text: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], float]:
    """Rows and weights of the n-grams in `text` that `block` knows, and the length of all of them."""
    rows, weights = block.weigh(ngrams(normalize(text)))
    is_known = rows < len(block.idf) - 1
    return rows[is_known], weights[is_known], float(np.linalg.norm(weights))


@pytest.fixture(scope="module")
def columns(vectorizers: list[Any]) -> list[np.ndarray[Any, Any]]:
    """For each of our rows, the column in which scikit-learn has the same n-gram."""
    order = []
    for hash_of, vectorizer in zip(HASHES, vectorizers, strict=True):
        hashes = np.array([hash_of(gram) for gram in vectorizer.get_feature_names_out()], dtype=np.uint64)
        order.append(np.argsort(hashes))
    return order


def test_vocabulary_and_idf_are_those_of_scikit_learn(
    scorer: LearnedScorer, vectorizers: list[Any], columns: list[Any]
) -> None:
    """The same n-grams, each by its 64 bits, with the same inverse document frequency."""
    for block, vectorizer, hash_of, column in zip(ngrams_of(scorer).blocks, vectorizers, HASHES, columns, strict=True):
        assert block.hashes[:-1].tolist() == sorted(map(hash_of, vectorizer.get_feature_names_out()))
        np.testing.assert_allclose(block.idf[:-1], vectorizer.idf_[column], rtol=1e-12)


@given(text=queries)
@settings(max_examples=cases(300))
def test_an_ngram_is_its_bits_wherever_it_stands(vectorizers: list[Any], text: str) -> None:
    """What is worked out for a whole text at once is what each of its n-grams gives by itself."""
    for ngrams, vectorizer, hash_of in zip((word_ngrams, char_ngrams), vectorizers, HASHES, strict=True):
        theirs = [hash_of(gram) for gram in vectorizer.build_analyzer()(text)]

        assert sorted(ngrams(text.lower()).tolist()) == sorted(theirs)


@given(text=queries)
@settings(max_examples=cases(300))
def test_any_text_becomes_the_same_vector_as_in_scikit_learn(
    scorer: LearnedScorer, vectorizers: list[Any], columns: list[Any], text: str
) -> None:
    """Whatever the text, both blocks equal scikit-learn's TF-IDF to rounding."""
    for ngrams, block, vectorizer, column in zip(NGRAMS, ngrams_of(scorer).blocks, vectorizers, columns, strict=True):
        rows, weights, _ = known(block, ngrams, text)
        ours = np.zeros(len(column))
        ours[column[rows]] = weights / (np.linalg.norm(weights) or 1.0)
        theirs = vectorizer.transform([text]).toarray()[0]

        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@given(text=queries)
@settings(max_examples=cases(100))
def test_scores_are_those_of_scikit_learn(scorer: LearnedScorer, vectorizers: list[Any], text: str) -> None:
    """Deciding with numpy gives what scikit-learn's separator and naive Bayes give for the same features.

    Each block counts in proportion to how much of the text's weight is known.
    """
    from sklearn.naive_bayes import ComplementNB
    from sklearn.svm import LinearSVC

    coverage = []
    for ngrams, block in zip(NGRAMS, ngrams_of(scorer).blocks, strict=True):
        _, weights, length = known(block, ngrams, text)
        coverage.append(np.linalg.norm(weights) / length if length else 0.0)
    training = np.hstack([vectorizer.transform(TEXTS).toarray() for vectorizer in vectorizers])
    machine = LinearSVC(C=1.0, class_weight="balanced", max_iter=20_000, tol=1e-2, random_state=0)
    machine.fit(training, LABELS)
    bayes = ComplementNB(alpha=0.1).fit(training, LABELS)

    query = np.hstack([share * v.transform([text]).toarray() for share, v in zip(coverage, vectorizers, strict=True)])
    evidence = query @ bayes.feature_log_prob_.T
    margins = machine.decision_function(query) + fitting.COUNTED * (evidence - evidence.mean())

    ours, familiarity = scorer.model.measure(text)
    np.testing.assert_allclose(ours, belongs(margins[0], ngrams_of(scorer).slope), atol=5e-3)
    words = {gram for gram in vectorizers[0].build_analyzer()(text) if " " not in gram}
    familiar = len(words & set(vectorizers[0].get_feature_names_out())) / max(1, len(words))
    evidence = evidence_of(float(margins.max()), float(coverage[0]) ** 2)
    wanted = float(familiarity_of(evidence, familiar)) if any(coverage) else 0.0
    assert familiarity == pytest.approx(wanted, abs=2e-3)


@given(middle=st.text(min_size=1, max_size=50))
@settings(max_examples=cases(50))
def test_only_the_ends_of_a_long_text_count(middle: str) -> None:
    """A text keeps its first and its last thousand characters; what lies between changes nothing."""
    head, tail = "how do I " * 200, "change a tyre " * 100

    assert normalize(head + middle + tail) == normalize(head + tail)
    assert len(normalize(head + middle + tail)) == 2 * EDGE + 1
