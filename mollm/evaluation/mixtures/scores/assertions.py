"""Tests of an answer's code, taken apart: what runs beside the answer, and what it has to come to, which does not.

Each `assert a == b` is replaced by a report of both sides, in data, and compared here, outside. A side that is a
constant is not even shown to the answer's code: whatever that code does to its process, it would have to guess the
value. What an assertion says of no constant is worked out beside the answer, and code that attacks the harness itself
can forge it.
"""

from __future__ import annotations

import ast
import json
import operator
import warnings
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
ANSWER = "answer"
"""The module that the answer's code is, as `harness.ANSWER`."""
HIDDEN = object()
"""In place of a side that is reported, where the other one is the constant."""


class Opaque:
    """A value that is no plain data: it equals no constant."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What one assertion says."""

    operator: type[ast.cmpop] | None = None
    """Between its sides; None: what is reported is whether it holds."""
    left: Any = HIDDEN
    right: Any = HIDDEN
    imported: frozenset[str] = frozenset()
    """Sides that are made by what the tests import, such as `approx(...)`: what they are equal to, they may say."""

    def holds(self, report: Mapping[str, Any]) -> bool:
        """Whether a report is what it says; whatever cannot be read or compared is not."""
        try:
            if self.operator is None:
                return report.get("truth") is True
            compare = OPERATORS[self.operator]
            if self.left is not HIDDEN or self.right is not HIDDEN:
                value = decoded(report.get("left" if self.right is not HIDDEN else "right"))
                return bool(compare(value, self.right) if self.right is not HIDDEN else compare(self.left, value))
            left, right = decoded(report.get("left")), decoded(report.get("right"))
            opaque = {name for name, value in (("left", left), ("right", right)) if isinstance(value, Opaque)}
            if not opaque and self.operator not in (ast.Is, ast.IsNot):
                return bool(compare(left, right))
            # An object may call itself equal to anything, and plain data know better.
            decides = {ast.Eq: ({"left"}, {"right"}), ast.In: ({"left"},)}.get(self.operator, ())
            if opaque in decides and not opaque <= self.imported:
                return False
            return report.get("truth") is True
        except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError):
            return False


@dataclass(frozen=True, slots=True)
class Assertions:
    """Tests that can be run."""

    code: str
    """What runs behind the answer's code."""
    expected: tuple[Expected, ...]
    """What is reported, by number."""
    required: frozenset[int]
    """Reports that must come, for the assertion stands where it cannot be passed by."""

    def passed(self, lines: str, secret: str) -> bool:
        """Whether what was reported says that all tests pass.

        Args:
            lines: What the process wrote.
            secret: What each line has to begin with.
        """
        reported: set[int] = set()
        is_through = False
        for line in lines.splitlines():
            if not line.startswith(secret):
                continue
            try:
                report = json.loads(line[len(secret) :])
            except (ValueError, RecursionError):
                return False
            if report == "through":
                is_through = True
                continue
            number = report.get("number") if isinstance(report, dict) else None
            if type(number) is not int or not 0 <= number < len(self.expected):
                return False
            if not self.expected[number].holds(report):
                return False
            reported.add(number)
        # Where none of several came, a function with all of them was never called.
        return is_through and self.required <= reported and (bool(reported) or not self.expected)


def decoded(value: Any) -> Any:
    """Undo `encoded` of the harness."""
    if value is None:
        return Opaque()
    ((kind, inner),) = value.items()
    match kind:
        case "plain":
            return inner
        case "int":
            return int(inner, 16)
        case "bytes":
            return bytes.fromhex(inner)
        case "complex":
            return complex(*inner)
        case "fraction":
            return Fraction(*(int(part, 16) for part in inner))
        case "decimal":
            return Decimal(inner)
        case "list":
            return [decoded(item) for item in inner]
        case "tuple":
            return tuple(decoded(item) for item in inner)
        case "set":
            return {decoded(item) for item in inner}
        case "frozenset":
            return frozenset(decoded(item) for item in inner)
        case "dict":
            return {decoded(key): decoded(item) for key, item in inner}
    raise ValueError(kind)


