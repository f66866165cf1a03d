"""`docs/faults.md` says of every fault what happens, and names a test that exists, or says why there is none."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import NamedTuple

import pytest

from tests.reference import ROOT

PAGE = (ROOT / "docs" / "faults.md").read_text("utf-8")
NUMBERS = [
    *map(str, range(1, 56)),
    *("32a", "33a", "33b", "37a", "37b"),
    *(f"S{number}" for number in range(1, 23)),
]
"""Of the faults, and of what is asked for safety."""
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
REASON = re.compile(r"(Does not apply|Not done|Measured): \S")


class Row(NamedTuple):
    """A row of a table."""

    number: str
    fault: str
    outcome: str
    proof: str


def rows() -> list[Row]:
    """Every row of the page, but for the heads of tables."""
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line[:2] == "| "]
    return [Row(*found) for found in cells if found[0] != "row"]


@cache
def names_of(path: str) -> frozenset[str]:
    """The tests in a file, also in its classes; none where there is no such file."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    nodes = ast.walk(ast.parse(file.read_text("utf-8")))
    found = (node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in found if name.startswith("test_"))


def test_every_fault_is_there_once() -> None:
    """None is left out, and none is told twice."""
    assert sorted(row.number for row in rows()) == sorted(NUMBERS)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.number)
def test_a_fault_has_a_test_that_exists_or_a_reason(row: Row) -> None:
    """A test that is renamed or deleted is missed here."""
    named = TEST.findall(row.proof)

    assert [f"{path}::{name}" for path, name in named if name not in names_of(path)] == []
    assert row.proof.count("`tests/") == len(named), "what looks like a test is written as one"
    assert named or REASON.match(row.proof) or "TODO-" in row.proof
    assert row.fault
    assert row.outcome
