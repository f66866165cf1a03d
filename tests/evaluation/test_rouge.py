"""ROUGE by the figures of the package that papers use, and by what it leaves out."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.evaluation.rouge import common_subsequence, rouge_l, rouge_n, words_of


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [  # by rouge-score 0.1.2, without stemming
        ("the cat sat on the mat", "the cat lay on a mat", (0.6666666666666666, 0.2, 0.6666666666666666)),
        ("police killed the gunman", "the gunman police killed", (1.0, 0.6666666666666666, 0.5)),
        ("Hello, World! It's 42.", "hello world, its 42", (0.6666666666666666, 0.2857142857142857, 0.6666666666666666)),
        ("a a a b", "a b b", (0.5714285714285714, 0.4, 0.5714285714285714)),
        ("one", "one", (1.0, 0.0, 1.0)),
        ("x", "y", (0.0, 0.0, 0.0)),
        (
            "snake_case and e-mail: a.b@c.d",
            "snake case and email a b c d",
            (0.8235294117647058, 0.6666666666666666, 0.8235294117647058),
        ),
    ],
)
def test_the_figures_are_those_of_the_package_that_papers_use(
    text: str, reference: str, expected: tuple[float, ...]
) -> None:
    """F1 of ROUGE-1, -2 and -L."""
    found = (rouge_n(text, reference, 1), rouge_n(text, reference, 2), rouge_l(text, reference))

    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ψάξε, ΔΈΚΑ!", ["ψάξε", "δέκα"]),
        ("Cafe\u0301 Straße", ["café", "straße"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("北京是中国的首都", list("北京是中国的首都")),
        ("東京タワー 333m", [*"東京タワー", "333m"]),
        ("…?!", []),
    ],
)
def test_words_are_found_in_any_script(text: str, words: list[str]) -> None:
    """Marks belong to their letters, and where no spaces are written each character is a word."""
    assert words_of(text) == words
    assert not words or rouge_n(text, text, 1) == rouge_l(text, text) == 1.0


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_the_longest_common_subsequence_is_that_of_the_textbook(one: list[str], other: list[str]) -> None:
    """Bits of a number in place of a row of the table."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])

    assert common_subsequence(one, other) == table[-1][-1]


def test_two_long_texts_take_no_minutes() -> None:
    """100 KB each."""
    one, other = (" ".join(str(n * step % 3001) for n in range(21_000)) for step in (7, 11))
    assert min(len(one), len(other)) > 95_000
    begun = time.process_time()

    found = rouge_l(one, other)

    assert 0.0 < found < 1.0
    assert time.process_time() - begun < 5.0
