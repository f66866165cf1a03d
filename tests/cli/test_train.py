"""`mollm train router` and `mollm routers`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mollm.cli.main import app
from mollm.errors import ConfigError, DataError
from mollm.routing import versions
from tests.command import in_terminal, plain

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
llms: {a: {model: scripted/yes}}
router: {kind: learned, path: trained, fallback: cars}
mixtures:
  cars: {description: Cars., workers: [a], examples: [My brakes squeak, The engine is hot, A new clutch]}
  naps: {description: Naps., workers: [a], examples: [A nap at noon, He snores, I dream of a pillow]}
"""
ROWS = "".join(
    f"{text} {number},{label}\n"
    for text, label in (("My brakes squeak", "cars"), ("A long nap", "naps"))
    for number in ("now", "again", "at noon", "today", "all week")
)


def call(*arguments: str) -> None:
    """Run the command here; what it raises is raised."""
    app(list(arguments), prog_name="mollm", standalone_mode=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data and a configuration, in which the command runs."""
    (tmp_path / "data.csv").write_text(f"text,label\n{ROWS}")
    (tmp_path / "mollm.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOLLM_CONFIG", raising=False)
    return tmp_path


def test_a_router_is_trained_and_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures go to standard output, doubts about the data to standard error; the file then loads it."""
    call("train", "router", "data.csv", "--out", "trained", "--method", "naive-bayes")
    told = capsys.readouterr()
    call("routers", "list", "trained")
    listed = capsys.readouterr().out
    call("route", "my brakes")

    [version] = versions.listed(folder / "trained")
    assert told.out.startswith(f"trained/versions/{version}\nOn 2 questions that were held out:\n")
    assert "naive-bayes" in told.out
    assert "majority" in told.out
    assert told.err == ""
    assert listed.startswith(f"* {version}  2 mixtures, ")
    assert "cars" in capsys.readouterr().out


def test_without_data_the_examples_of_the_file_are_learned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is doubtful about them; `--json` prints the report."""
    call("train", "router", "--out", "trained", "--method", "naive-bayes", "--json")
    told = capsys.readouterr()

    report = json.loads(told.out)
    assert report["data"]["labels"] == {"cars": 3, "naps": 3}
    assert report["settings"]["fallback"] == "cars"
    assert report["held_out"] is None
    assert told.err.startswith("warning: 2 mixtures have fewer than 5 questions")
    assert (folder / "trained" / "versions" / report["version"] / "report.json").is_file()


def test_versions_are_switched_and_removed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each says what it did; what is not there is an error that lists what is."""
    for method in ("naive-bayes", "linear"):
        call("train", "router", "data.csv", "--out", "trained", "--method", method, "--held-out", "0")
    first, second = sorted(versions.listed(folder / "trained"), key=lambda name: "linear" in name)
    capsys.readouterr()

    call("routers", "use", "trained", first)
    assert capsys.readouterr().err == f"{first} is in force; before, {second} was\n"
    with pytest.raises(ConfigError, match=r"there is no version 'third'.*linear.*naive|naive.*linear"):
        call("routers", "use", "trained", "third")
    call("routers", "remove", "trained", second)
    call("routers", "list", "trained", "--json")
    assert [version["name"] for version in json.loads(capsys.readouterr().out)] == [first]
    with pytest.raises(ConfigError, match="has no versions; `mollm train router"):
        call("routers", "list", ".")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["gone.csv"], DataError, "gone.csv: there is no such file"),
        (["mollm.yaml"], DataError, "mollm.yaml:2: nothing names the question"),
        (["data.csv", "--method", "embeddings"], ConfigError, "needs vectors; say under `embeddings`"),
        (["data.csv", "--from-feedback"], ConfigError, "no answers are kept"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_mistakes_are_named(arguments: list[str], kind: Any, message: str) -> None:
    """And nothing is written."""
    with pytest.raises(kind, match=message):
        call("train", "router", *arguments, "--out", "trained")


def test_a_terminal_sees_the_steps_with_their_times(folder: Path) -> None:
    """As they are done; in a pipe nothing is shown."""
    code, screen = in_terminal("train", "router", "data.csv", "--method", "naive-bayes", "--out", "trained", cwd=folder)

    assert code == 0
    shown = plain(screen)
    assert " s  naive-bayes: fitting on 8 questions" in shown
    assert " s  naive-bayes: asking about the 2 others" in shown
    assert " s  naive-bayes: fitting on all 10 questions" in shown


def test_an_interrupt_leaves_no_half_router(folder: Path) -> None:
    """The exit code is that of an interrupt, and the folder is empty."""
    code, _ = in_terminal(
        "train", "router", "data.csv", "--out", "trained", cwd=folder, interrupt_at=b"fitting on 8 questions"
    )

    assert code == 130
    assert list((folder / "trained").iterdir()) == []
