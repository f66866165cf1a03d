"""Dates and times of day in a text: `5 March 2024`, `2024-03-05`, `05.03.2024`, `3 PM`, `15:00`."""

from __future__ import annotations

import re

from mollm.facts.base import GONE, Fact
from mollm.final.dates import moment

_MONTH = (
    r"(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_NTH = "(?:st|nd|rd|th)?"
# A pattern that begins with a class of characters is found much faster than one that begins by looking back.
_MOMENT = re.compile(
    rf"""
    [0-9](?<![\w./-].)(?:
        [0-9]{{3}}(?P<iso>[-/.])[01]?[0-9](?P=iso)[0-3]?[0-9](?![\w-]|[./][0-9])
      | [0-9]{{3}}年[01]?[0-9]月[0-3]?[0-9]日
      | [0-9]?{_NTH}(?:\sof)?\s{_MONTH}(?:\.?,?\s[0-9]{{4}})?(?!\w)
      | [0-9]?(?P<sign>[./])[01]?[0-9](?P=sign)(?:[0-9]{{4}}|[0-9]{{2}})(?!\w|[./][0-9])
      | [0-9]?/[0-3]?[0-9]/(?:[0-9]{{4}}|[0-9]{{2}})(?!\w|[./][0-9])
      | [0-9]?:[0-5][0-9](?::[0-5][0-9])?(?!\w|:)(?:\s?[aApP]\.?[mM](?!\w))?
      | [0-9]?\s?[aApP]\.?[mM](?!\w)
    )
    | [A-Z](?<!\w.)(?<=(?={_MONTH}).)\w{{2,8}}+\.?\s[0-3]?[0-9]{_NTH}(?:,?\s[0-9]{{4}})?(?!\w)
    """,
    re.X,
)
_NUMBERS = re.compile(r"([0-9]{1,2})[./]([0-9]{1,2})[./]([0-9]{2,4})")
_CENTURY = 2000
"""To which a year of two digits belongs."""


def moments_in(text: str) -> tuple[list[Fact], str]:
    """Return the dates and times in `text`, and the text without them.

    Where day and month may be the other way round, the fact may be either. Months are read in English and as numbers.
    """
    facts: list[Fact] = []

    def take(found: re.Match[str]) -> str:
        keys = _keys(found[0])
        if not keys:
            return found[0]
        facts.append(Fact("date", keys[0], found[0], tuple(keys[1:])))
        return GONE

    return facts, _MOMENT.sub(take, text)


def _keys(text: str) -> list[str]:
    """What a moment may be, the likeliest first; nothing where it is none."""
    key = moment(" ".join(re.sub(r"(?i)([ap])\.(?=m)", r"\1", text).split()))
    if key is not None:
        return [key, f"-{key[4:]}"] if re.match(r"[0-9]{4}-", key) else [key]  # a date, and the same without its year
    if ":" in text:
        return [text.removeprefix("0")]
    numbers = _NUMBERS.fullmatch(text)
    if numbers is None:
        return []
    first, second, year = map(int, numbers.groups())
    year += _CENTURY if year < 100 else 0
    ordered = ((first, second), (second, first))
    return list(dict.fromkeys(f"{year}-{m:02}-{d:02}" for d, m in ordered if 1 <= m <= 12 and 1 <= d <= 31))
