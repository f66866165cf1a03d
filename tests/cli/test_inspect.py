"""`mollm route`, `mollm check` and `mollm show`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.command import TEAM, run

if TYPE_CHECKING:
    from pathlib import Path


def test_route_shows_the_decision(config: Path) -> None:
    """For people a line each, for programs always a list, and no LLM is needed."""
    config.write_text(
        TEAM.replace("model: scripted/from a", "model: hosted_vllm/a, api_base: x, api_key: '${NOT_THERE}'")
    )

    people = run("route", "Hi", "Ho", cwd=config.parent)
    programs = run("route", "Hi", "--json", cwd=config.parent)

    assert people.stdout.count("team") >= 2
    assert [decision["mixture"] for decision in json.loads(programs.stdout)] == ["team"]


def test_check_lists_everything_at_once(config: Path) -> None:
    """All problems in one go, exit code 2; a good file is confirmed with 0."""
    good = run("check", cwd=config.parent)
    config.write_text(TEAM.replace("workers: [a, b]", "workers: [a, x], agree: 9").replace("One alone.", ""))
    bad = run("check", cwd=config.parent)

    assert good.returncode == 0
    assert "nothing is wrong" in good.stdout
    assert bad.returncode == 2
    assert bad.stderr.count("error: ") >= 1


def test_check_online_calls_every_llm(config: Path) -> None:
    """An LLM that does not answer is found before the first question."""
    config.write_text(TEAM.replace("model: scripted/from a", "model: hosted_vllm/a, api_base: 'http://127.0.0.1:1/v1'"))

    done = run("check", "--online", cwd=config.parent)

    assert done.returncode == 2
    assert "error: a: " in done.stderr


def test_show_tells_the_worst_case(config: Path) -> None:
    """Mixtures, LLMs, and the most one question can take."""
    done = run("show", cwd=config.parent)

    assert "at most 3 calls" in done.stdout
    assert "bypass" in done.stdout


def test_show_draws_the_graph(config: Path) -> None:
    """Mermaid, ready to paste."""
    done = run("show", "--graph", cwd=config.parent)

    assert "graph TD" in done.stdout
    assert "propose" in done.stdout
