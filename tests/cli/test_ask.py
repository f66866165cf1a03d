"""`mollm ask` through a pipe, as a script runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.command import run

if TYPE_CHECKING:
    from pathlib import Path


def test_piped_it_prints_the_answer_alone(config: Path) -> None:
    """Standard output is the answer and a newline; standard error is silent."""
    done = run("ask", "Hi", cwd=config.parent)

    assert (done.returncode, done.stdout, done.stderr) == (0, "the whole answer\n", "")


def test_json_is_the_whole_answer(config: Path) -> None:
    """Every field of `Answer`, and nothing but JSON."""
    done = run("ask", "Hi", "--json", cwd=config.parent)

    answer = json.loads(done.stdout)
    assert answer["text"] == "the whole answer"
    assert answer["route"]["mixture"] == "team"
    assert [p["worker"] for p in answer["proposals"]] == ["a", "b"]
    assert answer["calls"] == len(answer["breakdown"]) == 3


def test_a_mixture_can_be_named(config: Path) -> None:
    """`--mixture` skips the router."""
    assert run("ask", "Hi", "--mixture", "solo", cwd=config.parent).stdout == "from a\n"


def test_a_question_can_come_from_standard_input(config: Path) -> None:
    """`-` reads it."""
    assert run("ask", "-", cwd=config.parent, text="Hi\n").stdout == "the whole answer\n"
