r"""The canonical form of a final answer, for comparing.

Two values are equal if and only if their forms are the same string. Numbers are exact (`1,000`, `1e3` and `$1000.00`
are `1000`; `\frac12` and `50%` are `0.5`; `2/6` is `1/3`), units are dropped, the kind and order of brackets are
kept, sets and dictionaries are sorted, words lose case, articles and punctuation.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CHARS = 200
"""Longest candidate that is read as a number, an expression or words."""
MAX_LITERAL_CHARS, _MAX_STRING_CHARS = 4000, 80
"""Longest literal, and longest string inside one: what is longer is prose, and prose cannot be checked."""
_MAX_DEPTH, _MAX_PLACES, _MAX_BITS = 20, 300, 4000
"""Deepest nesting that is followed; most decimal places and largest number that are written out."""

BOX = re.compile(r"\\f?box(?:ed)?\s*(?=\{)")


def canonical(raw: str, words: int) -> str | None:
    """Return the canonical form of `raw`; None if it is not a value and has more than `words` words."""
    if len(raw) > MAX_LITERAL_CHARS:
        return None
    text = unwrap(raw)
    return compound(text, words, 0) or _scalar(text, words)


def unwrap(text: str) -> str:
    """Take off emphasis, delimiters of mathematics, quotation marks, full stops and what stands before `=`."""
    for _ in range(4):
        text = text.strip('*_`"“”$ \t\n').rstrip(".,;。")
        text = re.sub(r"\A\\[(\[]\s*|(?<!\\)\\[)\]]\Z|\A'(?=.*'\Z)|(?<=\w)'\Z", "", text, flags=re.S)
        box = BOX.match(text)
        text = _right_hand_side((in_brackets(text, box.end()) if box else "") or text)
    return re.sub(r"\\(?:left|right)(?![a-zA-Z])|\\(?=[{}])", "", text)


_LEFT_HAND_SIDE = re.compile(
    r"\s*(?:\\?[A-Za-z]+(?:_\{?\w+\}?)?(?:\(\w\))?\s*(?:∈|\\in(?![a-z])|=(?!=))|[\s0-9+\-*/^().,$%\u00d7]*=(?!=)"
    r"|(?i:approximately|about|roughly|exactly|(?:it|that|this|the\s\w+)\s+is(?!\s+an?\b))\s|\\approx|[≈~])\s*"
)


def _right_hand_side(text: str) -> str:
    """`5` of `x = 5` and of `2 + 3 = 5`; an equation in its own right stays whole."""
    left = _LEFT_HAND_SIDE.match(text)
    is_several = text.count("=") > 1 and re.search(r",\s|\band\b|\bor\b", text)
    return text[left.end() :] if left and not is_several else text


_MARK = re.compile(r""""[^"\\]*+(?:\\.[^"\\]*+)*+"|(?<!\w)'[^'\\]*+(?:\\.[^'\\]*+)*+'|[\[\](){},:]""", re.S)


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
    if string := re.fullmatch(r"([\"'])(.*)\1", text, re.S):
        inner = unescape(string[2])
        return None if len(inner) > _MAX_STRING_CHARS else json.dumps(inner, ensure_ascii=False)
    text = _right_hand_side(text)
    return compound(text, words, depth) or _scalar(text, words)


_CHOICE = re.compile(
    r"\(?([A-J])\)?[.:]?|(?:[Oo]ption|[Cc]hoice|[Aa]nswer)\s+\(?([A-J])\)?"
    r"|\(?([A-Ja-j])\)\s+(?!and\b|or\b).*|([A-E])\.\s+.*"
)


def _scalar(text: str, words: int) -> str | None:
    if len(text) > MAX_CHARS:
        return None
    text = clean(text)
    if choice := _CHOICE.fullmatch(text):
        return str(choice[choice.lastindex or 0]).casefold()
    return number(text) or _bare_list(text) or _wording(text, words)


def _bare_list(text: str) -> str | None:
    """Numbers with nothing around them, as roots are given: a set."""
    pieces = re.split(r"\s*,\s*(?:(?:and|or)\s+)?|\s+(?:and|or)\s+", text)
    numbers = [number(_right_hand_side(piece).strip(), is_bare=True) for piece in pieces]
    known = sorted({number for number in numbers if number})
    return "{" + ",".join(known) + "}" if len(pieces) > 1 and all(numbers) else None


_TYPED = str.maketrans(
    {raised: f"^{digit}" for digit, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
    | {lowered: f"_{digit}" for digit, lowered in enumerate("₀₁₂₃₄₅₆₇₈₉")}
    | {fraction: f" {unicodedata.normalize('NFKC', fraction)}".replace("\u2044", "/") for fraction in "¼½¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
    | dict.fromkeys("\u00d7·⋅\u2217", "*")
    | dict.fromkeys("\u2212\u2013\u2014", "-")
    | {"÷": "/", "\u2044": "/", "∞": "inf", "≤": "<=", "≥": ">=", "≠": "!="}
)
_COMMANDS = (
    dict.fromkeys(("left", "right", "big", "bigl", "bigr", "displaystyle", "limits"), "")
    | {"dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "sqrt": "√", "pi": "π", "quad": " ", "infinity": "inf"}
    | {"cdot": "*", "times": "*", "ast": "*", "div": "/", "infty": "inf", "pm": "±", "cup": "\u222a", "circ": "°"}
    | {"le": "<=", "leq": "<=", "ge": ">=", "geq": ">=", "ne": "!=", "neq": "!=", "emptyset": "∅", "degree": "°"}
)
_COMMAND = re.compile(r"\\([a-zA-Z]+)|(?<![a-zA-Z\\])(?:pi|sqrt|infinity)(?![a-zA-Z])")
_PLAIN = (
    (r"\\(?:text\w*|math\w*|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
    (r"\\[,;: ]|~", " "),
    (r"\\!|\s*\^?\{?°\}?(?:\s*[CF](?![a-zA-Z]))?", ""),
    (r"\{(,)\}|\\([%$#&_])", r"\1\2"),
    (r"\\\\", ";"),
    (r"\*\*", "^"),
    (r"(?<=[0-9)])\\frac", r" \\frac"),
    (r"\s*([*/^_{}√])\s*", r"\1"),
)
_ARGUMENT = r"\s*(?:\{([^{}]*)\}|([0-9A-Za-zπ]))"
_NESTED = (
    (r"([_^])\{([^{}]*)\}", r"\1(\2)"),
    (r"√(\[[0-9]+\])?(?:\{([^{}]*)\}|([0-9]+|[A-Za-zπ]))", r"√\1(\2\3)"),
    (rf"\\frac{_ARGUMENT}{_ARGUMENT}", r"(\1\2)/(\3\4)"),
    # Brackets that change nothing: around an exponent, a numerator, a denominator.
    (r"(?<=[_^])\((-?[\w.]+)\)", r"\1"),
    (r"(?<![\w√\])])\((-?[\w.^*]*(?:√\([^()]*\))?\w*)\)(?=/)", r"\1"),
    (r"(?<=/)\((-?[0-9.]+|\w|√\([^()]*\))\)", r"\1"),
)
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:[, '\u2019][0-9]{3})+(?![0-9,]|/[0-9])")


def clean(text: str) -> str:
    """Write LaTeX, Unicode and code the way one would type it."""
    text = unicodedata.normalize("NFKC", text.translate(_TYPED))
    text = _COMMAND.sub(lambda found: _COMMANDS.get(found[1] or found[0], found[0]), text)
    for pattern, plain in _PLAIN:
        text = re.sub(pattern, plain, text)
    text = _THOUSANDS.sub(lambda found: re.sub(r"\D", "", found[0]), text)
    # Five levels, from the innermost outwards.
    for pattern, plain in _NESTED * 5:
        text = re.sub(pattern, plain, text)
    return text.replace("\\", "").strip()


_DIGITS = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
_POWER = rf"{_DIGITS}(?:\^-?[0-9]{{1,3}})?"
_QUANTITY = re.compile(
    r"(?P<sign>[-+]?)\s*(?:US|CA|AU)?[$€£¥₹]?\s*(?:(?P<whole>[0-9]+)\s+(?=[0-9]+/[0-9]))?"
    rf"(?P<top>{_POWER}(?:\*{_POWER})*)(?:/(?P<under>-?{_POWER}))?(?P<tail>.*)",
    re.S,
)
_SCALES = {"": Fraction(1), "%": Fraction(1, 100), "percent": Fraction(1, 100), "hundred": Fraction(100)} | {
    name: Fraction(1000**power) for power, name in enumerate(("thousand", "million", "billion", "trillion"), 1)
}
_UNITS = re.compile(
    r"\s*(%|percent|(?<=\s)(?:hundred|thousand|million|billion|trillion)(?!\w)|)"
    r"(?:[€£¥]|[mcdk]m|km/h|m/s|mph|ft|mi|[km]?gs?|lbs?|oz|ml|hrs?|min|secs?|kw|[kmg]b|k?hz|usd|eur)?"
    # Not the words which make another value of the number in front of them.
    r"(?:\s+(?!(?:am|pm|[ap]\.m|ad|bc|bce|ce|and|or|to|plus|minus|over|mod|choose|root|log|ln|sin|cos|tan|hal\w+"
    r"|thirds?|quarters?|dozen|squared|cubed)\b)(?:[^\W\d_]{2,}|[mgshl](?!\w))[.']?(?:\^-?[0-9])?){0,3}"
    r"(?:[/*][^\W\d_]+(?:\^-?[0-9])?)*",
    re.I,
)


def number(text: str, *, is_bare: bool = False) -> str | None:
    """The exact value of a number, product, fraction or power; with a unit after it unless `is_bare`."""
    found = _QUANTITY.fullmatch(text)
    units = _UNITS.fullmatch(found["tail"]) if found else None
    if not found or not units or (is_bare and found["tail"]):
        return None
    try:
        value = math.prod(map(_power, found["top"].split("*")), start=Fraction(1)) / _power(found["under"] or "1")
    except (OverflowError, ZeroDivisionError):
        return None
    value = (value + int(found["whole"] or 0)) * _SCALES[units[1].casefold()]
    is_small = max(map(int.bit_length, value.as_integer_ratio())) <= _MAX_BITS
    return _written(-value if found["sign"] == "-" else value) if is_small else None


def _power(text: str) -> Fraction:
    base, _, exponent = text.partition("^")
    if max(map(int.bit_length, Fraction(base).as_integer_ratio())) * abs(int(exponent or 1)) > _MAX_BITS:
        raise OverflowError(text)
    return Fraction(Fraction(base) ** int(exponent or 1))


def _written(number: Fraction) -> str:
    """A decimal where it ends, else a fraction in lowest terms."""
    places = next((places for places in range(_MAX_PLACES) if not 10**places % number.denominator), 0)
    digits = str(abs(number.numerator) * 10**places // number.denominator).zfill(places + 1)
    return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}" if places else str(number)


_SYMBOLIC = re.compile("sin|cos|tan|sec|csc|cot|log|ln|exp|inf|mod|max|min|gcd|lcm|frac|yes|no|true|false|none|null")


def _wording(text: str, words: int) -> str | None:
    """Words in their barest form, or an expression without its spaces; None for more than `words` words."""
    text = unicodedata.normalize("NFKC", text.casefold())
    # A language written without spaces counts four characters as a word.
    found = re.findall(r"[\u3040-\u9fff]{1,4}|[^\W\d_\u3040-\u9fff]{2,}", text)
    if sum(not _SYMBOLIC.fullmatch(word) for word in found) > words or not re.search(r"\w|∅", text):
        return None
    if not re.fullmatch(r"[^\W\d_]+(?:[\s.,:;!?'\u2019\"()-]+[^\W\d_]+)*[\s.,:;!?'\u2019\")-]*", text):
        return re.sub(r"(?<=[^\W\d_)])\*|\*(?=[^\W\d_(]|√)", "", re.sub(r"\s+", "", text))
    plain = " ".join(re.sub(r"[^\w\s]", "", text.replace("-", " ")).split())
    return "none" if plain == "null" else re.sub(r"\A(?:the|an?)\s+(?!and\b|or\b)", "", plain)


def unescape(string: str) -> str:
    """Undo JSON's escapes, but not where LaTeX was written into JSON without doubling its backslashes."""
    string = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), string)
    string = re.sub(r"\\n(?![a-z])", "\n", string.replace(r"\\", "\\"))
    # Half of a surrogate pair could not be printed.
    return re.sub(r"\\([\"'/])|[\ud800-\udfff]", r"\1", string)


def in_brackets(text: str, start: int) -> str:
    """What stands between the bracket at `start` and the one that closes it; empty if none does."""
    rest = text[start : start + MAX_LITERAL_CHARS]
    return rest[1 : max(closing(rest), 1)]
