"""What a last line concludes, or a short reply states, without any mark."""

from __future__ import annotations

import re

from mollm.final.canonical import MAX_CHARS, canonical, unwrap
from mollm.final.forms import Form
from mollm.final.marks import LABELLED_WORDS
from mollm.final.notation import typed
from mollm.final.numbers import number
from mollm.final.phrases import CONCLUDES, ENDING
from mollm.final.reading import ASSERTION, EMPHASIZED, GOES_ON, value_at
from mollm.final.sentences import first_sentence, plain_text
from mollm.final.statements import PREDICATE, stated

_TOTALS = re.compile(r"\b(?:total|altogether|left|remain\w{0,3}|in all|so(?!\sthat)|therefore|thus|hence)\b|=", re.I)
_SUMS_UP = re.compile(r"\b(?:altogether|left|remaining|in (?:all|total)|total of)\b", re.I)
_ALONE = re.compile(r"(?:\*\*\*?|__)([-\u2212$€£¥(\[{0-9][^*\n]{0,60})(?:\*\*\*?|__)[.]?")
_NOTHING_MORE = re.compile(r"[*_]{0,3}[.!]?\s?\Z")
_JUDGED = re.compile(r"(?:the|this|that) (?:statement|claim|proposition|hypothesis|sentence) is (true|false)", re.I)
_SO = re.compile(r"(?:,|;)\s(?:and\s)?(?:so|thus|therefore|hence)\s")
_EQUATION = re.compile(r"((?:[^<>!]|!(?!=))*)(?<![<>!=])=([^=<>]*)")
_SEVERAL = re.compile(r",(?![0-9]{3}(?![0-9]))|;|\band\b|\bor\b")
_RECKONING = re.compile(r"[0-9]\s?(?:[-+*/\u00d7÷]|\\times|\\cdot)\s?\$?[0-9]")
_FORMULA = re.compile(r"[=<>≤≥∈$\\]")


def concluded(line: str) -> Form | None:
    """Return the number in which a last line concludes: `= 42`, `So she earns **$18** a day.`"""
    if len(line) > 2 * MAX_CHARS:
        return None
    if "==" in line and (asserted := ASSERTION.match(line)):
        return value_at(asserted[1], 0, LABELLED_WORDS)
    if (alone := _ALONE.fullmatch(line)) and (value := canonical(alone[1], 0)):
        return value
    conclusion = CONCLUDES.match(line) or _SO.search(line)
    rest = line[conclusion.end() :] if conclusion else line
    emphasized = [
        found
        for found in EMPHASIZED.finditer(line)
        if line[found.start()] != "`" and number(typed(unwrap(found[found.lastindex or 0])))
    ]
    if len(emphasized) == 1 and (conclusion or _TOTALS.search(line) or _ends_in(line, emphasized[0])):
        found = emphasized[0]
        goes_on = GOES_ON.match(line, found.end())
        return None if goes_on else number(typed(unwrap(found[found.lastindex or 0])))
    if len(rest) > MAX_CHARS or not (conclusion or "=" in rest or _SUMS_UP.search(rest)):
        return None
    plain = ENDING.sub("", first_sentence(plain_text(rest))[0])
    if conclusion and (judged := _JUDGED.fullmatch(plain)):
        return Form(judged[1].casefold())
    if conclusion and (value := number(typed(unwrap(plain))) or _letter(plain)):
        return value
    if (equation := _EQUATION.fullmatch(plain)) and not _SEVERAL.search(plain):
        left, right = equation.groups()
        is_reckoned = conclusion or "=" in left or _RECKONING.search(left)
        value = number(typed(unwrap(plain)))
        return value or ((number(typed(unwrap(right))) or stated(f"={right}")) if is_reckoned else None)
    if conclusion and _FORMULA.search(rest) and (value := canonical(plain, 0)):
        return value
    return stated(first_sentence(rest)[0]) if (conclusion or _SUMS_UP.search(plain)) and not emphasized else None


def _ends_in(line: str, emphasized: re.Match[str]) -> bool:
    """Say whether the line is a statement that ends in the emphasized value: `..., leaving him with **$31.75**.`"""
    ends = _NOTHING_MORE.match(line, emphasized.end()) is not None
    return ends and PREDICATE.search(plain_text(line[: emphasized.start()]) + " ") is not None


def _letter(text: str) -> Form | None:
    letter = re.fullmatch(r"(?:option |choice |answer )?\(?([A-J])\)?\.?", text)
    return Form(letter[1].casefold()) if letter else None
