"""`mollm eval router`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mollm.routing.learned import LearnedScorer
from tests.command import run
from tests.routing.fitted import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    ("My car will not start", "car"),
    ("Why do I sleep so badly?", "sleep"),
    ("Where is my tyre?", "plane"),
    ("Quel temps fait-il?", "oos"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained router, and questions to measure it on."""
    tmp_path = tmp_path_factory.mktemp("measured")
    LearnedScorer.fit(EXAMPLES, fallback="general").save(tmp_path / "router")
    lines = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    (tmp_path / "nowhere.txt").write_text("Quel temps fait-il?\n\nWo ist der Bahnhof?\n")
    return tmp_path


def test_people_read_the_figures_in_sixty_columns(folder: Path) -> None:
    """No line is longer, and a label that the router does not know is named by row."""
    done = run("eval", "router", "data.jsonl", "--router", "router", "--out-of-scope", "oos", cwd=folder, COLUMNS="60")

    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 60
    for figure in (
        "accuracy",
        "majority",
        "prompt length",
        "macro F1",
        "AUROC",
        "typos",
        "p99",
        "by its own thresholds",
    ):
        assert figure in done.stdout
    assert "'plane'" in done.stderr
    assert "row 3" in done.stderr


def test_programs_read_the_same_as_json(folder: Path) -> None:
    """Questions out of scope may stand in a file of their own, and validation data sets the threshold."""
    arguments = ("--router", "router", "--out-of-scope", "nowhere.txt", "--validation", "data.jsonl", "--no-noise")
    done = run("eval", "router", "data.jsonl", *arguments, "--json", cwd=folder)

    found = json.loads(done.stdout)
    assert (found["questions"], found["out_of_scope"]["questions"]) == (4, 2)
    assert found["unknown"] == {"plane": [3], "oos": [4]}
    assert found["out_of_scope"]["threshold_from"] == "validation"
    assert found["flips"] == {}


def test_a_file_that_says_nothing_is_refused(folder: Path) -> None:
    """One that is empty would measure nothing, or set a threshold by nothing; one that is no text is named."""
    (folder / "empty.txt").write_text("\n")
    (folder / "odd.txt").write_bytes(b"caf\xe9\n")
    (folder / "header.csv").write_text("text,label\n")

    for option, value, said in (
        ("--out-of-scope", "empty.txt", "empty.txt has no questions"),
        ("--out-of-scope", "odd.txt", "odd.txt: is not UTF-8 (byte 3)"),
        ("--validation", "header.csv", "header.csv has no question that belongs to a mixture"),
    ):
        done = run("eval", "router", "data.jsonl", "--router", "router", option, value, cwd=folder)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert said in " ".join(done.stderr.split())


def test_what_is_neither_label_nor_file_is_refused(folder: Path) -> None:
    """A typo would otherwise measure nothing, silently."""
    done = run("eval", "router", "data.jsonl", "--router", "router", "--out-of-scope", "oss", cwd=folder)

    assert done.returncode == 2
    assert "neither a label" in " ".join(done.stderr.split())
