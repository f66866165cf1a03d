"""Routes explained: what was held against what, who said what, and which examples are nearest."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mollm import MoLLM
from mollm.cli.checks import check_config
from mollm.cli.printing.routes import bar
from mollm.config.load import load_config
from mollm.llms.scripted import ScriptedLLM
from mollm.routing.likeness import Examples, Texts
from mollm.routing.pairs import inseparable
from mollm.types import Route
from tests.command import run
from tests.routing.fitted import EXAMPLES

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = {
    "llms": {"a": {"model": "scripted/from a"}, "guide": {"model": "scripted/sleep", "retries": 0}},
    "router": {
        "kind": "chain",
        "members": [{"kind": "learned", "threshold": 0.99}, {"kind": "llm", "llm": "guide"}],
    },
    "mixtures": {
        name: {"description": f"About {name}.", "workers": ["a"], "examples": texts} for name, texts in EXAMPLES.items()
    },
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted routers are kept for the length of a test."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path / "cache"))


def test_an_explanation_is_the_route_with_what_it_was_made_of() -> None:
    """Every member that was asked, what it took, and the LLM is asked no more often than for the route."""
    fake = ScriptedLLM("sleep")
    with MoLLM(CONFIG, llms={"guide": fake}) as mollm:
        route = mollm.route("Why do my brakes squeal?")
        found = mollm.explain("Why do my brakes squeal?")

    assert len(fake.requests) == 2
    assert (found.route.mixture, found.route.router, found.route.reason) == (route.mixture, route.router, route.reason)
    assert [part.route.router for part in found.members] == ["learned", "llm"]
    assert [part.threshold for part in found.members] == [0.99, 0.5]
    assert all(part.route.seconds > 0.0 for part in found.members)
    assert not found.members[0].route.is_sure
    assert found.nearest[0].text == "Why do my brakes squeak?"
    assert found.nearest[0].mixture == "car"
    assert [near.similarity for near in found.nearest] == sorted((n.similarity for n in found.nearest), reverse=True)
    plain = json.loads(json.dumps(found.to_plain()))
    assert plain["members"][0]["threshold"] == 0.99
    assert plain["nearest"][0] == {"mixture": "car", "text": "Why do my brakes squeak?",
                                   "similarity": found.nearest[0].similarity}  # fmt: skip


def test_the_members_of_an_ensemble_are_explained_with_their_weights() -> None:
    """And who was left out."""
    router = {"kind": "ensemble", "members": [{"kind": "llm", "llm": "guide"}, {"kind": "learned"}]}
    with MoLLM({**CONFIG, "router": router}, llms={"guide": ScriptedLLM("neither")}) as mollm:
        found = mollm.explain("Which oil does my car need?")

    assert [(part.route.router, part.weight) for part in found.members] == [("llm", 0.0), ("learned", 1.0)]
    assert found.members[1].route.mixture == "car"
    assert found.route.mixture == "car"


def test_what_explains_nothing_is_explained_by_its_route() -> None:
    """A router of one's own, and a mixture that the caller named."""
    route = Route("car", {"car": 1.0}, "mine", "by hand")
    with MoLLM(CONFIG, router=lambda _: route) as mollm:
        assert mollm.explain("Hi").route is route
        named = mollm.explain("My brakes squeak.", mixture="sleep")

    assert (named.route.router, named.threshold, named.members) == ("caller", None, ())
    assert named.nearest[0].mixture == "car"


def test_the_command_shows_it(tmp_path: Path) -> None:
    """Bars, thresholds, members and examples for people; the same as JSON for programs."""
    path = tmp_path / "my.yaml"
    path.write_text(json.dumps(CONFIG))
    command = ["route", "--config", str(path), "--explain", "Why do my brakes squeal?", "zzz"]

    done = run(*command, cwd=tmp_path, COLUMNS="200")
    as_json = json.loads(run(*command, "--json", cwd=tmp_path).stdout)

    assert done.returncode == 0, done.stderr
    text = re.sub(" +", " ", done.stdout)
    assert "sleep Why do my brakes squeal?\n" in text
    assert "decided by chain/llm, " in text
    assert "learned general" in text
    assert "car: Why do my brakes squeak?" in text
    assert bar(1.0) in text
    assert [found["mixture"] for found in as_json] == ["sleep", "sleep"]
    assert [part["router"] for part in as_json[0]["members"]] == ["learned", "llm"]


@pytest.mark.parametrize(("share", "columns"), [(0.0, 0), (0.5, 15), (1.0, 30), (2.0, 30), (-1.0, 0), (0.01, 1)])
def test_a_bar_is_as_long_as_its_share(share: float, columns: int) -> None:
    """In thirty columns, with a beginning for what is less than one."""
    assert len(bar(share)) == columns


