"""`mollm route`, `mollm check` and `mollm show`."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING

import pytest

from tests.command import TEAM, run

if TYPE_CHECKING:
    from pathlib import Path


def test_route_shows_the_decision(config: Path) -> None:
    """For people a line each, for programs always a list, and no LLM is needed."""
    config.write_text(
        TEAM.replace("model: scripted/from a", "model: hosted_vllm/a, api_base: 'http://x/v1', api_key: '${NOT_THERE}'")
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
    assert "with tools: after, by " in done.stdout


def test_show_tells_what_a_request_with_tools_gets(config: Path) -> None:
    """Who has the tools, and how many calls that takes; nothing where a worker has them by itself."""
    config.write_text(TEAM.replace("[a, b]", "[a, b], tools_llm: a, on_tools: every"))

    done = run("show", cwd=config.parent)

    assert "with tools: every, by a; at most 3 calls" in done.stdout
    assert done.stdout.count("with tools") == 1


def test_show_tells_who_compares(config: Path) -> None:
    """Between those who propose and who writes, and counted with them."""
    more = TEAM.replace("[a, b], aggregator: {llm: boss}", "[a, b], aggregator: {llm: boss, analysis: true}, REVIEW")
    config.write_text(more.replace("REVIEW", "review: {by: [boss]}"))

    done = run("show", cwd=config.parent, COLUMNS="200")

    assert "a, b -> ranked by boss -> analyzed by boss -> synthesize by boss; at most 6 calls" in done.stdout


def test_show_draws_the_graph(config: Path) -> None:
    """Mermaid, ready to paste."""
    done = run("show", "--graph", cwd=config.parent)

    assert "graph TD" in done.stdout
    assert "propose" in done.stdout


GUIDED = """
llms:
  a: {model: scripted/from a}
  guide: {model: scripted/solo}
  sage: {model: scripted/team}
mixtures:
  team: {description: Two., workers: [a, a]}
  solo: {description: One alone., workers: [a]}
router: {kind: chain, fallback: team, members: [{kind: llm, llm: guide, threshold: 0.0}, {kind: llm, llm: sage}]}
"""


def test_route_may_ask_its_llms(config: Path) -> None:
    """One for each question, within the limits."""
    config.write_text(GUIDED + "limits: {calls: 2}\n")

    done = run("route", "Hi", "Ho", "--json", cwd=config.parent)

    assert (done.returncode, done.stderr) == (0, "")
    assert [decision["mixture"] for decision in json.loads(done.stdout)] == ["solo", "solo"]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("{calls: 1}", "2 calls at worst"),
        ("{output_tokens: 20}", "output tokens at worst"),
        ("{cost_usd: 0.000001}", "USD at worst"),
    ],
)
def test_route_refuses_what_could_exceed_a_limit(limits: str, message: str, config: Path) -> None:
    """As `ask` does: before anything is called, with exit code 2."""
    priced = re.sub(r"scripted/(solo|team)", r"scripted/\1, price: {input: 1, output: 1}", GUIDED)
    config.write_text(f"{priced}limits: {limits}\n")

    done = run("route", "Hi", cwd=config.parent)

    assert (done.returncode, done.stdout) == (2, "")
    assert "the router is" in done.stderr
    assert message in done.stderr


def test_route_stops_when_its_time_is_up(config: Path) -> None:
    """A router's LLM that never replies is not waited for longer than `limits.seconds`."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"hosted_vllm/m, api_base: 'http://127.0.0.1:{silent.getsockname()[1]}/v1', retries: 0"
        routed = re.sub(r"router: .*", "router: {kind: llm, llm: guide, fallback: team}", GUIDED)
        config.write_text(routed.replace("scripted/solo", address) + "limits: {seconds: 4}\n")

        done = run("route", "Hi", cwd=config.parent)

    assert (done.returncode, done.stderr) == (0, "")
    assert "guide failed" in done.stdout


@pytest.mark.parametrize("command", ["check", "show"])
def test_the_file_may_be_an_argument(command: str, config: Path) -> None:
    """As well as `--config`, and both may name the same."""
    other = config.parent / "other.yaml"
    other.write_text(TEAM.replace("solo", "alone"))

    by_argument = run(command, "other.yaml", cwd=config.parent)
    by_option = run(command, "--config", "other.yaml", cwd=config.parent)
    by_both = run(command, "./other.yaml", "-c", "other.yaml", cwd=config.parent)

    assert (by_argument.returncode, by_argument.stderr) == (0, by_option.stderr)
    assert by_argument.stdout == by_option.stdout == by_both.stdout
    assert by_argument.stdout.startswith("other.yaml")


@pytest.mark.parametrize("command", ["check", "show"])
def test_two_files_are_a_mistake(command: str, config: Path) -> None:
    """Nobody can tell which one was meant."""
    done = run(command, "mollm.yaml", "--config", "other.yaml", cwd=config.parent)

    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: mollm" in done.stderr
    assert "mollm.yaml is not the file that --config names (other.yaml)" in done.stderr


def test_a_file_that_is_not_there_is_named(config: Path) -> None:
    """Given as an argument as well."""
    done = run("check", "none.yaml", cwd=config.parent)

    assert (done.returncode, done.stderr) == (2, "error: none.yaml: cannot be read: No such file or directory\n")
