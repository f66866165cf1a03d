r"""The canonical form of a final answer, for comparing.

Two values are the same if and only if their forms are the same string. Numbers are exact (`1,000`, `1e3` and
`$1000.00` are `1000`; `\frac12` and `50%` are `0.5`; `2/6` is `1/3`), and keep the unit beside their form. The kind
and order of brackets are kept, sets and dictionaries are sorted, words lose case, articles and punctuation.
"""

from __future__ import annotations

import json
import re
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from mollm.final.dates import measure, moment
from mollm.final.forms import Form, blank, is_same
from mollm.final.notation import folded, typed
from mollm.final.numbers import number
from mollm.final.units import unit_after

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CHARS = 200
"""Longest candidate that is read as a number, an expression or words."""
MAX_LITERAL_CHARS, _MAX_STRING_CHARS = 4000, 80
"""Longest literal, and longest string inside one: what is longer is prose, and prose cannot be checked."""
_MAX_DEPTH = 20
"""Deepest nesting that is followed."""

BOX = re.compile(r"\\f?box(?:ed)?\s*+(?=\{)")
LINK = re.compile(r"\}(?:[\s$]|\\[()\[\]]){0,9}(?:,|,?\s?(?:and|(or)))(?:[\s$]|\\[()\[\]]){0,9}", re.I)
"""What joins two boxes to one answer."""
_NO_ANSWER = frozenset((
    "n/a", "n.a", "unknown", "unsure", "tbd", "not sure", "i don't know", "i do not know", "not available", "not given",
    "not applicable", "no answer", "not provided", "not specified",
))  # fmt: skip
"""What stands in the place of an answer where there is none; `none` and `no solution` are answers."""


_EMPTY = re.compile(r"""[\s*_`]{0,40}(?:'(\s{0,40})'|"(\s{0,40})")[\s*_`.]{0,9}""")
"""A literal of an empty or blank string."""


def canonical(raw: str, words: int) -> Form | None:
    """Return the canonical form of `raw`; None if it is not a value and has more than `words` words."""
    if len(raw) > MAX_LITERAL_CHARS:
        return None
    if empty := _EMPTY.fullmatch(raw):
        return blank(empty[1] or empty[2] or "")
    text = unwrap(raw)
    if raw.endswith(".") and re.fullmatch(r"(?:[A-Z]\.)+[A-Z]", text):
        text = text.replace(".", "")
    if letter := re.fullmatch(r"\[([A-J])\]", text):
        return Form(letter[1].casefold())
    found = compound(text, words, 0)
    return Form(found) if found else _scalar(text, words)


_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("'", "'"), ("«", "»"), ("「", "」"))
_SPACING = re.compile(r"\\(?:left|right)(?![a-zA-Z])|\\(?=[{}])")


def unwrap(text: str) -> str:
    """Take off emphasis, delimiters of mathematics, quotation marks, full stops and what stands before `=`."""
    for _ in range(4):
        text = text.strip('*_`"“”„ \t\n\u3000')
        bare = text.rstrip(".,;:。،؛।、 ")
        # The digits of `0.333...` go on.
        text = f"{bare}..." if text[len(bare) :].startswith("...") and re.search(r"\.[0-9]+\Z", bare) else bare
        for opening, ending in _DELIMITERS:
            if opening == "$" and text[:1] == text[-1:] == "$" and "$" in text[1:-1].replace("\\$", ""):
                text = text.replace("$", "")
            if text.startswith(opening) and text.endswith(ending) and len(text) > len(opening) + len(ending):
                text = text[len(opening) : -len(ending)]
        if text[:1] == "$" and text.count("$") % 2 and not re.match(r"\$\s?[-\u2212]?[0-9.]", text):
            text = text[1:]
        box = BOX.match(text)
        text = _right_hand_side((in_braces(text, box.end()) if box else "") or text)
    return _SPACING.sub("", text)


_LEFT_HAND_SIDE = re.compile(
    r"\s*+(?:\\?(?:[^\W\d_]++ ){0,3}\\?[^\W\d_]++'{0,2}(?:_\{?\w++\}?)?(?:\(\w\))?\s*+(?:∈|\\in(?![a-z])|=(?!=))"
    r"|(?:\\d?frac\{d\w?\}\{d\w\}|d\w/d\w)\s*+="
    r"|\(\w(?:,\s?\w)+\)\s*+=(?!=)|[\s0-9+\-*/^().,$%\u00d7]*+=(?![=>])"
    r"|(?i:(?:approximately|about|roughly|exactly|precisely|only|just|simply)(?=\s[-+$€£¥.\\0-9])|probably|likely"
    r"|(?:it|that|this|there|the\s(?!loss|deficit|debt|decrease|drop)\w+)\s+(?:is|are)(?!\s+an?\b))\s"
    r"|\\approx|\\therefore|\\implies|[≈~∴⇒→]|=>)\s*+"
)
_SEVERAL = re.compile(r",(?![0-9]{3}(?![0-9]))|;|\band\b|\bor\b|\\text")


