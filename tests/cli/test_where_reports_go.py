"""Where `mollm eval mixtures` writes: one evaluation to a journal, whole files or none, and no calls in vain."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from mollm.cli.main import app
from mollm.errors import DataError
from mollm.evaluation.mixtures.gathering.journal import Journal
from mollm.evaluation.mixtures.reports import write_whole

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a question and a mixture."""
    (tmp_path / "data.jsonl").write_text(json.dumps({"id": 1, "question": "2 + 2?", "reference": 4}))
    vote = {"description": "d", "workers": ["a", "b"], "aggregator": {"method": "vote"}}
    config = {"llms": {name: {"model": "scripted/4"} for name in "ab"}, "mixtures": {"team": vote}}
    (tmp_path / "mollm.yaml").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOLLM_CONFIG", raising=False)
    return tmp_path


def evaluate(*options: str) -> None:
    """Run the command."""
    app(["eval", "mixtures", "data.jsonl", "--no-self", *options], prog_name="mollm", standalone_mode=False)


def test_two_evaluations_do_not_write_to_one_journal(folder: Path) -> None:
    """Both would ask everything; what the first one has written stays as it is."""
    evaluate("--out", "out")
    path = folder / "out" / "journal.jsonl"
    head = json.loads(path.read_text().splitlines()[0])
    first = Journal.open(path, head["questions"], head["mixtures"])
    before = path.read_bytes()

    with pytest.raises(DataError, match=r"journal.jsonl: another evaluation writes to it; wait for it, or name an"):
        evaluate("--out", "out")

    first.close()
    assert path.read_bytes() == before
    evaluate("--out", "out")


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("data.jsonl", (), r"data.jsonl: is a file, and a report is written to a folder; name another with --out"),
        (".", ("--calibrate",), r"\.: is a folder, and --calibrate writes a file; name another with --out"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_asked(
    folder: Path, name: str, options: tuple[str, ...], match: str
) -> None:
    """Rather than when everything is paid for."""
    with pytest.raises(DataError, match=match):
        evaluate("--out", name, *options)

    assert sorted(os.listdir(folder)) == ["data.jsonl", "mollm.yaml"]  # noqa: PTH208 - names


@pytest.mark.parametrize("options", [("--out", "data.jsonl/r"), ("--out", "data.jsonl/c.json", "--calibrate")])
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_asked(
    folder: Path, options: tuple[str, ...]
) -> None:
    """Also where the journal is elsewhere, as that of a calibration is."""
    with pytest.raises(DataError, match=r"cannot be written to: (Not a dir.*|File exists); name another place"):
        evaluate(*options, "--journal", "j.jsonl")

    assert not (folder / "j.jsonl").exists()


def test_what_cannot_be_written_as_a_whole_leaves_what_was_there(folder: Path) -> None:
    """No half of a page or of a calibration, and nothing beside it."""
    page = folder / "pages" / "report.html"
    write_whole(page, "before")

    with pytest.raises(UnicodeEncodeError):
        write_whole(page, "half \ud800")
    taken = folder / "taken"
    taken.mkdir()
    (taken / "by").touch()
    with pytest.raises(DataError, match=r"taken: cannot be written: Is a directory"):
        write_whole(taken, "after")

    assert page.read_text() == "before"
    assert not list(folder.rglob("*.part"))


def test_a_report_says_whose_calls_failed(folder: Path) -> None:
    """Who reads it later has not seen the warnings, and may take a server that was down for an LLM that knows less."""
    config = json.loads((folder / "mollm.yaml").read_text())
    config["llms"]["b"] = {"model": "openai/m", "api_base": "http://127.0.0.1:9", "api_key": "none", "retries": 0}
    (folder / "mollm.yaml").write_text(json.dumps(config))

    evaluate("--out", "out")

    notes = json.loads((folder / "out" / "report.json").read_text())["notes"]
    (note,) = [note for note in notes if "failed" in note]
    assert note.startswith("1 call to b failed (the connection was refused")
    assert note.endswith("): a question without an answer counts as wrong; go on to ask it again")