# --- likeness


def test_a_text_is_most_like_itself() -> None:
    """With a cosine of 1, and 0 to what has nothing in common with it."""
    texts = [text for found in EXAMPLES.values() for text in found]

    found = Texts(texts).likeness(texts[2].upper())

    assert found[2] == pytest.approx(1.0)
    assert found.argmax() == 2
    assert found.min() >= 0.0
    assert Texts(texts).likeness("\u10e5\u10d0").max() == Texts(texts).likeness("").max() == 0.0
    assert Examples({"a": ["x y"], "b": []}).nearest("zzz") == ()


def test_a_text_is_not_compared_with_itself() -> None:
    """The mean of a group is that of the others, as if each was left out by hand."""
    texts, labels = ["a b c", "a b d", "x y", "x z"], np.array([0, 0, 1, 1])

    found = Texts(texts).to_groups(labels, 2)

    assert found.shape == (4, 2)
    assert (found[labels == 0, 0] > found[labels == 0, 1]).all()
    assert (found[labels == 1, 1] > found[labels == 1, 0]).all()
    assert Texts(["a", "b"]).to_groups(np.array([0, 1]), 2).diagonal() == pytest.approx([0.0, 0.0])


# --- pairs that cannot be told apart

NUMBERED = {name: [f"{verb} the {name} {n}" for n in range(15) for verb in ("start", "stop", "wash", "sell")]
            for name in ("car", "boat")}  # fmt: skip


@pytest.mark.parametrize(
    ("descriptions", "examples", "by_examples", "expected"),
    [
        ({"a": "All about cars.", "b": "all about CARS"}, {}, True, "their descriptions say the same"),
        ({"a": "All about cars.", "b": "all about CARS"}, NUMBERED, False, "their descriptions say the same"),
        ({"a": "Cars.", "b": "Boats."}, {"a": ["x", "y", "z"], "b": ["X!", "q", "r"]}, True,
         "1 of 3 examples stand in both"),
        ({"a": "Cars.", "b": "Boats."}, {"a": NUMBERED["car"][::2], "b": NUMBERED["car"][1::2]}, True, None),
        ({"a": "Cars.", "b": "Boats."}, {"a": [f"{t}?" for t in NUMBERED["car"]], "b": [f"so {t}" for t in
         NUMBERED["car"]]}, True, None),
        ({"a": "Cars.", "b": "Boats."}, {"a": ["x", "y"], "b": ["z"]}, True, None),
        ({"a": "Cars.", "b": "Boats."}, {"a": NUMBERED["car"], "b": NUMBERED["boat"]}, True, None),
        ({"a": "All about cars.", "b": "all about CARS"}, {"a": ["x"], "b": ["y"]}, True, None),
    ],
)  # fmt: skip
def test_pairs_that_nothing_separates_are_named(
    descriptions: dict[str, str], examples: dict[str, list[str]], by_examples: bool, expected: str | None
) -> None:
    """By what the router reads: descriptions, or examples."""
    found = list(inseparable(descriptions, examples, by_examples=by_examples))

    assert found == ([("a", "b", expected)] if expected else [])


def test_halves_of_one_mixture_are_told_from_two() -> None:
    """By their words, with every packaged mixture as the witness; and `check` takes no longer for it."""
    config = load_config(ROOT / "mixtures" / "local.yaml")
    examples = config.examples()
    descriptions = {name: mixture.description for name, mixture in config.mixtures.items()}
    split = {"sleep": examples["sleep"][::2], "rest": examples["sleep"][1::2], "car": examples["car"]}

    [found] = inseparable({"sleep": "Sleep.", "rest": "Rest.", "car": "Cars."}, split)
    start = time.thread_time()
    assert list(inseparable(descriptions, examples)) == []
    assert time.thread_time() - start < 2.0, "0.5 s on an idle core"

    assert found[:2] == ("sleep", "rest")
    assert "of their examples are told apart, where guessing brings 50%" in found[2]


def test_check_names_them(tmp_path: Path) -> None:
    """As a warning, with the line of the second one; a fixed router has nothing to tell apart."""
    path = tmp_path / "my.yaml"
    text = (
        "llms: {a: {model: scripted/x}}\nmixtures:\n  one: {description: Cars, workers: [a], examples: [x, y]}\n"
        "  two: {description: Boats, workers: [a], examples: [x, z]}\nrouter: {fallback: one, kind: KIND}\n"
    )

    path.write_text(text.replace("KIND", "learned"))
    assert f"{path}:4: mixtures.two: no router can tell it from 'one': 1 of 2 examples stand in both" in (
        check_config(path).warnings
    )
    path.write_text(text.replace("KIND", "fixed"))
    assert not [warning for warning in check_config(path).warnings if "can tell it" in warning]