def assertions_of(code: str) -> Assertions:
    """Take tests apart: `assert` statements, alone or in functions `test_...` that take nothing, which are called.

    Raises:
        ValueError: They are no Python, or assert nothing that would ever run; says why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except SyntaxError as error:
        raise ValueError(f"the tests are no Python: {error.msg} (line {error.lineno})") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"the tests cannot be read: {error}") from None
    taking = _Taking(_called(tree) | _test_functions(tree), _spoken_of(tree), _imported(tree))
    tree.body = taking.block(tree.body, is_outright=True, is_run=True)
    if not taking.counted:
        idle = f", and nobody calls {', '.join(taking.idle)}" if taking.idle else ""
        raise ValueError(
            f"the tests assert nothing: write `assert` statements, alone or in functions `test_...()`{idle}"
        )
    tree.body += [
        ast.Expr(ast.Call(ast.Name(name, ast.Load()), [], []))
        for name in sorted(_test_functions(tree), key=lambda name: _line_of(tree, name))
    ]
    return Assertions(ast.unparse(ast.fix_missing_locations(tree)), tuple(taking.expected), frozenset(taking.required))


def _test_functions(tree: ast.Module) -> set[str]:
    """Functions that pytest would call: those that need no arguments."""
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test")
        and len(node.args.posonlyargs + node.args.args) == len(node.args.defaults)
        and all(default is not None for default in node.args.kw_defaults)
    }


def _called(tree: ast.Module) -> set[str]:
    """Functions that are called in a statement of their own."""
    calls = [node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


def _spoken_of(tree: ast.Module) -> set[str]:
    """Names that are used, of whatever."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _imported(tree: ast.Module) -> set[str]:
    """Names that are imported, from elsewhere than the answer."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module != ANSWER):
            found |= {(name.asname or name.name).partition(".")[0] for name in node.names}
    return found - {ANSWER}


def _root(node: ast.expr) -> str | None:
    """The name that an expression begins with: `pytest` of `pytest.approx(1)`."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _line_of(tree: ast.Module, name: str) -> int:
    return next(node.lineno for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)


@dataclass(slots=True)
class _Taking:
    """Takes assertions out of statements."""

    outright: set[str]
    """Functions at the top that are surely called."""
    spoken_of: set[str]
    """Names that are used."""
    imported: set[str]
    """Names that the tests import, but for those of the answer."""
    expected: list[Expected] = field(default_factory=list)
    required: set[int] = field(default_factory=set)
    counted: int = 0
    """Assertions that are run, or may be."""
    idle: list[str] = field(default_factory=list)
    """Functions and classes that nobody names."""

    def block(self, body: list[ast.stmt], *, is_outright: bool, is_run: bool) -> list[ast.stmt]:
        """Replace the assertions of a block.

        Args:
            body: Its statements.
            is_outright: Whether each of them is surely come to.
            is_run: Whether it may be come to at all.
        """
        found: list[ast.stmt] = []
        for node in body:
            if isinstance(node, ast.Assert):
                self.counted += is_run
                found += self._assertion(node.test, is_outright=is_outright)
            else:
                found.append(self._statement(node, is_outright=is_outright, is_run=is_run))
        return found

    def _statement(self, node: ast.stmt, *, is_outright: bool, is_run: bool) -> ast.stmt:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                is_surely = is_outright and isinstance(node, ast.FunctionDef) and node.name in self.outright
                may_be = is_surely or node.name in self.spoken_of
                self.idle += [] if may_be else [node.name]
                node.body = self.block(node.body, is_outright=is_surely, is_run=may_be)
            case ast.If() | ast.For() | ast.While():
                node.body = self.block(node.body, is_outright=False, is_run=is_run)
                node.orelse = self.block(node.orelse, is_outright=False, is_run=is_run)
            case ast.ClassDef() if node.name not in self.spoken_of:
                self.idle.append(node.name)
            case _:  # `try` and `with` may be about an assertion that fails: what is in them runs as it stands
                self.counted += is_run and any(isinstance(inner, ast.Assert) for inner in ast.walk(node))
        return node

    def _assertion(self, test: ast.expr, *, is_outright: bool) -> Iterator[ast.stmt]:
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            for value in test.values:
                yield from self._assertion(value, is_outright=is_outright)
            return
        number = len(self.expected)
        self.required |= {number} if is_outright else set()
        arguments: list[ast.expr] = [ast.Constant(number)]
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            kind, sides = type(test.ops[0]), {"left": test.left, "right": test.comparators[0]}
            known = {name: value for name, side in sides.items() if (value := _constant(side)) is not HIDDEN}
            if kind in (ast.In, ast.NotIn):  # what a container holds, it alone may know
                known.pop("left", None)
            if len(known) == 1:
                self.expected.append(Expected(kind, **known))
                (shown,) = sides.keys() - known.keys()
                yield _call("shown", [*arguments, ast.Constant(shown), sides[shown]])
                return
            imported = frozenset(name for name, side in sides.items() if _root(side) in self.imported)
            self.expected.append(Expected(kind, imported=imported))
            yield _call("compared", [*arguments, sides["left"], ast.Constant(kind.__name__), sides["right"]])
            return
        self.expected.append(Expected())
        yield _call("held", [*arguments, ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), test))])


NAME = "reporting_of_assertions"
"""In the tests, what reports; the harness puts it there."""


def _call(method: str, arguments: list[ast.expr]) -> ast.stmt:
    return ast.Expr(ast.Call(ast.Attribute(ast.Name(NAME, ast.Load()), method, ast.Load()), arguments, []))


def _constant(node: ast.expr) -> Any:
    """The value of an expression that is a constant, else `HIDDEN`."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return HIDDEN
