"""Canonical forms: strings that are the same exactly where the values are, and when two of them are one answer."""

from __future__ import annotations

from fractions import Fraction
from typing import Self

PERCENT = "%"


class Form(str):
    """The canonical form of a final answer; for a number, with the unit that was written beside it.

    It is a string and equal to any other with the same characters, so it can be stored, printed and sent like one.
    What only knows the characters (a proposal read back from JSON) has lost the unit, and nothing else.

    Attributes:
        unit: `cm`, `dollar`, `%`, `marble`; empty where there is none, or it is not a number.
    """

    __slots__ = ("unit",)

    unit: str

    def __new__(cls, text: str, unit: str = "") -> Self:
        """Make the form `text` of a number in `unit`."""
        form = super().__new__(cls, text)
        form.unit = unit
        return form


def unit_of(form: str) -> str:
    """Return the unit of a number, empty where none is known."""
    return form.unit if isinstance(form, Form) else ""


def is_same(a: str, b: str) -> bool:
    """Say whether two canonical forms are one answer: the same value, and not in two different units.

    A number without a unit is the same as one with: `5` and `5 cm`, `5` and `5 m`, but not `5 cm` and `5 m`.
    """
    return a == b and (unit_of(a) == unit_of(b) or not unit_of(a) or not unit_of(b))


def unscaled(form: str) -> str | None:
    """Return the bare number that a percentage was written with, `60` for 60 %; None for what is no percentage."""
    return written(Fraction(form) * 100) if unit_of(form) == PERCENT else None


_MAX_PLACES = 300
"""Most decimal places that are written out."""


def written(number: Fraction) -> str:
    """Write a number exactly: as a decimal where it ends, else as a fraction in lowest terms."""
    places = next((places for places in range(_MAX_PLACES) if not 10**places % number.denominator), 0)
    digits = str(abs(number.numerator) * 10**places // number.denominator).zfill(places + 1)
    return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}" if places else str(number)
