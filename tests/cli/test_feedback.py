"""`mollm feedback` and `mollm eval arms`, as a person types them."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from mollm import MoLLM
from mollm.cli.main import app
from mollm.errors import ConfigError, RequestError, UnknownAnswer
from tests.command import TEAM, in_terminal, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEPT = "feedback: {kind: sqlite}\n"


@pytest.fixture
def typed(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command here, beside a configuration that keeps answers, and returns what it prints."""
    config.write_text(TEAM + KEPT)
    monkeypatch.chdir(config.parent)
    monkeypatch.setenv("COLUMNS", "200")

    def type_in(*arguments: str) -> str:
        app(list(arguments), prog_name="mollm", standalone_mode=False)
        done = capsys.readouterr()
        return done.out + done.err

    return type_in


def test_what_was_just_answered_can_be_rated(typed: Callable[..., str], config: Path) -> None:
    """Through a pipe nothing is said of it; in a terminal how to."""
    assert typed("ask", "Hi") == "the whole answer\n"
    code, screen = in_terminal("ask", "Ho", cwd=config.parent, columns=200)
    assert code == 0
    assert "rate it, from -1 to 1: mollm feedback last SCORE" in plain(screen)
    assert typed("feedback", "last", "-0.5", "--note", "too short").endswith(": rated -0.5\n")
    assert "rated -0.5\n  Ho\n" in typed("feedback", "list")


def test_answers_are_rated_listed_exported_and_deleted(typed: Callable[..., str]) -> None:
    """By their ids; `last` is the newest, and a rating takes the place of the one before."""
    with MoLLM() as mollm:
        first, second = (mollm.ask(f"Question\n{number}").id for number in (1, 2))
    assert typed("feedback", first, "1") == f"{first}: rated 1\n"
    assert typed("feedback", "last", "-1") == f"{second}: rated -1\n"
    assert typed("feedback", "rate", "last", "0.25", "--better", "x") == f"{second}: rated 0.25\n"
    listed = typed("feedback", "list")
    assert [line.split("  ")[0] for line in listed.splitlines()] == [second, "", first, ""]
    assert "team, rated 0.25\n  Question 2\n" in listed
    entries = json.loads(typed("feedback", "list", "--most", "1", "--json"))
    assert [(e["id"], e["score"], e["better"], e["note"], e["proposals"]) for e in entries] == [
        (second, 0.25, "x", None, None)
    ]
    assert typed("feedback", "delete", "last") == f"{second}: deleted\n"
    (line,) = typed("feedback", "export").splitlines()
    assert (json.loads(line)["id"], json.loads(line)["question"]) == (first, "Question\n1")
    typed("feedback", "delete", first)
    assert typed("feedback", "export", "--rated") == typed("feedback", "list") == ""
    with pytest.raises(UnknownAnswer, match="no answer is kept yet"):
        typed("feedback", "last", "1")


def test_an_answer_of_a_conversation_is_rated_where_it_was_given(
    typed: Callable[..., str], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a command of its own; a slip is named, and the conversation goes on."""
    lines = ["/rate 1", "Hi", "/rate good", "/rate 2", "/rate -0.5", "Ho"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    said = typed("chat").splitlines()
    rated = [(e["question"], e["score"]) for e in json.loads(typed("feedback", "list", "--json"))]
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\n/rate 1\n"))
    config.write_text(TEAM)
    off = typed("chat")

    assert said[2:] == [
        "mollm: there is no answer yet to rate",
        "mollm: /rate takes a number from -1 to 1",
        "mollm: score: must be a number from -1 to 1, not 2.0",
        "rated -0.5",
    ]
    assert rated == [("Ho", None), ("Hi", -0.5)]
    assert "add `feedback: {kind: sqlite}`" in off


def test_mistakes_are_named(typed: Callable[..., str], config: Path) -> None:
    """Exit code 2 for each; nothing is kept unless the file says so, and then it says what to add."""
    for arguments, kind, said in (
        (("last", "2"), RequestError, "score: must be a number from -1 to 1, not 2.0"),
        (("last", "nan"), RequestError, "score: must be a number from -1 to 1, not nan"),
        (("nobody", "1"), UnknownAnswer, "no answer 'nobody' is kept"),
        (("last", "1", "--note", "x" * 1_000_000), RequestError, "note: 1,000,000 characters"),
        (("delete", "';--"), UnknownAnswer, 'no answer "\';--" is kept'),
    ):
        with pytest.raises(kind, match=said.replace("(", r"\(")) as error:
            typed("feedback", *arguments)
        assert error.value.exit_code == 2
    config.write_text(TEAM)
    for line in ("last 1", "list", "export", "delete x"):
        with pytest.raises(ConfigError, match=r"no answers are kept, so none can be rated; add `feedback: \{kind: "):
            typed("feedback", *line.split())
    with pytest.raises(ConfigError, match="no answers are kept"):
        typed("eval", "arms")


def test_an_answer_that_cannot_be_kept_is_printed_all_the_same(typed: Callable[..., str], config: Path) -> None:
    """With why not, and `check` finds it before."""
    config.write_text(TEAM + "feedback: {kind: sqlite, path: nowhere/f.sqlite}\n")

    assert typed("ask", "Hi").startswith("the whole answer\nmollm: the answer is not kept: ")
    assert "nowhere/f.sqlite cannot be written, so no answers are kept" in typed("check")


def test_arms_are_shown_side_by_side(typed: Callable[..., str], config: Path) -> None:
    """A table for each test, and under it what can be told."""
    assert typed("eval", "arms") == (
        "no answer that is kept took part in a test; `router.arms` and `mixtures.NAME.arms` make one\n"
    )
    arms = "arms: {current: 0.5, solo: 0.5}"
    config.write_text(TEAM.replace("aggregator: {llm: boss}", f"aggregator: {{llm: boss}}, {arms}") + KEPT)
    with MoLLM() as mollm:
        for answer in mollm.batch(["Hi"] * 40):
            mollm.feedback(answer.id, 1 if answer.mixture == "solo" else -1)
    shown = typed("eval", "arms").splitlines()
    (test,) = json.loads(typed("eval", "arms", "--json"))

    assert shown[0] == "team"
    assert shown[1].split() == ["arm", "answers", "rated", "score", "95", "%", "interval", "calls", "seconds", "USD"]
    assert [line.split()[0] for line in shown[2:4]] == ["current", "solo"]
    assert shown[4].startswith("  solo less current: 2.00 (")
    assert shown[4].endswith("solo is better")
    assert sum(outcome["answers"] for outcome in test["outcomes"]) == 40
