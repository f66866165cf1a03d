"""Training from end to end, on a few questions."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from mollm.errors import ConfigError
from mollm.routing import versions
from mollm.routing.learned import LearnedScorer
from mollm.training import router as training
from mollm.training.checking import checked
from mollm.training.data import Labelled
from mollm.training.methods import Training
from mollm.training.router import train
from mollm.training.versions import found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

THINGS = {
    "car": ("brakes", "engine", "tyres", "gearbox", "clutch", "exhaust"),
    "sleep": ("dreams", "naps", "snoring", "pillow", "insomnia", "bedtime"),
    "tax": ("income", "refund", "deduction", "receipts", "audit", "rates"),
}
WAYS = ("What about the {}?", "Tell me more of {} please", "Is {} a problem?")
DATA = checked(
    Labelled(
        tuple(way.format(thing) for things in THINGS.values() for thing in things for way in WAYS),
        tuple(label for label, things in THINGS.items() for _ in things for _ in WAYS),
    )
)
HOW = Training(fallback="car")


@dataclass(frozen=True)
class Rated:
    """A rated answer."""

    question: str
    mixture: str
    score: float
    id: str
    probabilities: Mapping[str, float] = field(default_factory=dict)
    router: str = "learned"


RATINGS = [
    Rated(f"{word} {number}?", mixture, score, f"{word}{number}")
    for word, mixture, score in (("gearbox", "car", 1.0), ("odometer", "sleep", -1.0), ("mileage", "car", 1.0))
    for number in range(15)
]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one version, in force."""
    folder = tmp_path_factory.mktemp("trained")
    train(DATA, HOW, folder)
    return folder


@pytest.fixture
def clean(out: Path) -> Iterator[None]:
    """Nothing but versions and the file that names one may ever be left."""
    yield
    assert sorted(path.name for path in out.iterdir()) == ["current.json", "versions"]


def test_what_a_killed_training_left_is_swept_up_by_a_later_one(tmp_path: Path) -> None:
    """A day later, as until then it may still be running."""
    for name, age in (("dead", 2), ("alive", 0)):
        draft = tmp_path / f".draft.{name}"
        draft.mkdir()
        os.utime(draft, (time.time() - age * 86_400,) * 2)

    train(DATA, replace(HOW, method="naive-bayes"), tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [".draft.alive", "current.json", "versions"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Its `current.json` would be lost, so this is an error, before anything is fitted."""
    (tmp_path / "current.json").write_text("[1]")

    with pytest.raises(ConfigError, match=r"its current\.json is not that of trained routers; name another folder"):
        train(DATA, HOW, tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("current.json", "[1]")]


def test_the_version_is_in_force_and_knows_all_the_data(out: Path) -> None:
    """The folder loads as a router that was fitted on everything, the held-out part too."""
    scorer = LearnedScorer.load(out)

    assert scorer.digest == LearnedScorer.fit(DATA.by_mixture(), fallback="car").digest
    assert scorer.scores("What is it with my gearbox?").pick == "car"


def test_the_report_is_of_a_router_that_did_not_see_what_it_is_asked(out: Path) -> None:
    """Figures with naive Bayes and the commonest mixture beside them, thresholds, settings and where it comes from."""
    [version] = versions.listed(out)
    folder = out / "versions" / version
    report = json.loads((folder / "report.json").read_text("utf-8"))
    text = (folder / "report.md").read_text("utf-8")
    held_out = report["held_out"]

    assert report["version"] == version
    assert report["data"] == {"digest": DATA.digest, "questions": 54, "labels": {"car": 18, "sleep": 18, "tax": 18}}
    assert held_out["questions"] == 9
    assert held_out["fitted_on"] == 45
    assert 0 <= held_out["naive-bayes"]["accuracy"] <= 1
    assert held_out["majority"]["accuracy"] == pytest.approx(1 / 3)
    assert {label: row["questions"] for label, row in held_out["labels"].items()} == {"car": 3, "sleep": 3, "tax": 3}
    wrong = sum(pair["questions"] for pair in held_out["confusions"])
    assert held_out["accuracy"] == pytest.approx(1 - wrong / 9)
    for needed in ("| linear |", "| naive-bayes |", "| always ", "confusion.svg", "false alarms", DATA.digest, "numpy"):
        assert needed in text
    ET.parse(folder / "confusion.svg")  # noqa: S314 - our own


@pytest.mark.usefixtures("clean")
def test_the_versions_are_told_with_what_they_reach(out: Path) -> None:
    """One that is damaged says so, and a report that is damaged takes nothing from its router."""
    [version] = found(out)
    report = out / "versions" / version.name / "report.json"
    kept = report.read_bytes()

    assert version.is_current
    assert version.told.startswith("3 mixtures, ")
    assert version.told.endswith(", 54 questions")
    for broken in (b"", b"[]", b'{"held_out": 3, "data": []}', b"\xff"):
        report.write_bytes(broken)
        assert found(out)[0].told == "3 mixtures"
    report.write_bytes(kept)


def test_an_interrupted_training_leaves_the_folder_as_it_was(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any step: while it fits, and when the report is written."""
    before = sorted(out.rglob("*"))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("fitted", "write"):
        with monkeypatch.context() as patch:
            patch.setattr(training, name, stop)
            with pytest.raises(KeyboardInterrupt):
                train(DATA, Training(method="naive-bayes", held_out=0.0), out)
        assert sorted(out.rglob("*")) == before


def test_nothing_is_measured_where_nothing_is_held_out(tmp_path: Path) -> None:
    """The report says so; an embedder or a picture is not needed."""
    report = train(DATA, Training(method="naive-bayes", held_out=0.0), tmp_path)
    folder = tmp_path / "versions" / report.version

    assert report.measured is None
    assert "nothing was measured" in (folder / "report.md").read_text("utf-8")
    assert not (folder / "confusion.svg").exists()
    assert LearnedScorer.load(tmp_path).method == "naive-bayes"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """As a mistake of whoever named it."""
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="file: cannot be written"):
        train(DATA, HOW, tmp_path / "file")


@pytest.mark.usefixtures("clean")
def test_ratings_make_a_version_that_is_not_in_force(out: Path) -> None:
    """It can be put in force, undone, and made again with the same result."""
    before = versions.current(out)
    how = Training(fallback="car", held_out=0.5)

    first = train(DATA, how, out, ratings=RATINGS)
    versions.remove(out, first.version)  # else the second would have its name
    second = train(DATA, how, out, ratings=RATINGS[::-1])

    assert versions.current(out) == before
    assert first.scorer.digest == second.scorer.digest != LearnedScorer.load(out).digest
    assert first.regret is not None
    assert first.regret == second.regret
    assert first.regret.against == before
    assert first.regret.learned == 30, "the well rated ones; of the others nobody knows where they belong"
    assert first.regret.undecided == 15
    assert first.regret.answers == tuple(sorted(rating.id for rating in RATINGS))
    versions.use(out, second.version)
    assert LearnedScorer.load(out).scores("my mileage?").pick == "car"
    versions.use(out, str(before))
    text = (out / "versions" / second.version / "report.md").read_text("utf-8")
    assert "On what people said" in text
    assert "odometer" not in text, "what people asked is not in the report"
    versions.remove(out, second.version)


def test_without_ratings_there_is_nothing_to_learn(tmp_path: Path) -> None:
    """Which is an error, and makes no version."""
    with pytest.raises(ConfigError, match="nothing to learn"):
        train(DATA, HOW, tmp_path, ratings=[Rated("Hi", "another", 1.0, "x")])

    assert versions.listed(tmp_path) == []
