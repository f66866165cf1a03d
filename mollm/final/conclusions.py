"""What a last line concludes, or a short reply states, without any mark."""

from __future__ import annotations

import re

from mollm.final.canonical import MAX_CHARS, canonical, unwrap
from mollm.final.forms import Form
from mollm.final.notation import typed
from mollm.final.numbers import number
from mollm.final.phrases import CONCLUDES
from mollm.final.reading import EMPHASIZED, GOES_ON, first_sentence, plain_text
from mollm.final.units import CHANGING

_FIGURE = re.compile(r"(?<![\w^.,/])[-\u2212]?(?:[$€£¥₹]\s?)?[0-9][0-9,]*+(?:\.[0-9]+)?(?:/[0-9]+)?%?")
_TOTALS = re.compile(r"\b(?:total|altogether|left|remain\w{0,3}|in all|so(?!\sthat)|therefore|thus|hence)\b|=", re.I)
_TOLD = re.compile(r":|\byou\b|\bI\b")
_PREDICATE = re.compile(
    r"(?:\b(?:ha[sd]|have|is|are|was|were|be|ma[dk]es?|pa(?:ys|id)|pay|costs?|earn(?:s|ed)?|gets?|got|needs?"
    r"|needed|sells|sold|spen(?:ds|t)"
    r"|saves?|saved|takes|took|gives|gave|equals?|total(?:s|ed|ing)?|weighs?|leaves|left|remains?|receive[sd]?"
    r"|collect(?:s|ed)"
    r"|drives?|drove|travel(?:s|ed)|ate|eats|b(?:ought|uys)|reads?|walk(?:s|ed)|used?|uses|owes?|contains?"
    r"|holds?|produce[sd]?"
    r"|obtain|find|(?:that|it|which|there)'s|ends? up with|measures?|lasts?|covers?|requires?|worth|(?:total|sum"
    r"|profit|cost|price|amount|average|distance|speed|area|rate) of"
    r"|(?:travel|driv|mov|go|run|fl)\w{1,4} at)|(?<![<>!=])=)\s(?:(?:about|approximately|exactly|only|just"
    r"|a total of)\s)?\Z",
    re.I,
)
_HARMLESS = frozenset(("left", "in", "at", "on", "for", "with", "as", "and", "this", "every", "each", "per", "a", "an"))
"""Words behind a number that leave it as it is."""
_SO = re.compile(r"(?:,|;)\s(?:and\s)?(?:so|thus|therefore|hence)\s")
_EQUATION = re.compile(r"([^<>!]*)(?<![<>!=])=([^=<>]*)")
_SEVERAL = re.compile(r",\s|\band\b|\bor\b")
_RECKONING = re.compile(r"[0-9]\s?(?:[-+*/\u00d7÷]|\\times|\\cdot)\s?\$?[0-9]")
_FORMULA = re.compile(r"[=<>≤≥∈$\\]")


def concluded(line: str) -> Form | None:
    """Return the number in which a last line concludes: `= 42`, `So she earns **$18** a day.`"""
    if len(line) > 2 * MAX_CHARS:
        return None
    conclusion = CONCLUDES.match(line) or _SO.search(line)
    rest = line[conclusion.end() :] if conclusion else line
    emphasized = [
        found
        for found in EMPHASIZED.finditer(line)
        if line[found.start()] != "`" and number(typed(unwrap(found[found.lastindex or 0])))
    ]
    if len(emphasized) == 1 and (conclusion or _TOTALS.search(line)):
        found = emphasized[0]
        goes_on = GOES_ON.match(line, found.end())
        return None if goes_on else number(typed(unwrap(found[found.lastindex or 0])))
    if len(rest) > MAX_CHARS or not (conclusion or "=" in rest):
        return None
    plain = first_sentence(plain_text(rest))[0]
    if conclusion and (value := number(typed(unwrap(plain))) or _letter(plain)):
        return value
    if (equation := _EQUATION.fullmatch(plain)) and not _SEVERAL.search(plain):
        left, right = equation.groups()
        is_reckoned = conclusion or "=" in left or _RECKONING.search(left)
        value = number(typed(unwrap(plain)))
        return value or ((number(typed(unwrap(right))) or stated(f"={right}")) if is_reckoned else None)
    if conclusion and _FORMULA.search(rest) and (value := canonical(plain, 0)):
        return value
    return stated(plain) if conclusion and not emphasized else None


def _letter(text: str) -> Form | None:
    letter = re.fullmatch(r"(?:option |choice |answer )?\(?([A-J])\)?\.?", text)
    return Form(letter[1].casefold()) if letter else None


def stated(sentence: str) -> Form | None:
    """Return the only number of a sentence like `Tom has 18 marbles left`, with what it counts."""
    sentence = plain_text(sentence)
    figures = list(_FIGURE.finditer(sentence))
    if len(figures) != 1 or _TOLD.search(sentence) or not _PREDICATE.search(sentence, 0, figures[0].start()):
        return None
    words = sentence[figures[0].start() :].split(" ")
    for count in range(min(5, len(words)), 0, -1):
        if value := number(typed(" ".join(words[:count]).rstrip(",."))):
            following = "".join(words[count : count + 1]).strip(",.")
            is_read = value.unit and not CHANGING.fullmatch(following)
            return value if is_read or not following or following in _HARMLESS else None
    return None
