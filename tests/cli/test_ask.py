"""`mollm ask` through a pipe, as a script runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

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


def test_a_panel_is_put_together_from_names(config: Path) -> None:
    """`--workers` takes the place of a mixture; one that stands there twice is asked twice."""
    done = run("ask", "Hi", "--workers", "a, b,a", "--aggregator", "boss", "--json", cwd=config.parent)

    answer = json.loads(done.stdout)
    assert (answer["text"], answer["mixture"]) == ("the whole answer", "panel")
    assert [p["worker"] for p in answer["proposals"]] == ["a", "b", "a#2"]
    assert run("ask", "Hi", "-w", "b", cwd=config.parent).stdout == "from b\n"


def test_a_panel_is_explained(tmp_path: Path) -> None:
    """By what it was asked with: who was chosen, and that nothing was written."""
    (tmp_path / "mollm.yaml").write_text(
        "llms:\n  a: {model: scripted/One way.}\n  b: {model: scripted/Another.}\n  judge: {model: scripted/2}\n"
        "mixtures: {m: {description: d, workers: [a]}}\n"
    )

    panel = ("--workers", "a,b", "--aggregator", "judge", "--method", "best")
    done = run("ask", "Hi", *panel, "--explain", cwd=tmp_path)

    assert done.returncode == 0
    assert "panel  a panel that the request brought" in done.stderr
    assert "'s proposal, word for word, chosen by judge" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--workers", "a,x"), "mollm: mixture.workers[1].llm: no LLM 'x'; allowed: a, b, boss\n"),
        (("--workers", "a,b", "--method", "mean"), "mollm: mixture.aggregator.method: must be"),
        (("--workers", ","), "mollm: mixture.workers: list should have at least 1 item"),
        (("--aggregator", "a"), "--aggregator and --method go with --workers"),
        (("--workers", "a", "--mixture", "solo"), "takes the place of a mixture; leave one of them out"),
        (("--mixture", "panel"), "'panel' stands for a panel for one request"),
    ],
)
def test_what_is_no_panel_is_the_users_mistake(config: Path, arguments: tuple[str, ...], said: str) -> None:
    """Exit code 2, and what would be right."""
    done = run("ask", "Hi", *arguments, cwd=config.parent)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
