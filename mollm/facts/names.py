"""Names in a text: by their capitals, or by quotation marks in scripts that have none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import category

from mollm.facts.base import Fact

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*+")  # noqa: RUF001 - the apostrophe of typesetting
_LETTERS = re.compile(r"[^\W\d_]+")
_QUOTED = re.compile(
    "「([^「」\n\x00]{1,40})」|『([^『』\n\x00]{1,40})』|《([^《》\n\x00]{1,40})》|“([^“”\n\x00]{1,40})”|«([^«»\n\x00]{1,40})»"
)
_QUOTES = frozenset("「『《“«")
_STARTS = re.compile(r"[.!?:;…\n\"“”«»„‚「『(\[#|>。！？：；।؟۔\u2014\u2013]")  # noqa: RUF001
_LINKS = (" ", "-", " **", "** ", " *", "* ", "_", " _")
_OF_GERMAN = (
    "der die das und ist nicht ein eine einen einer mit für auf von den dem des zu im wird sind werden auch als oder"
)
_GERMAN = frozenset(_OF_GERMAN.split())
_GERMAN_SHARE = 0.12
"""Of the words of a text; with so many of German it is German, in which every noun has a capital."""
_STRESSED = (
    "a all also always an and any are as at be both but by can cannot did do does done each else end every false"
    " for from get has have here how if important in into is it its let max may min more most must never no none"
    " not note now of off ok on once one only or other our per please should so some than that the their then"
    " there these they this to todo total true two until up use very was we what when where which while who why"
    " will with without yes you your warning caution"
)
_SHOUTED = frozenset(_STRESSED.split())
_MAX_WORDS = 5
"""Longest run of capitals that is a name: what is longer is a headline."""


def names_in(text: str) -> Iterator[Fact]:
    """The names in `text`: words with a capital that do not begin a sentence, acronyms, and what is in quotation marks.

    The key of several words is the last of them, since `Marie Curie` is `Curie` further on. German, where every noun
    has a capital, has no names; headlines and labels at the beginning of a line have none either.
    """
    for found in _QUOTED.finditer(text) if _QUOTES & set(text) else ():
        inner = next(filter(None, found.groups()), "").strip()
        if inner and any(category(character) == "Lo" for character in inner):
            yield Fact("name", " ".join(inner.casefold().split()), inner)
    words = list(_WORD.finditer(text))
    if sum(word[0] in _GERMAN for word in words) > _GERMAN_SHARE * len(words):
        return
    at = 0
    while at < len(words):
        if not words[at][0][0].isupper():
            at += 1
            continue
        end = at + 1
        while end < len(words) and words[end][0][0].isupper() and _links(text, words, at, end):
            end += 1
        yield from _name(text, words, at, end)
        at = end


def _links(text: str, words: list[re.Match[str]], at: int, end: int) -> bool:
    """Whether the word at `end` belongs to the name that begins at `at`; `John F. Kennedy` is one."""
    gap = text[words[end - 1].end() : words[end].start()]
    return gap in _LINKS or (gap == ". " and len(words[end - 1][0]) == 1 and end - at > 1)


def _name(text: str, words: list[re.Match[str]], at: int, end: int) -> Iterator[Fact]:
    before = text[words[at - 1].end() if at else 0 : words[at].start()]
    starts = at == 0 or _STARTS.search(before) is not None
    after = text[words[end - 1].end() : words[end].start() if end < len(words) else len(text)]
    is_label = starts and (end == len(words) or re.match(r"[*_ ]*[:\n]", after) is not None)
    last = words[end - 1][0]
    pieces = _LETTERS.findall(re.sub(r"['’]s\Z", "", last))  # noqa: RUF001
    key = pieces[-1].casefold() if pieces else ""
    is_acronym = last.isupper() and key not in _SHOUTED
    if end - at > _MAX_WORDS or is_label or len(key) < 2 or (last.isupper() and not is_acronym):
        return
    if starts and end - at == 1 and not is_acronym:
        return
    first = at + 1 if starts and end - at > 1 and words[at][0].casefold() in _SHOUTED else at
    yield Fact("name", key, re.sub(r"['’]s\Z", "", text[words[first].start() : words[end - 1].end()]))  # noqa: RUF001


def words_of(text: str) -> frozenset[str]:
    """The words of a text, in lower case."""
    return frozenset(_LETTERS.findall(text.casefold()))


def stands(fact: Fact, words: frozenset[str], folded: str) -> bool:
    """Whether a name is among the `words` of an answer, inflected or not, or in all of it, where it was quoted."""
    if fact.key in words or (not fact.key.isalpha() and fact.key in folded):
        return True
    if any(category(character) == "Lo" for character in fact.key):
        return fact.key in folded
    stem = fact.key[: max(4, len(fact.key) - 2)]
    return len(fact.key) > 4 and any(word.startswith(stem) for word in words)
