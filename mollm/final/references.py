"""When a final answer is what a reference names: the same, or in another writing that beside it means the same."""

from __future__ import annotations

import re

from mollm.final.forms import Form, is_same, unit_of
from mollm.final.units import ONE_LETTER

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+|/[0-9]+)?")
_BASED = re.compile(r"(-?[0-9][0-9a-f]{0,60}(?:\.[0-9a-f]{1,60})?)_(?:[0-9]{1,2}|[a-z])")
_WRITTEN = re.compile(
    rf"(?P<hour>[0-9]{{1,2}}):00(?:\s[ap]m)?|(?P<symbol>-?[0-9]{{1,60}}(?:\.[0-9]{{1,60}})?){ONE_LETTER.pattern}"
    r"|(?:the\s)?(?P<place>[0-9]{1,9})(?:st|nd|rd|th)\s[a-z]{3,20}"
)
_PLACES = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
    " sixteenth seventeenth eighteenth nineteenth"
)
_TENS = "twent thirt fort fift sixt sevent eight ninet"
_ORDINALS = {name: str(place) for place, name in enumerate(_PLACES.split(), 1)}
for _ten, _stem in enumerate(_TENS.split(), 2):
    _ORDINALS[f"{_stem}ieth"] = f"{_ten}0"
    _ORDINALS |= {f"{_stem}y {name}": f"{_ten}{place}" for place, name in enumerate(_PLACES.split()[:9], 1)}


def is_for(found: str, wanted: str) -> bool:
    """Say whether the final answer `found` is what the reference `wanted` names.

    Beside a reference that is a bare number, an answer is also right for the number that it was written with: 60 % and
    7 dozen for 60 and 7, `6th`, `the sixth` and `6th floor` for 6, `2:00 pm` for 2, `48g` for 48, `101_2` for 101; and
    101 is right for a reference of `101_2`. None of these is the same answer as the bare number among other replies.
    """
    if is_same(found, wanted):
        return True
    if based := _BASED.fullmatch(wanted):
        return found == based[1] and not unit_of(found)
    return not unit_of(wanted) and _NUMBER.fullmatch(wanted) is not None and wanted in _figures(found)


def _figures(found: str) -> tuple[str, ...]:
    """The bare numbers that a final answer was written with, or that stand in it beside nothing but a unit."""
    if isinstance(found, Form) and found.figure:
        return (found.figure,)
    if based := _BASED.fullmatch(found):
        return (based[1],)
    if written := _WRITTEN.fullmatch(found):
        if not written["hour"]:
            return (written[written.lastgroup or 0],)
        hour = int(written["hour"])
        return (str(hour), str(hour - 12)) if hour > 12 else (str(hour),)
    place = _ORDINALS.get(found.removeprefix("the ").removesuffix(" place"))
    return (place,) if place else ()