def _right_hand_side(text: str) -> str:
    """`5` of `x = 5` and of `2 + 3 = 5`; an equation in its own right stays whole, and so do several."""
    left = _LEFT_HAND_SIDE.match(text)
    is_several = ("=" in text[left.end() :] and _SEVERAL.search(text)) or " or " in text if left else True
    return text if not left or is_several else text[left.end() :]


# A string without an end goes to the end of the text: to look for the end of each would take time squared.
_MARK = re.compile(
    r""""[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|(?<![\w'])'[^'\\]*+(?:\\.[^'\\]*+)*+(?:'|\\?\Z)|[\[\](){},:]""", re.S
)


def _marks(text: str) -> Iterator[tuple[str, int, int]]:
    """Each bracket, comma and colon outside quotation marks, its place, and how deep it leaves us."""
    depth = 0
    for mark in _MARK.finditer(text):
        depth += (mark[0] in "([{") - (mark[0] in ")]}")
        yield mark[0], mark.start(), depth


def closing(text: str) -> int:
    """Where the first bracket closes, or -1; `[1, 2)` does: it is a half-open interval."""
    return next((at for _, at, depth in _marks(text) if not depth), -1)


def _split(text: str, separator: str) -> list[str]:
    places = [at for mark, at, depth in _marks(text) if mark == separator and not depth]
    return [text[a + 1 : b].strip() for a, b in zip([-1, *places], [*places, len(text)], strict=True)]


def compound(text: str, words: int, depth: int) -> str | None:
    """The canonical form of a list, tuple, interval, set or dictionary; None for anything else."""
    if text[:1] not in ("(", "[", "{") or depth > _MAX_DEPTH or closing(text) != len(text) - 1:
        return None
    pieces = _split(text[1:-1], ",")
    if text[0] + text[-1] == "()" and len(pieces) == 1 and pieces[0]:
        return _element(pieces[0], words, depth + 1)
    listed = pieces if pieces[-1] else pieces[:-1]
    entries = [[_element(half, words, depth + 1) for half in _split(piece, ":")] for piece in listed]
    if any(half is None for entry in entries for half in entry):
        return None
    items = [":".join(map(str, entry)) for entry in entries]
    items = sorted(set(items)) if text[0] == "{" else items
    only = "," if text[0] == "(" and len(items) == 1 else ""
    return text[0] + ",".join(items) + only + text[-1]


def _element(text: str, words: int, depth: int) -> str | None:
    """One item of a literal, where `"5"` is not `5`, and case counts."""
    if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
        inner = unescape(text[1:-1])
        return None if len(inner) > _MAX_STRING_CHARS else json.dumps(inner, ensure_ascii=False)
    text = _right_hand_side(text)
    return compound(text, words, depth) or _scalar(text, words)


_CHOICE = re.compile(
    r"\(?([A-J])\)?[.:]?|(?:[Oo]ption|[Cc]hoice|[Aa]nswer|[Ll]etter)\s\(?([A-J])\)?(?:[.:)]\s?[^\s].*)?"
    r"|\(?([A-J]|[a-j](?=\)\s?[A-Za-z]|\)\Z))\)\s?(?!and\b|or\b|&)(?:[^\s,;&/*+^=<>-].*|)"
    r"|([A-J])[.:]\s(?:(?![a-z])|(?=(?:because|since|the|it|all)\b)).*|([A-J])\s(?:\(.*\)|[-\u2013\u2014]\s.*)"
)
_OTHER_CHOICE = re.compile(r"(?<!\w)\(?[A-Ja-j](?:\)|[.:]\s)")
"""Several parts with a value each, `(a) 5, (b) 6`, are no choice of the first."""


