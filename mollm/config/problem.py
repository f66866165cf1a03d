"""Something wrong with a configuration, and the words it is told in."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from mollm.config.places import KeyPath

LLMS: KeyPath = ("llms",)
MIXTURES: KeyPath = ("mixtures",)


class Problem(NamedTuple):
    """Something wrong, and what had to be read to know it."""

    key: KeyPath
    """Where it is to be mended."""
    text: str
    reads: Sequence[KeyPath]
    """The keys it follows from; where one of them could not be read, nobody knows whether it is a problem."""
    wants_text: bool = False
    """Text would be right in place of what stands there."""

    def follows_from(self, gaps: Collection[KeyPath]) -> bool:
        """It may be there only because of what could not be read at these keys."""
        return any(key[:length] in gaps for key in self.reads for length in range(len(key) + 1))


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Suggest the nearest of the `allowed` words, or list them all."""
    words = list(allowed)
    close = difflib.get_close_matches(word, words, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; allowed: {', '.join(words)}" if words else ""


def unknown_llm(key: KeyPath, llm: str, llms: Iterable[str]) -> Problem:
    """The problem that a key names an LLM that is none of `llms`."""
    return Problem(key, f"no LLM {llm!r}{nearest(llm, llms)}", [key, LLMS])


def one_of(words: Sequence[str]) -> str:
    """Write `'a', 'b' or 'c'`."""
    *before, last = map(repr, words)
    return f"{', '.join(before)} or {last}" if before else last


def refusal(parse: Callable[[str], object], text: str) -> str | None:
    """Why a text cannot be parsed; None if it can."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None
