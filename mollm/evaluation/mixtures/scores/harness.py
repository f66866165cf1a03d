"""The program that runs an answer's code, and the tests behind it, inside the sandbox; it imports nothing of mollm.

The answer's code comes first, without any input and with an output that nobody reads. Only then are the tests read,
with the secret that each report has to begin with.
"""

from __future__ import annotations

import json
import operator
import os
import sys
import types
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Is": operator.is_,
    "IsNot": operator.is_not,
    "In": lambda item, items: item in items,
    "NotIn": lambda item, items: item not in items,
}
ANSWER = "answer"
"""The module that the answer's code becomes."""
DEEPEST = 100
"""Levels of a value that is reported."""
BITS = 1000
"""Larger numbers are written in hexadecimal digits."""
FLAGS = type.__dict__["__flags__"].__get__
HEAP_TYPE = 1 << 9
"""Flag of a class that is made by a program (`Py_TPFLAGS_HEAPTYPE`); those of C code often have none."""


class NotPlainError(Exception):
    """A value is no plain data."""


def encoded(value: Any, depth: int = 0) -> dict[str, Any]:
    """Write plain data as JSON, by its class and never by what a method of the answer's says it is.

    Raises:
        NotPlainError: It is none.
    """
    if depth > DEEPEST:
        raise NotPlainError
    kind = type(value)
    if value is None or kind is bool:
        return {"plain": value}
    if issubclass(kind, int):
        number = int.__int__(value)
        return {"plain": number} if number.bit_length() < BITS else {"int": hex(number)}
    if issubclass(kind, float):
        return {"plain": float.__float__(value)}
    if issubclass(kind, str):
        return {"plain": str.__str__(value)}
    if issubclass(kind, bytes):
        return {"bytes": bytes.hex(value)}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is Fraction:
        return {"fraction": [hex(value.numerator), hex(value.denominator)]}
    if kind is Decimal:
        return {"decimal": str(value)}
    for name, one in (("list", list), ("tuple", tuple), ("set", set), ("frozenset", frozenset)):
        if issubclass(kind, one):
            return {name: [encoded(item, depth + 1) for item in one.__iter__(value)]}
    if issubclass(kind, dict):
        return {"dict": [[encoded(key, depth + 1), encoded(item, depth + 1)] for key, item in dict.items(value)]}
    if not is_own(value):
        if issubclass(kind, AbstractSet):
            return {"set": [encoded(item, depth + 1) for item in value]}
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a number of NumPy's
            return encoded(value.item(), depth + 1)
    raise NotPlainError


def is_own(value: Any) -> bool:
    """Whether the class of a value is the answer's, rather than one of Python's or of a module that can be imported."""
    kind = type(value)
    if not FLAGS(kind) & HEAP_TYPE:
        return False
    found: Any = sys.modules.get(kind.__module__) if kind.__module__ != ANSWER else None
    for part in kind.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is not kind


class Reporting:
    """Writes what becomes of assertions."""

    def __init__(self, stream: int, secret: str) -> None:
        self._stream, self._secret = stream, secret

    def tell(self, report: Any) -> None:
        """Write one report."""
        line = f"{self._secret}{json.dumps(report)}\n".encode()
        while line:
            line = line[os.write(self._stream, line) :]

    def shown(self, number: int, side: str, value: Any) -> None:
        """Report one side of a comparison; the other is not known here."""
        self.tell({"number": number, side: _side(value)})

    def compared(self, number: int, left: Any, operator: str, right: Any) -> None:
        """Report both sides of a comparison, and whether it holds here."""
        truth = bool(OPERATORS[operator](left, right))
        self.tell({"number": number, "left": _side(left), "right": _side(right), "truth": truth})

    def held(self, number: int, truth: bool) -> None:
        """Report whether an assertion holds; one that does not ends what it stands in."""
        self.tell({"number": number, "truth": truth is True})
        if not truth:
            raise AssertionError


def _side(value: Any) -> dict[str, Any] | None:
    try:
        return encoded(value)
    except (NotPlainError, RecursionError):
        return None


def main() -> NoReturn:
    """Run the answer, then the tests."""
    given, told = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    module = types.ModuleType(ANSWER)
    sys.modules[ANSWER] = module
    sys.argv = [ANSWER]
    with open(f"{ANSWER}.py", encoding="utf-8") as file:
        code = file.read()
    module.__file__ = os.path.abspath(f"{ANSWER}.py")
    exec(compile(code, f"{ANSWER}.py", "exec"), module.__dict__)
    with open(given, encoding="utf-8") as file:
        secret, name, tests = json.load(file)
    reporting = Reporting(told, secret)
    setattr(module, name, reporting)
    module.__dict__["__name__"] = "__main__"  # behind which some tests call theirs
    exec(compile(tests, "tests.py", "exec"), module.__dict__)
    reporting.tell("through")
    os._exit(0)


if __name__ == "__main__":
    main()
