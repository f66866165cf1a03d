"""Questions as others would write them."""

from __future__ import annotations

import pytest

from mollm.evaluation import noise

TEXT = "Why do the brakes of my bicycle squeak when it rains in the morning?"


@pytest.mark.parametrize("kind", noise.KINDS)
def test_noise_is_the_same_for_the_same_seed(kind: str) -> None:
    """A figure can be measured again, wherever the question stands in its file."""
    assert noise.KINDS[kind](TEXT, 3) == noise.KINDS[kind](TEXT, 3)


def test_typos_are_few_and_other_ones_for_another_seed() -> None:
    """Short words, and the first and last letter of every word, stay as they are."""
    found = {noise.typos(TEXT, seed) for seed in range(20)}

    assert len(found) > 10
    for text in found:
        assert text != TEXT
        assert abs(len(text) - len(TEXT)) <= 1 + len(TEXT) // noise.LETTERS_A_TYPO
        words, before = text.split(), TEXT.split()
        assert [(w[0], w[-1]) for w in words] == [(w[0], w[-1]) for w in before]
        assert all(new == old for new, old in zip(words, before, strict=True) if len(old) < noise.SHORTEST)


@pytest.mark.parametrize("text", ["", "a b c", "为什么", "12 * 8?", "\U0001f600"])
def test_what_has_no_long_word_gets_no_typo(text: str) -> None:
    """Nothing is made of nothing."""
    assert noise.typos(text) == text


def test_a_prefix_says_nothing_about_the_question() -> None:
    """It stands before it, and is one of a list."""
    assert noise.prefixed(TEXT).removesuffix(TEXT) in noise.PREFIXES
