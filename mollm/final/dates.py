"""Dates and times of day, which are no numbers: `March 5, 2024` is `2024-03-05`, `3 PM` is `15:00`."""

from __future__ import annotations

import re

from mollm.final.units import symbol

_MONTHS = {
    name: month
    for month, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
            "september sept sep", "october oct", "november nov", "december dec",
        ), 1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH, _WEEKDAY = rf"(?P<month>{'|'.join(_MONTHS)})\.?", r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s)?"
_YEAR = r"(?P<year>[0-9]{4})"
_DAY = r"(?P<day>[0-3]?[0-9])"
_DATES = [
    re.compile(pattern, re.I)
    for pattern in (
        rf"{_WEEKDAY}{_MONTH}\s{_DAY}(?:st|nd|rd|th)?(?:,?\s{_YEAR})?",
        rf"{_WEEKDAY}(?:the\s)?{_DAY}(?:st|nd|rd|th)?(?:\sof)?\s{_MONTH}(?:,?\s{_YEAR})?",
        rf"{_YEAR}(?P<sign>[-/.])(?P<month>[01]?[0-9])(?P=sign){_DAY}",
        rf"{_YEAR}年(?P<month>[01]?[0-9])月{_DAY}日",
    )
]
_TIME = re.compile(
    r"(?P<hour>[01]?[0-9])(?::(?P<rest>[0-5][0-9](?::[0-5][0-9])?))?\s?(?P<half>[ap])\.?\s?m\.?(?!\w)", re.I
)


_LASTING = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s?([A-Za-z]{1,12})\.?(?:,?\s(?:and\s)?|,\s?|(?=[0-9])|\Z)")
_COMPOUND = ("year", "month", "week", "day", "h", "min", "s", "ft", "in", "lb", "oz")
"""Units that are given together, the larger one first."""


def measure(text: str) -> str | None:
    """Return the one form of an amount in several units, `2 h 15 min` for `2 hours and 15 minutes`; None for others."""
    pieces = list(_LASTING.finditer(text))
    if not 2 <= len(pieces) <= 4 or "".join(piece[0] for piece in pieces) != text:
        return None
    units = [symbol(piece[2]) for piece in pieces]
    if units[0] == "h" and units[1] == "m":
        units[1] = "min"
    places = [_COMPOUND.index(unit) for unit in units if unit in _COMPOUND]
    if len(places) < len(pieces) or places != sorted(set(places)):
        return None
    return " ".join(f"{piece[1]} {unit}" for piece, unit in zip(pieces, units, strict=True))


def moment(text: str) -> str | None:
    """Return the one form of a date or a time of day with am or pm; None for anything else.

    Dates whose order of day and month is not certain (`5/6/2024`) and times without am or pm stay as they are. One
    from 1 pm on has the form of 24 hours, which no other time has.
    """
    for pattern in _DATES:
        if found := pattern.fullmatch(text):
            month = _MONTHS.get(found["month"].casefold()) or int(found["month"])
            day = int(found["day"])
            if 1 <= month <= 12 and 1 <= day <= 31:
                return f"{found['year']}-{month:02}-{day:02}" if found["year"] else f"--{month:02}-{day:02}"
    if found := _TIME.match(text):
        hour = int(found["hour"])
        rest = text[found.end() :].strip(" ,").casefold()
        half = found["half"].casefold()
        if 1 <= hour <= 12:
            is_clear = half == "p" and hour < 12
            clock = f"{hour + 12 * is_clear}:{found['rest'] or '00'}"
            return f"{clock if is_clear else f'{clock} {half}m'} {rest}".strip()
    return None