def _scalar(text: str, words: int) -> Form | None:
    if len(text) > MAX_CHARS:
        return None
    text = typed(text)
    if len(text) > 2 * MAX_CHARS or text.casefold() in _NO_ANSWER:
        return None
    if choice := _CHOICE.fullmatch(text):
        group = choice.lastindex or 0
        if not _OTHER_CHOICE.search(text, choice.end(group) + 1):
            return Form(choice[group].casefold())
    if value := number(text):
        return value
    if "≈" in text and not text.startswith("≈"):
        exact, _, near = text.partition("≈")
        text = near.strip() if re.fullmatch(r"\w\s?", exact) else exact.strip()
        return number(text) or _scalar(text, words)
    if value := _restated(text) or _constant(text):
        return value
    if value := _reckoned(text):
        return value
    found = moment(text) or measure(text) or _bare_list(text) or _inequality(text) or _wording(text, words)
    return Form(found) if found else None


_TERM = r"[\s($€£]*+[0-9][0-9.,]*+%?(?:[\s/(]*+[A-Za-z]{2,}+[\s)]*+)*+[\s)]*+"
_RECKONED = re.compile(rf"(?:{_TERM}[-+*/])+{_TERM}=(?:{_TERM}(?:[-+*/]{_TERM})*=)*")


def _reckoned(text: str) -> Form | None:
    """The result of what is worked out with the things that are counted: `6 red rows + 3 blue rows = 9 rows`."""
    left, sign, right = text.rpartition("=")
    return number(right.strip()) if sign and _RECKONED.fullmatch(left + sign) else None


_TWICE = re.compile(r"([^()]{1,60}?)\s?\(([^()]{1,60})\)")

_EITHER = re.compile(r"([^=]{1,60}?)\s?(?:=|\bor\b|,? i\.e\.,?)\s?([^=]{1,60})")


def _restated(text: str) -> Form | None:
    """A number that is said in two ways: `fifteen (15)`, `3/4 or 0.75`."""
    if not (twice := _TWICE.fullmatch(text) or _EITHER.fullmatch(text)):
        return None
    value, again = number(twice[1]), number(twice[2])
    return (value if value.unit else again) if value and again and is_same(value, again) else None


_CONSTANT = re.compile(r"(?=[^A-Za-z]{0,60}[π√])([-+0-9.π√()*/^ ]{1,60})\s([A-Za-z°Ω].{0,60})")


def _constant(text: str) -> Form | None:
    """A multiple of π or of a root with its unit: `36π cm^3`."""
    found = _CONSTANT.fullmatch(text)
    unit = unit_after(f" {found[2]}", is_one=False) if found else None
    return Form(_expression(found[1].strip()), unit) if found and unit else None


_CONNECTIVE = re.compile(r"\s?,\s?(?:(?:and|or)\s)?|\s?&\s?|\s(?:and|or)\s")
_LETTERS = re.compile(r"\(?[A-J]\)?(?:\s?;\s?\(?[A-J]\)?){1,9}")
_NAMED = re.compile(r"\(?([A-J]|[IVX]{1,4})\)?")


def _bare_list(text: str) -> str | None:
    """Values with nothing around them, as roots and choices are given: a set, if they stand in order.

    Three and more that do not ascend may be a sequence or a ranking, whose order counts.
    """
    text = re.sub(r"\A(?:both|either)\s|\A(?:options?|choices?|statements?)\s(?=\(?[A-Z])", "", text, flags=re.I)
    if signed := re.fullmatch(r"(?:\w=)?±(.+)", text):
        half = number(signed[1], is_bare=True)
        return "{" + ",".join(sorted((half, str(number(f"-{half}"))))) + "}" if half else None
    if _LETTERS.fullmatch(text):
        text = text.replace(";", ",")
    pieces = _CONNECTIVE.split(text)
    if len(pieces) < 2 or not all(pieces):
        return None
    is_either = bool(re.search(r"\bor\b", text))
    if letters := [found[1].casefold() for piece in pieces if (found := _NAMED.fullmatch(piece))]:
        if len(letters) < len(pieces):
            return None
        return (
            " or ".join(letters)
            if is_either
            else _listed(letters, is_sorted=letters == sorted(letters) or (len(letters) == 2 and "," not in text))
        )
    sides = [_right_hand_side(piece).strip() for piece in pieces]
    named = {piece.removesuffix(side).strip() for piece, side in zip(pieces, sides, strict=True)}
    if len(named - {""}) > 1:
        return None
    numbers = [number(side, is_bare=True) for side in sides]
    if None in numbers:
        return None
    known = [str(value) for value in numbers]
    is_named = any("=" in name or "∈" in name for name in named)
    if is_either and not is_named:
        return " or ".join(known)
    ascends = all(Fraction(a) < Fraction(b) for a, b in pairwise(known))
    return _listed(known, is_sorted=ascends or is_named or len(known) == 2)


