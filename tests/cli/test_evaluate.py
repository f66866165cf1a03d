"""`mollm eval router`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mollm.cli.main import app
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


def call(*arguments: str) -> None:
    """Run the command in this process."""
    app(list(arguments), prog_name="mollm", standalone_mode=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained router, and questions to measure it on."""
    tmp_path = tmp_path_factory.mktemp("measured")
    LearnedScorer.fit(EXAMPLES, fallback="general").save(tmp_path / "router")
    lines = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    (tmp_path / "nowhere.txt").write_text("Quel temps fait-il?\n\nWo ist der Bahnhof?\n")
    pairs = [(text, name) for name, texts in EXAMPLES.items() for text in texts]
    (tmp_path / "many.csv").write_text("text,label\n" + "".join(f'"{text}",{name}\n' for text, name in pairs))
    both = [{"text": "Which oil does my car need, and why can I not sleep?", "label": ["car", "sleep"]}]
    both += [{"text": text, "label": name} for text, name in pairs]
    (tmp_path / "both.jsonl").write_text("\n".join(map(json.dumps, both)))
    mixtures = {name: {"description": name, "workers": ["a"], "examples": texts} for name, texts in EXAMPLES.items()}
    for name, multi in (("mollm", True), ("single", False)):
        config = {
            "llms": {"a": {"model": "scripted/yes"}},
            "router": {"kind": "learned", "multi": multi, "fallback": "general"},
            "mixtures": mixtures,
        }
        (tmp_path / f"{name}.yaml").write_text(json.dumps(config))
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


def test_the_cost_of_the_fit_is_kept_with_a_trained_router(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is fitted again to print it; naive Bayes is cross-validated, as the questions learned from are gone."""
    monkeypatch.chdir(folder)
    call("train", "router", "many.csv", "--out", str(tmp_path / "kept"), "--method", "naive-bayes", "--held-out", "0")
    capsys.readouterr()
    call("eval", "router", "many.csv", "--router", str(tmp_path / "kept"), "--no-noise", "--json")

    found = json.loads(capsys.readouterr().out)
    [manifest] = (tmp_path / "kept" / "versions").glob("*/router.json")
    assert found["fit"] == json.loads(manifest.read_text())["fit"]
    assert found["fit"]["peak_mb"] > 10
    assert found["fit"]["cpu_seconds"] > 0
    assert found["baselines_by"] == "cross-validation"
    assert set(found["baselines"]) == {"majority", "prompt length", "naive Bayes"}


def test_a_router_of_the_file_is_fitted_to_see_what_that_takes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Baselines learn from the same examples; F1 is printed with and without a second mixture."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "60")
    call("eval", "router", "both.jsonl", "--config", "mollm.yaml", "--no-noise")

    told = capsys.readouterr()
    for figure in (
        "fitted on what the router learned from",
        "naive Bayes",
        "micro F1",
        "the same without the second mixture",
        "peak memory",
    ):
        assert figure in told.out
    assert max(map(len, told.out.splitlines())) <= 60
    assert told.err == ""
    call("eval", "router", "both.jsonl", "--config", "single.yaml", "--no-noise")
    assert "`router.multi` is off" in capsys.readouterr().err
