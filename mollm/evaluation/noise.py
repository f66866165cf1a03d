"""The same question as others would write it: with typos, in capitals, with a greeting before it.

What it asks for stays what it is, so a router that then picks another mixture is easily moved. Everything is drawn
by a seed and the text itself: a question is changed in the same way wherever it stands.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIXES: Final = (
    "Hi, ",
    "Hello! ",
    "Please help: ",
    "Quick question: ",
    "Sorry to bother you, but ",
    "Hey there, one thing: ",
    "Could you tell me this? ",
    "I hope you can help me. ",
)
LETTERS_A_TYPO: Final = 30
"""A question has one typo, and another one for each so many characters."""
SHORTEST: Final = 4
"""Letters of a word that may get a typo; without its letters a shorter one is another word."""
_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBORS: Final = {
    letter: row[max(0, place - 1) : place] + row[place + 1 : place + 2]
    for row in _ROWS
    for place, letter in enumerate(row)
}
"""Letters that lie beside one on a keyboard."""


def typos(text: str, seed: int = 0) -> str:
    """Swap, drop, double or mistype letters, no first and no last one of a word of four letters or more."""
    draw = _draw("typos", text, seed)
    for _ in range(1 + len(text) // LETTERS_A_TYPO):
        places = [place for start, end in _words(text) for place in range(start + 1, end - 2)]
        if not places:
            break
        place = draw.choice(places)
        letter, following = text[place], text[place + 1]
        beside = _NEIGHBORS.get(letter.lower(), letter)
        wrong = draw.choice(
            (following + letter, following, letter + letter + following, draw.choice(beside) + following)
        )
        text = text[:place] + wrong + text[place + 2 :]
    return text


def upper(text: str, seed: int = 0) -> str:  # noqa: ARG001 - as every kind
    """Write it in capitals."""
    return text.upper()


def lower(text: str, seed: int = 0) -> str:  # noqa: ARG001 - as every kind
    """Write it without capitals."""
    return text.lower()


def prefixed(text: str, seed: int = 0) -> str:
    """Put one of `PREFIXES` before it."""
    return _draw("prefix", text, seed).choice(PREFIXES) + text


KINDS: Final[dict[str, Callable[[str, int], str]]] = {
    "typos": typos,
    "upper case": upper,
    "lower case": lower,
    "prefix": prefixed,
}
"""By the name under which it is reported."""


def _draw(kind: str, text: str, seed: int) -> random.Random:
    return random.Random(f"{seed} {kind} {text}")  # noqa: S311 - nothing secret


def _words(text: str) -> list[tuple[int, int]]:
    """Where words of `SHORTEST` letters or more begin and end."""
    found, start = [], 0
    for place in range(len(text) + 1):
        if place == len(text) or not text[place].isalpha():
            if place - start >= SHORTEST:
                found.append((start, place))
            start = place + 1
    return found
