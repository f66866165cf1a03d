"""Canonical forms: strings that are the same exactly where the values are, and when two of them are one answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from fractions import Fraction

PERCENT, ORDINAL = "%", "th"


class Form(str):
    """The canonical form of a final answer; for a number, with the unit that was written beside it.

    It is a string and equal to any other with the same characters, so it can be stored, printed and sent like one.
    What only knows the characters (a proposal read back from JSON) has lost the unit, and nothing else.

    Attributes:
        unit: `cm`, `dollar`, `%`, `marble`, `th` of an ordinal; empty where there is none, or it is not a number.
        figure: The number that was written beside a word that scales it: `60` of 60 %, `7` of 7 dozen; else empty.
    """

    __slots__ = ("figure", "unit")

    unit: str
    figure: str

    def __new__(cls, text: str, unit: str = "", figure: str = "") -> Self:
        """Make the form `text` of a number in `unit`, written as `figure`."""
        form = super().__new__(cls, text)
        form.unit, form.figure = unit, figure
        return form


def blank(spaces: str) -> Form:
    """Return the form of an empty or blank string, which is an answer too: it stands in quotation marks, `""`.

    No other value has such a form, so it is never equal to one, and where it is shown one sees that it was said.
    """
    return Form(json.dumps(spaces, ensure_ascii=False))


def unit_of(form: str) -> str:
    """Return the unit of a number, empty where none is known."""
    return form.unit if isinstance(form, Form) else ""


def is_same(a: str, b: str) -> bool:
    """Say whether two canonical forms are one answer: the same value, and not in two different units.

    A number without a unit is the same as one with: `5` and `5 cm`, `5` and `5 m`, but not `5 cm` and `5 m`.
    """
    return a == b and (unit_of(a) == unit_of(b) or not unit_of(a) or not unit_of(b))


_MAX_PLACES = 300
"""Most decimal places that are written out."""


def written(number: Fraction) -> str:
    """Write a number exactly: as a decimal where it ends, else as a fraction in lowest terms."""
    places = next((places for places in range(_MAX_PLACES) if not 10**places % number.denominator), 0)
    digits = str(abs(number.numerator) * 10**places // number.denominator).zfill(places + 1)
    return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}" if places else str(number)