def _listed(items: list[str], *, is_sorted: bool) -> str:
    if not is_sorted or len(set(items)) < len(items):
        return ",".join(items)
    return "{" + ",".join(sorted(items)) + "}"


_SIDE = r"[^<>=,]{1,40}"
_BETWEEN = re.compile(rf"({_SIDE})(<=?|>=?)([A-Za-zθ])(<=?|>=?)({_SIDE})")
_BEYOND = re.compile(rf"x(<=?|>=?)({_SIDE})|({_SIDE})(<=?|>=?)x")


def _inequality(text: str) -> str | None:
    """The interval that `0 < x <= 2` and `x > 1` describe."""
    text = re.sub(r"\s", "", text)
    if between := _BETWEEN.fullmatch(text):
        low, first, _, second, high = between.groups()
        if first[0] != second[0]:
            return None
        if first[0] == ">":
            low, first, second, high = high, second, first, low
    elif beyond := _BEYOND.fullmatch(text):
        sign, bound = beyond[1] or beyond[4], beyond[2] or beyond[3]
        is_above = (sign[0] == ">") == bool(beyond[1])
        low, first, second, high = (bound, sign, "<", "inf") if is_above else ("-inf", "<", sign, bound)
    else:
        return None
    ends = [number(end, is_bare=True) or _expression(end.casefold()) for end in (low, high)]
    return f"{'[' if '=' in first else '('}{','.join(ends)}{']' if '=' in second else ')'}"


_SYMBOLIC = re.compile(
    "matrix|det|sin|cos|tan|sec|csc|cot|log|ln|exp|inf|mod|max|min|gcd|lcm|frac|yes|no|true|false|none|null"
)
_WORDS = re.compile(r"[^\W\d_]+(?:(?:['\u2019-]|[.,:;!?'\u2019\")]*\s[\"'(]*)[^\W\d_]+)*[\s.,:;!?'\u2019\")]*")
_INITIALS = re.compile(r"(?<![^\W\d_])(?:(?:[^\W\d_]\.){2,}[^\W\d_]?|ph\.d)(?![^\W\d_])")


def _wording(text: str, words: int) -> str | None:
    """Words in their barest form, or an expression without its spaces; None for more than `words` words."""
    text = folded(text)
    # A language written without spaces counts four characters as a word.
    found = re.findall(r"[\u3040-\u9fff]{1,4}|[^\W\d_\u3040-\u9fff]{2,}", text)
    if sum(not _SYMBOLIC.fullmatch(word) for word in found) > words or not re.search(r"[^\W_]|∅", text):
        return None
    text = _INITIALS.sub(lambda initials: initials[0].replace(".", ""), text)
    if not _WORDS.fullmatch(text) or re.fullmatch(r"\w[!']+", text):
        return _expression(text)
    plain = " ".join(re.sub(r"[^\w\s]", "", text.replace("-", " ")).split())
    return "none" if plain == "null" else re.sub(r"\A(?:the|an?)\s+(?!and\b|or\b)", "", plain)


def _expression(text: str) -> str:
    """Without the spaces that change nothing, and without signs of multiplication that need not be written."""
    text = re.sub(r"\s?([-+*/=<>^(),;:|\[\]{}±\u222a])\s?", r"\1", text)
    text = re.sub(r"(?<=[0-9])\s(?=[^\W\d_](?![^\W\d_]))", "", text)
    return re.sub(r"(?<=[^\W\d_)])\*(?![0-9])|\*(?=[^\W\d_(]|√)", "", text)


def unescape(string: str) -> str:
    """Undo JSON's escapes, but not where LaTeX was written into JSON without doubling its backslashes."""
    string = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), string)
    string = re.sub(r"\\n(?![a-z])", "\n", string.replace(r"\\", "\\"))
    # Half of a surrogate pair could not be printed.
    return re.sub(r"\\([\"'/])|[\ud800-\udfff]", r"\1", string)


_BRACE = re.compile(r"\\.|[{}]", re.S)


def in_braces(text: str, start: int) -> str:
    """What stands between the brace at `start` and the one that closes it; empty if none does."""
    rest, depth = text[start : start + MAX_LITERAL_CHARS], 0
    for brace in _BRACE.finditer(rest):
        depth += (brace[0] == "{") - (brace[0] == "}")
        if not depth:
            return rest[1 : brace.start()]
    return ""
