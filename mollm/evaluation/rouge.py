"""ROUGE: how much of the words of a text another one has (Lin: ROUGE, a package for automatic evaluation, 2004).

The figures are those of the package `rouge-score` without stemming, but for text that is not in ASCII: that package
drops every character but a to z and 0 to 9, and so gives two different sentences in Greek the score of two empty ones.
Here a word is a run of letters, digits and their marks in any script, and each character of a script that is written
without spaces between words (Chinese characters and kana) is a word of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ASCII_WORDS = re.compile(r"[a-z0-9]+")
ALONE = re.compile("([\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
"""Characters that are words of their own."""


def words_of(text: str) -> list[str]:
    """The words of a text in small letters, without punctuation; nothing is stemmed, and no word is left out."""
    lower = text.lower()
    if lower.isascii():
        return ASCII_WORDS.findall(lower)
    normal = unicodedata.normalize("NFC", lower)
    kept = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in normal)
    return ALONE.sub(r" \1 ", kept).split()


def rouge_n(text: str, reference: str, n: int) -> float:
    """F1 of the n-grams that two texts have in common, each as often as in the one that has it less often.

    Args:
        text: What is scored.
        reference: What it is held against; the figure is the same the other way around.
        n: Words of an n-gram, at least 1.

    Returns:
        0 to 1; 0 where either has no n-gram.
    """
    ours, theirs = (Counter(_n_grams(words_of(given), n)) for given in (text, reference))
    return _f1((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(text: str, reference: str) -> float:
    """F1 of the longest common subsequence of words; each text is one sequence, and is not cut into sentences.

    Two texts of 100 KB take a fraction of a second.

    Returns:
        0 to 1; 0 where either has no word.
    """
    ours, theirs = words_of(text), words_of(reference)
    return _f1(common_subsequence(ours, theirs), len(ours), len(theirs))


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    A row of the table is the bits of one number (Hyyrö: Bit-parallel LCS-length computation revisited, 2004), so each
    word of `other` costs a few operations on a number of as many bits as `one` has words.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    everything = row = (1 << len(one)) - 1
    for word in other:
        if matches := row & places.get(word, 0):
            row = (row + matches | row - matches) & everything
    return len(one) - row.bit_count()


def _n_grams(words: Sequence[str], n: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)


def _f1(common: int, ours: int, theirs: int) -> float:
    return 2 * common / (ours + theirs) if common else 0.0
