"""What the characters of a number may mean: `1,234` is 1234, or 1.234 where a comma stands before the decimals."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from mollm.facts.base import Fact
from mollm.final.numbers import number

if TYPE_CHECKING:
    from collections.abc import Iterator

SPACES = " \u00a0\u2009\u202f"
"""Spaces that may separate thousands."""
RUN = rf"[0-9]++(?:[.,'_][0-9]++)*+(?:(?:[{SPACES}][0-9]{{3}}(?![0-9]))++(?:[.,][0-9]++)?+)?+"
"""Digits and what may separate them inside one number."""
_SEPARATOR = re.compile(rf"[.,'_{SPACES}]")
_ONE_NUMBER = re.compile(
    r"[0-9]+(?:,[0-9]+)?(?:\.[0-9]+)?|[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?:\.[0-9]+)?"
    rf"|[0-9]{{1,3}}(?:[.'{SPACES}][0-9]{{3}})+,[0-9]+"
)
_CORE = re.compile(rf"(?P<run>\.?{RUN})(?P<rest>.*)", re.S)


def parts(run: str) -> list[str]:
    """The numbers that a `RUN` would be if it were several: `1,2,3`."""
    return _SEPARATOR.split(run)


def is_one(run: str) -> bool:
    """Whether a `RUN` is one number."""
    return "," not in run or _ONE_NUMBER.fullmatch(run) is not None


@lru_cache(maxsize=4096)
def number_of(core: str, shown: str = "", sign: str = "") -> tuple[Fact, ...]:
    """The number that `core` is, with all that it may mean; nothing if it is none.

    Args:
        core: A `RUN`, and what scales it: `1.5 million`, `3/4`, `12%`, `6e23`.
        shown: As it stands in the text.
        sign: `-` for a negative number; `?` if a hyphen stands in front that may be something else.
    """
    values = [value for value in map(_value, _meant(core)) if value is not None]
    if sign == "-":
        values = [value if value == "0" else f"-{value}" for value in values]
    elif sign:
        values += [f"-{value}" for value in values]
    keys = list(dict.fromkeys(values))
    return (Fact("number", keys[0], shown, tuple(keys[1:])),) if keys else ()


def _meant(core: str) -> Iterator[str]:
    found = _CORE.fullmatch(core)
    if found is None:
        yield core
        return
    values = list(_separated(found["run"]))
    yield from (value + found["rest"] for value in values)
    if found["rest"][:1] not in tuple("/eE"):
        yield from values  # 50 % is also 50, and 3 million is also 3


def _separated(run: str) -> Iterator[str]:
    """A run with a point before its decimals and nothing else, in each way it may be meant."""
    run = re.sub(rf"['_{SPACES}]", "", run)
    separators = [character for character in run if character in ".,"]
    joined = run.replace(",", "").replace(".", "")
    if len(set(separators)) == 2:
        at = max(run.rfind("."), run.rfind(","))
        yield f"{re.sub('[.,]', '', run[:at])}.{run[at + 1 :]}"
    elif len(separators) > 1:
        yield joined
    elif separators == [","]:
        if len(run.partition(",")[2]) == 3 and not run.startswith("0"):
            yield joined
        yield run.replace(",", ".")
        yield from run.split(",")
    else:
        yield run
        if re.fullmatch(r"[1-9][0-9]{0,2}\.[0-9]{3}", run):
            yield joined


def _value(text: str) -> str | None:
    """The form that `final.numbers` gives a number, without its help where there are only digits."""
    whole, point, places = text.partition(".")
    if not (whole + places).isdigit():
        return number(text)
    places = places.rstrip("0") if point else ""
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{places}" if places else whole
