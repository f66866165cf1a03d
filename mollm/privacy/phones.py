"""Phone numbers: whether digits are one is known to `phonenumbers`, the numbering plans of all countries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mollm.errors import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Groups: TypeAlias = list[tuple[int, int]]

_BETWEEN = "[ \\t\u00a0\u2009\u202f()./\u2013-]{0,3}"
_ABROAD = re.compile(rf"(?<![\w+])(?:\+|00){_BETWEEN}\d(?:{_BETWEEN}\d){{6,16}}+")
_AT_HOME = re.compile(rf"(?<![\w+.])\(?\d(?:{_BETWEEN}\d){{5,16}}+")
_GROUP = re.compile(r"\d+")
_FEWEST, _MOST_TRIES = 6, 4
_MOST_SINGLE = 3
"""Groups of one digit in a number, as in `+1 (0) ...`; what has more is a list."""


def phones(region: str | None = None) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Return what finds phone numbers with the code of a country, and those of a region without one.

    Args:
        region: A country (ISO 3166: `DE`), whose numbers are found as they are dialed there.

    Raises:
        ConfigError: The library is not installed.
        ValueError: There is no such region.
    """
    try:
        import phonenumbers
    except ImportError:
        raise missing("privacy", "phone numbers are recognized with phonenumbers, which is not installed") from None
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"{region!r} is no country; write its two letters, as in `DE` or `US`")

    def is_valid(digits: str) -> bool:
        try:
            return bool(phonenumbers.is_valid_number(phonenumbers.parse(digits, region)))
        except phonenumbers.NumberParseException:
            return False

    is_valid("+1 212 736 5000")  # reads the first of the plans now
    plan = phonenumbers.PhoneMetadata.metadata_for_region(region) if region else None
    # Where numbers are dialed with a zero, others of that length are too often something else.
    begins = "0" if plan and plan.national_prefix == "0" else ""

    def find(text: str) -> Iterator[tuple[int, int]]:
        known: dict[str, bool] = {}  # a list may repeat what takes a tenth of a millisecond to know

        def is_number(digits: str) -> bool:
            if digits not in known:
                known[digits] = is_valid(digits)
            return known[digits]

        def is_dialed_abroad(digits: str) -> bool:
            return is_number(f"+{digits.removeprefix('00')}")

        for pattern, is_abroad in ((_ABROAD, True), (_AT_HOME, False)):
            if not is_abroad and region is None:
                return
            for found in pattern.finditer(text):
                groups = [group.span() for group in _GROUP.finditer(text, *found.span())]
                if sum(end - start == 1 for start, end in groups) > _MOST_SINGLE:
                    continue
                if is_abroad:
                    span = _longest(text, found.start(), groups, is_dialed_abroad)
                else:
                    span = _at_home(text, groups, begins, is_number)
                if span:
                    yield span

    return find


def _at_home(text: str, groups: Groups, begins: str, is_number: Callable[[str], bool]) -> tuple[int, int] | None:
    """The longest number that begins with one of the first groups: others may stand before it."""
    for first in range(min(3, len(groups))):
        start = groups[first][0]
        if text.startswith(begins, start) and (span := _longest(text, start, groups[first:], is_number)):
            return span
    return None


def _longest(text: str, start: int, groups: Groups, is_number: Callable[[str], bool]) -> tuple[int, int] | None:
    """The longest number that begins with the first group: others may follow it."""
    for count in range(len(groups), max(0, len(groups) - _MOST_TRIES), -1):
        digits = "".join(text[begin:end] for begin, end in groups[:count])
        if len(digits) < _FEWEST:
            break
        if is_number(digits):
            return start, groups[count - 1][1]
    return None
