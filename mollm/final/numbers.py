"""The exact value of numbers, as people and LLMs write them: digits, words, fractions, products, powers, with units."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from mollm.final.forms import ORDINAL, PERCENT, Form, written
from mollm.final.units import currency_of, unit_after

_MAX_BITS = 4000
"""Largest numerator and denominator that are worked out; what is larger stays as it is written."""

_DIGITS = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3}(?![0-9]))?"
_POWER = rf"{_DIGITS}(?:\^\(?-?[0-9]{{1,3}}(?![0-9])\)?)?"
_QUANTITY = re.compile(
    r"(?P<sign>[-+]|)\s?(?P<currency>(?:US|R)?[$€£¥₹₩₽]\s?|(?:USD|EUR|GBP|CHF|CAD|AUD|JPY|CNY|INR|RUB|BRL|MXN"
    r"|KRW|Rs\.?)\s|)(?P<inner>[-+]|)"
    r"(?:(?P<whole>[0-9]+)\s(?:and\s)?(?=[0-9]+/[0-9]))?"
    rf"(?P<top>{_POWER}(?:\*{_POWER})*+)(?:/(?P<under>-?{_POWER})(?:(?:th|rd)s?(?!\w))?)?(?P<tail>.*)",
    re.S,
)
_SCALES = {
    "%": Fraction(1, 100), "dozen": Fraction(12), "hundred": Fraction(100), "thousand": Fraction(1000),
    "lakh": Fraction(10**5), "million": Fraction(10**6), "crore": Fraction(10**7), "billion": Fraction(10**9),
    "trillion": Fraction(10**12), "k": Fraction(1000), "m": Fraction(10**6), "b": Fraction(10**9),
    "万": Fraction(10**4), "萬": Fraction(10**4), "만": Fraction(10**4), "亿": Fraction(10**8), "億": Fraction(10**8),
    "억": Fraction(10**8),
}  # fmt: skip
_FIGURED = (_SCALES["%"], _SCALES["dozen"])
"""What a question may ask for by name: how many percent, how many dozen."""
_SCALE = re.compile(
    r"\s?(?P<percent>%|per\s?cent(?!\w)|pct(?!\w)|Prozent(?!\w)|процентов|por ciento|por cento|pour cent)"
    r"|\s(?P<word>dozen|hundred|thousand|lakh|million|crore|[bt]rillion|billion)s?(?!\w)|\s?(?P<myriad>[万萬만亿億억])"
    r"|(?P<letter>[kKmMbB])(?!\w)"
)


def number(text: str, *, is_bare: bool = False) -> Form | None:
    """Return the exact value of a number, product, fraction or power, with its unit; no unit if `is_bare`.

    Args:
        text: At most some hundred characters, as `notation.typed` writes them.
        is_bare: Nothing may stand after the number.
    """
    found = _QUANTITY.fullmatch(in_digits(text))
    if not found or (is_bare and found["tail"]) or (found["sign"] and found["inner"]):
        return None if is_bare else ordinal(text)
    try:
        value = math.prod(map(_power, found["top"].split("*")), start=Fraction(1)) / _power(found["under"] or "1")
    except (OverflowError, ZeroDivisionError):
        return None
    value += int(found["whole"] or 0)
    scale, unit = _scale_and_unit(found["tail"], currency_of(found["currency"]), is_one=abs(value) <= 1)
    value = -value if "-" in found["sign"] + found["inner"] else value
    if unit is None:
        return ordinal(text)
    if max(map(int.bit_length, (value * scale).as_integer_ratio())) > _MAX_BITS:
        return None
    return Form(written(value * scale), unit, written(value) if scale in _FIGURED else "")


_ORDINAL = re.compile(
    r"(?:the\s)?(?:第\s?([0-9]{1,9})(?:名|位|个|個|回)?|([0-9]{1,9})(?:\s?\^?\(?(?:st|nd|rd|th)\)?|ème|ère|\s?番目|位|번째))"
    r"(?:\s(?:place|position))?",
    re.I,
)


def ordinal(text: str) -> Form | None:
    """Return the number of `6th`, `the 6th place` or `第6`, with the unit of ordinals; None for anything else."""
    found = _ORDINAL.fullmatch(text)
    return Form(str(int(found[1] or found[2])), ORDINAL) if found else None


def _scale_and_unit(tail: str, currency: str, *, is_one: bool) -> tuple[Fraction, str | None]:
    scale = Fraction(1)
    while (found := _SCALE.match(tail)) and (currency or not found["letter"]):
        word = PERCENT if found["percent"] else (found["word"] or found["myriad"] or found["letter"].casefold())
        scale, tail, is_one = scale * _SCALES[word], tail[found.end() :], False
        if found["percent"]:
            return scale, PERCENT if not tail.strip() else None
    unit = unit_after(tail, is_one=is_one)
    if currency and unit != currency:
        unit = unit_after(f" {currency}{tail}", is_one=False)
    return scale, unit


def _power(text: str) -> Fraction:
    base, _, exponent = text.partition("^")
    exponent = exponent.strip("()")
    mantissa, _, shift = base.casefold().partition("e")
    # Estimated before anything is worked out: a bit is more than a third of a digit.
    bits = 4 * (len(mantissa) + abs(int(shift or 0))) * max(1, abs(int(exponent or 1)))
    if bits > 4 * _MAX_BITS:
        raise OverflowError(text)
    value = Fraction(base)
    if max(map(int.bit_length, value.as_integer_ratio())) * abs(int(exponent or 1)) > _MAX_BITS:
        raise OverflowError(text)
    return Fraction(value ** int(exponent or 1))


_UNDER_20 = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_CARDINALS = {word: value for value, word in enumerate(_UNDER_20.split())}
_CARDINALS |= {word: 10 * value for value, word in enumerate(_TENS.split(), 2)}
_PARTS = {
    name: size for size, names in {
        2: "half halves", 3: "third", 4: "fourth quarter", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth",
        9: "ninth", 10: "tenth", 12: "twelfth", 16: "sixteenth", 20: "twentieth", 100: "hundredth",
        1000: "thousandth", 10**6: "millionth",
    }.items() for name in names.split()
}  # fmt: skip
_SPELLED = re.compile(r"(?:negative|minus|plus)\s(?=[a-z0-9.$€£¥₹])|(?:[-+]\s?|)(?=[a-z]|[0-9]+[\s-][a-z])", re.I)
_LONE_PART = re.compile(r"an?\s(half|third|quarter|fifth|sixth|seventh|eighth|ninth|tenth|hundredth|thousandth)", re.I)
_WORD = re.compile(r"[a-z]+|[0-9]+", re.I)
_PART = re.compile(r"[\s-](?:(?P<and>and)\s(?:(?P<count>an?|one|two|three|[0-9]+)\s))?(?P<name>[a-z]+)(?!\w)", re.I)


def in_digits(text: str) -> str:
    """Write English number words in front as digits: `negative forty-two`, `two and a half miles`, `3 fifths`."""
    sign = _SPELLED.match(text)
    if not sign:
        return text
    if part := _LONE_PART.fullmatch(text, sign.end()):
        return f"{'-' if sign[0][:1] in tuple('-nNmM') else ''}1/{_PARTS[part[1].casefold()]}"
    text, minus = text[sign.end() :], "-" if sign[0][:1] in tuple("-nNmM") else ""
    value, end = _cardinal(text)
    if not end:
        return (minus if text[:1] in "0123456789.$€£¥₹" else sign[0]) + text
    part = _PART.match(text, end)
    name = part["name"].casefold() if part else ""
    times = _count(part["count"]) if part and part["and"] else value
    size = _PARTS.get(name if times == 1 else name.removesuffix("s") if name != "halves" else "half")
    if part and size and (times == 1 or name.endswith("s")):
        value = Fraction(times, size) + (value if part["and"] else 0)
        end = part.end()
    return f"{minus}{value}{text[end:]}"


def _count(text: str) -> int:
    return int(text) if text.isdigit() else _CARDINALS.get(text.casefold(), 1)


def _cardinal(text: str) -> tuple[Fraction, int]:
    """The number that digits or words in front spell, and where they end: 0 if they spell none."""
    total, group, room, limit, at, end = 0, 0, 100, 10**15, 0, 0
    while word := _WORD.match(text, at):
        name = word[0].casefold()
        value = _CARDINALS.get(name)
        if not end and name.isdigit():
            return Fraction(int(name[:20])), word.end() if len(name) < 20 else 0
        if not end and name == "a" and _SCALES.keys() & text[2:12].casefold().split()[:1]:
            group, room = 1, 0
        elif value is not None and value < room and (value or not end):
            group, room = group + value, 10 if value >= 20 else 0
        elif name == "hundred" and 0 < group < 100:
            group, room = group * 100, 100
        elif group and name in ("thousand", "million", "billion", "trillion") and _SCALES[name] < limit:
            limit = int(_SCALES[name])
            total, group, room = total + group * limit, 0, 100
        elif not (name == "and" and end and room == 100):
            break
        if name != "and":
            end = word.end()
        at = word.end() + (text[word.end() : word.end() + 1] in (" ", "-"))
    return Fraction(total + group), end
