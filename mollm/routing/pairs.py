"""Pairs of mixtures that no router can separate, by what the configuration says of them."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from mollm.routing.likeness import Texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SAME_WORDS = 0.8
"""Share of the words of two descriptions that both have."""
SHARED = 0.25
"""Share of the examples of a mixture that another one has as well."""
LOOKED_AT = 80
"""Examples of each mixture that are compared; more bring the same and take longer."""
ENOUGH = 50
"""Examples from which on their words may be held against two mixtures; of a few, none may share a word."""
MOST = 40
"""Mixtures whose words are compared; it takes a second for so many."""
CHANCE = 0.6
"""Share of examples that are more like the others of their own mixture than like those of the other one. Two halves of
one mixture have 0.5 at most."""

_WORD = re.compile(r"\w+")


def inseparable(
    descriptions: Mapping[str, str], examples: Mapping[str, Sequence[str]], *, by_examples: bool = True
) -> Iterator[tuple[str, str, str]]:
    """Yield two mixtures and why they cannot be told apart, each pair once.

    Args:
        descriptions: By mixture.
        examples: Questions by mixture, of those that have some.
        by_examples: The router reads them; otherwise descriptions are all it has.
    """
    words = {name: frozenset(_WORD.findall(text.casefold())) for name, text in descriptions.items()}
    texts = {name: {_plain(text) for text in examples.get(name, ())} - {""} for name in descriptions}
    told = _told_apart({name: found for name, found in texts.items() if by_examples and len(found) >= ENOUGH})
    for one, other in combinations(descriptions, 2):
        both, either = words[one] & words[other], words[one] | words[other]
        shared, fewer = texts[one] & texts[other], min(len(texts[one]), len(texts[other]))
        if len(both) >= SAME_WORDS * len(either) and not (by_examples and texts[one] and texts[other]):
            yield one, other, "their descriptions say the same"
        elif not by_examples:
            continue
        elif shared and len(shared) >= SHARED * fewer:
            yield one, other, f"{len(shared)} of {fewer} examples stand in both"
        elif (share := told.get((one, other), 1.0)) <= CHANCE:
            yield one, other, f"by their words, {share:.0%} of their examples are told apart, where guessing brings 50%"


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _told_apart(texts: Mapping[str, set[str]]) -> dict[tuple[str, str], float]:
    """For each pair, the share of examples that are more like the others of their own mixture, each mixture alike."""
    names = list(texts)
    if not 2 <= len(names) <= MOST:
        return {}
    some = [_some(sorted(texts[name])) for name in names]
    labels = np.repeat(np.arange(len(names)), [len(found) for found in some])
    like = Texts([text for found in some for text in found]).to_groups(labels, len(names))
    shares = {}
    for one, other in combinations(range(len(names)), 2):
        right = [float((like[labels == a, a] > like[labels == a, b]).mean()) for a, b in ((one, other), (other, one))]
        shares[names[one], names[other]] = sum(right) / 2.0
    return shares


def _some(texts: list[str]) -> list[str]:
    """At most `LOOKED_AT` of them, evenly from all."""
    return [texts[round(at)] for at in np.linspace(0, len(texts) - 1, min(LOOKED_AT, len(texts)))]
