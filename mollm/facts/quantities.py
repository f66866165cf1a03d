"""Numbers in a text, in the digits of every script."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import category, decimal

from mollm.facts.base import GONE, Fact
from mollm.facts.readings import RUN, is_one, number_of, parts
from mollm.final.numbers import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_DIGITS = 40
"""Longest number that is read: what is longer is data."""

_PLAIN = {
    "\u066b": ".", "\u066c": ",", "\u066a": "%", "\uff05": "%", "\uff0e": ".", "\uff0c": ",", "\u2212": "-",
    "\uff0d": "-", "\u2019": "'",
}  # fmt: skip
_IN_LATEX = re.compile(r"\{([,.])\}|([,.])\\[!,]|\\(?=[%$])")
_SCALE = (
    r"\s?(?:%|per\s?cent(?!\w)|Prozent(?!\w)|процент\w{0,3}|por ciento|por cento|pour cent)"
    r"|\s(?:hundred|thousand|million|billion|trillion|lakh|crore)(?!\w)|\s?[万萬만亿億억]|[kKMB](?!\w)"
)
_NUMBER = re.compile(
    rf"(?P<run>{RUN})(?:/(?P<under>[0-9]{{1,9}}+)(?![/.,]?[0-9]))?(?P<power>[eE][-+]?[0-9]{{1,3}}(?![0-9a-zA-Z]))?"
    rf"(?P<scale>{_SCALE})?"
)
_FRACTION = re.compile(r"\\[dtc]?frac\s?\{?(-?[0-9]{1,9})\}?\s?\{?([0-9]{1,9})\}?")
_MONEY = re.compile(r"[$€£¥₹₩₽]\s?\Z")
_POINTED = re.compile(r"-?(?:[$€£¥₹₩₽]\s?)?\.")
_UNIT = re.compile(r"[A-Za-z]{1,5}(?!\w)")
_MARKER = re.compile(r"[ \t>#*+-]{0,12}\(?[0-9]{1,3}[.):](?=[\s*])")
_CITED = re.compile(r"\[[0-9]{1,3}\]")
_COUNTING = (
    "step case option part figure fig fig. table section chapter equation eq eq. line method approach example question"
    " answer solution proposal problem note way point item no. # nr. schritt fall étape paso passo шаг"
)
_LABELS = frozenset(_COUNTING.split())
"""Words in front of a number that only counts."""
_BRACKETS = " $(){}_\t"
_OPERATORS = tuple("+*/=^<>×÷·⋅∗∙≈≤≥±√\\")  # noqa: RUF001 - what stands in texts
_NEAR = 14
"""Characters before a number that say what it is."""

_ENGLISH = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion"
)
_SPELLED = frozenset(_ENGLISH.split())
_IN_WORDS = re.compile(rf"(?<!\w)(?:(?:{'|'.join(sorted(_SPELLED))}|and)(?!\w)[\s-]?){{1,12}}+", re.I)
_WORDS = {
    word: value
    for value, words in {
        "0": "none no nothing free", "1": "once single first each a an", "2": "twice double doubled both pair second",
        "3": "thrice triple third", "12": "dozen", "0.5": "half halves halved", "0.25": "quarter",
    }.items()
    for word in words.split()
}  # fmt: skip
"""What may stand for a small number in English."""


def plain(text: str) -> str:
    """Write digits, and the signs beside them, as on a keyboard: each character stays one."""
    if text.isascii():
        return text
    characters = set(text)
    digits = {ord(c): str(decimal(c)) for c in characters if c > "\x7f" and c.isdecimal()}
    signs = {ord(c): _PLAIN[c] for c in characters & _PLAIN.keys()}
    return text.translate(digits | signs) if digits or signs else text


def typed(text: str) -> str:
    """Write numbers as on a keyboard: as `plain`, and without what LaTeX adds."""
    return _IN_LATEX.sub(r"\1\2", plain(text))


def numbers_in(text: str) -> Iterator[Fact]:
    """The numbers that `text`, which is `typed`, says, without what only counts its parts: `Step 2`, `3.`, `[4]`."""
    lines = [_without_marker(line) for line in _CITED.sub(GONE, text).split("\n")]
    text = "\n".join(lines)
    if "frac" in text:
        for found in _FRACTION.finditer(text):
            yield from _as_steps(number_of(f"{found[1]}/{found[2]}", found[0]))
        text = _FRACTION.sub(GONE, text)
    for found in _NUMBER.finditer(text):
        yield from _said(text, found)


def _without_marker(line: str) -> str:
    found = _MARKER.match(line)
    return GONE + line[found.end() :] if found else line


def _as_steps(facts: Iterable[Fact]) -> Iterator[Fact]:
    return (fact._replace(kind="step") for fact in facts)


def _said(text: str, found: re.Match[str]) -> Iterator[Fact]:
    """The number that stands here, unless it is part of a word, an index or an exponent, or only counts something."""
    run, end = found["run"], found.end()
    shown, before, sign = _signed(found[0], text[max(0, found.start() - _NEAR) : found.start()])
    last = before[-1:]
    if len(run) > MAX_DIGITS or sign is None or _is_of_word(last) or last in ("_", "^") or before[-2:] in ("^{", "_{"):
        return
    if last == " " and before.split(" ")[-2].strip("(*").casefold() in _LABELS:
        return
    if not is_one(run):
        facts = tuple(fact for part in parts(run) for fact in number_of(part, part))
    elif _ends(text, end):
        facts = number_of(_core(found, is_decimal=_POINTED.match(shown) is not None), shown.strip(), sign)
    else:
        return
    is_step = _is_worked_out(before, text[end : end + _NEAR])
    yield from _as_steps(facts) if is_step else facts


def _signed(shown: str, before: str) -> tuple[str, str, str | None]:
    """A number with the signs in front of it, what stands before those, and its sign: `?` if it may have one.

    None as the sign: a hyphen joins it to a word, as in `GPT-4`.
    """
    if before[-1:] == "." and not before[-2:-1].isalnum():
        shown, before = f".{shown}", before[:-1]
    if money := _MONEY.search(before):
        shown, before = money[0] + shown, before[: money.start()]
    if before[-1:] != "-":
        return shown, before, ""
    before = before[:-1]
    last = before[-1:]
    if last.isdigit() or last == ")":
        return shown, f"{before}  ", ""  # a range, or a difference
    if _is_of_word(last):
        return shown, before, None
    bare = before.rstrip()
    is_clear = not bare or bare[-1] in "([{=:,$<>\u2248|*" or re.search(r"[^\W\d_]{2}\Z", bare)
    return f"-{shown}", before, "-" if is_clear else "?"


def _is_of_word(character: str) -> bool:
    """Whether a word that ends in it goes on with digits; scripts without case put no space before a number."""
    return character.isalnum() and category(character) != "Lo"


def _ends(text: str, at: int) -> bool:
    """Whether a number ends at `at`; letters behind it may be its unit or its ordinal: `5cm`, `18th`, not `3D2f`."""
    end = text[at : at + 1]
    return end != "_" and (not end.isalpha() or not end.isascii() or _UNIT.match(text, at) is not None)


def _core(found: re.Match[str], *, is_decimal: bool = False) -> str:
    run = found["run"]
    if found["under"]:
        return f"{run}/{found['under']}" if run.isdigit() else run
    return f"{'.' * is_decimal}{run}{found['power'] or ''}{found['scale'] or ''}"


def _is_worked_out(before: str, after: str) -> bool:
    """Whether a number stands beside an operator; the stars of emphasis, bullets and ranges are none."""
    while before[-1:] == after[:1] == "*":
        before, after = before[:-1], after[1:]
    before, after = before.replace("**", "").rstrip(_BRACKETS), after.replace("**", "").lstrip(_BRACKETS)
    is_bullet = before.rstrip("*+- ")[-1:] in ("", "\n")
    if before.endswith((*_OPERATORS, " -")) and not is_bullet:
        return True
    return after.startswith((*_OPERATORS, "- "))


def values_in(text: str) -> set[str]:
    """Every value of a number that `text`, which is `typed`, may be read to say; English words count as well."""
    values: set[str] = set()
    for found in _FRACTION.finditer(text) if "frac" in text else ():
        values |= _keys(number_of(f"{found[1]}/{found[2]}"))
    for found in _NUMBER.finditer(text):
        if len(found["run"]) <= MAX_DIGITS:
            values |= _any_value(found, text[max(0, found.start() - 3) : found.start()])
    words = set(re.findall(r"[a-z]+", text.casefold()))
    values |= {_WORDS[word] for word in words & _WORDS.keys()}
    return values | _spelled(text) if words & _SPELLED else values


def _any_value(found: re.Match[str], before: str) -> set[str]:
    run, sign = found["run"], "?" if "-" in before else ""
    keys = _keys(number_of(_core(found), "", sign)) if is_one(run) else set()
    if before[-1:] == ".":
        keys = keys | _keys(number_of(_core(found, is_decimal=True), "", sign))
    if found["under"]:
        keys = keys | _keys(number_of(found["under"]))
    return keys if run.isdigit() and not found["under"] else keys.union(*map(_keys, map(number_of, parts(run))))


def _spelled(text: str) -> set[str]:
    runs = {" ".join(found[0].replace("-", " ").casefold().split()) for found in _IN_WORDS.finditer(text)}
    runs |= {word for run in runs for word in run.split()}
    return {str(form) for run in runs if (form := number(run, is_bare=True))}


def _keys(facts: tuple[Fact, ...]) -> set[str]:
    return {key for fact in facts for key in (fact.key, *fact.also)}
