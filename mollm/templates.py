"""The language of prompts: the part of Jinja that is filled in once, from top to bottom.

A prompt has placeholders, conditions and a few filters, and nothing that repeats, calls or computes. So each part is
evaluated at most once: how long that takes, and how much it writes, is known from the prompt and the texts that are
filled in, and what a question costs at most can be counted before it is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from traceback import extract_tb
from typing import TYPE_CHECKING

import jinja2
from jinja2 import filters, nodes, tests
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mollm.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILTERS = ("capitalize", "count", "d", "default", "length", "lower", "string", "trim", "truncate", "upper")
TAKE_ARGUMENTS = ("d", "default", "truncate")
TESTS = ("defined", "eq", "equalto", "in", "ne", "none", "number", "string", "undefined")
ALLOWED = f"text, placeholders, {{% if %}}, comparisons, and, or, not, in, ~, and the filters {', '.join(FILTERS)}"

MOST_PARTS = 500
"""Placeholders, conditions, filters and comparisons in one prompt."""
DEEPEST = 32
"""Levels of conditions and expressions in one another."""
MOST_CHARACTERS = 2**27
"""Of the texts filled in, times the parts that may read them."""

_TEXT = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const)
_PARTS = (
    *(nodes.If, nodes.Name, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not),
    *(nodes.Concat, nodes.Filter, nodes.Test, nodes.Keyword, nodes.List, nodes.Tuple),
)
_COMPARING = (nodes.Compare, nodes.Operand, nodes.Test, nodes.List, nodes.Tuple)
"""Where a list may stand. Written as text it would double every backslash, and again in the list around it."""
_SPELLED = {
    nodes.Assign: "{% set %}",
    nodes.AssignBlock: "{% set %}",
    nodes.Call: "a call",
    nodes.Getitem: "an index",
    nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% import %}",
    nodes.Extends: "{% extends %}",
    nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.BinExpr: "arithmetic",
    nodes.UnaryExpr: "arithmetic",
    nodes.Dict: "a dictionary",
    nodes.ScopedEvalContextModifier: "{% autoescape %}",
    nodes.Scope: "{% autoescape %}",
}
"""How what is refused is written; all else by the name of its node."""


def _environment() -> jinja2.Environment:
    found = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    found.globals.clear()
    found.filters = {name: filters.FILTERS[name] for name in FILTERS}
    found.tests = {name: tests.TESTS[name] for name in TESTS}
    return found


_ENVIRONMENT = _environment()


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template."""

    name: str
    """Names it in errors."""
    compiled: jinja2.Template
    placeholders: tuple[str, ...]
    """Each as often as it is named."""
    parts: int
    """How much of it is evaluated at most."""

    def render(self, values: Mapping[str, str]) -> str:
        """Fill in `values`.

        Raises:
            PromptError: It cannot be rendered, or they are too long for it.
        """
        length = sum(map(len, values.values()))
        if self.parts * length > MOST_CHARACTERS:
            most = MOST_CHARACTERS // self.parts
            raise PromptError(f"{self.name}: {length} characters to fill in; with so many parts it takes {most}")
        try:
            return self.compiled.render(values)
        except (jinja2.TemplateError, ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
            lines = [f":{at.lineno}" for at in extract_tb(error.__traceback__) if at.filename == "<template>"]
            raise PromptError(f"{self.name}{''.join(lines[-1:])}: {type(error).__name__}: {error}") from error


def parse(text: str, name: str) -> Template:
    """Check that `text` is in the language, and compile it.

    Args:
        text: The template.
        name: Names it in errors, which add the line: a file, or the key in which it stands.

    Raises:
        PromptError: It is broken, or holds what is not in the language.
    """
    try:
        tree = _ENVIRONMENT.parse(text)
        parts = list(_parts(tree, name))
        compiled = _ENVIRONMENT.from_string(tree)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"{name}:{error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise PromptError(f"{name}: nested too deeply") from error
    except ValueError as error:  # of `int`; Jinja does not say where
        raise PromptError(f"{name}: a number in it has thousands of digits; write a smaller one") from error
    return Template(name, compiled, tuple(part.name for part in parts if isinstance(part, nodes.Name)), len(parts) + 1)


def _parts(tree: nodes.Template, name: str) -> Iterator[nodes.Node]:
    """Everything that is evaluated. Without recursion, which a tree may be too deep for."""
    found = 0
    left: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while left:
        node, depth = left.pop()
        where = f"{name}:{node.lineno or next(inner.lineno for inner in node.find_all(nodes.Expr))}"
        if not isinstance(node, (*_TEXT, *_PARTS)):
            raise PromptError(f"{where}: {_spelled(node)} cannot be used in a prompt; it may have {ALLOWED}")
        if isinstance(node, nodes.Filter | nodes.Test):
            _check_name(node, where)
        if not isinstance(node, _COMPARING):
            _check_lists(node, where)
        if depth > DEEPEST:
            raise PromptError(f"{where}: nested too deeply: more than {DEEPEST} levels")
        if isinstance(node, _PARTS):
            found += 1
            yield node
        if found > MOST_PARTS:
            raise PromptError(f"{where}: more than {MOST_PARTS} placeholders, conditions, filters and comparisons")
        left += [(child, depth + 1) for child in reversed(list(node.iter_child_nodes()))]


def _check_name(node: nodes.Filter | nodes.Test, where: str) -> None:
    kind, known = ("filter", FILTERS) if isinstance(node, nodes.Filter) else ("test", TESTS)
    if node.name not in known:
        raise PromptError(f"{where}: No {kind} named {node.name!r}; a prompt may use {', '.join(known)}")
    if kind == "filter" and node.name not in TAKE_ARGUMENTS and (node.args or node.kwargs):
        raise PromptError(f"{where}: the filter {node.name!r} takes no arguments in a prompt")


def _check_lists(node: nodes.Node, where: str) -> None:
    if any(isinstance(child, nodes.List | nodes.Tuple) for child in node.iter_child_nodes()):
        raise PromptError(f"{where}: a list may only be compared in a prompt, as in {{% if mixture in ['a', 'b'] %}}")


def _spelled(node: nodes.Node) -> str:
    if isinstance(node, nodes.Getattr):
        return f"the attribute {node.attr!r}"
    kinds = (spelled for kind, spelled in _SPELLED.items() if isinstance(node, kind))
    return next(kinds, f"{{% {type(node).__name__.lower()} %}}")
