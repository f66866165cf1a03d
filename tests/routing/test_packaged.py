"""The packaged mixtures: how well they are told apart, by questions written without sight of the examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mollm.prompts import parse_prompt
from mollm.routing.learned import LearnedRouter

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / "mixtures" / "local.yaml"
QUESTIONS = [
    (line["question"], line["mixture"])
    for line in map(json.loads, (ROOT / "tests/data/routing_questions.jsonl").read_text("utf-8").splitlines())
]


def lines(path: Path) -> list[str]:
    """The examples in a file: one a line, without blanks and comments."""
    stripped = map(str.strip, path.read_text("utf-8").splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The packaged file, as it is written."""
    loaded: dict[str, Any] = yaml.safe_load(LOCAL.read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def examples(config: dict[str, Any]) -> dict[str, list[str]]:
    """Questions by mixture."""
    return {name: lines(LOCAL.parent / mixture["examples"]) for name, mixture in config["mixtures"].items()}


@pytest.fixture(scope="module")
def router(
    config: dict[str, Any], examples: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> LearnedRouter:
    """The router that the packaged file describes, as people mostly have it: fitted once, then read."""
    folder = tmp_path_factory.mktemp("router")
    LearnedRouter.fit(examples, fallback=config["router"]["fallback"]).save(folder)
    return LearnedRouter.load(folder)


def test_questions_find_their_mixture(router: LearnedRouter) -> None:
    """At least 90 of 100 questions about the ten mixtures go where they belong."""
    asked = [(question, mixture) for question, mixture in QUESTIONS if mixture != "nowhere"]

    right = sum(router.decide(question).mixture == mixture for question, mixture in asked)

    assert len(asked) == 100
    assert right >= 90


def test_questions_that_belong_nowhere_go_to_the_fallback(router: LearnedRouter) -> None:
    """At least 24 of 30 questions about something else go to the fallback."""
    asked = [question for question, mixture in QUESTIONS if mixture == "nowhere"]

    right = sum(router.decide(question).mixture == router.fallback for question in asked)

    assert len(asked) == 30
    assert right >= 24


def test_no_example_is_a_test_question(examples: dict[str, list[str]]) -> None:
    """Nothing that is measured on was learned from."""
    learned = {line.casefold() for texts in examples.values() for line in texts}

    assert not [question for question, _ in QUESTIONS if question.strip().casefold() in learned]


def test_no_example_stands_twice(examples: dict[str, list[str]]) -> None:
    """A line belongs to one mixture, once."""
    everything = [line.casefold() for texts in examples.values() for line in texts]

    assert not {line for line in everything if everything.count(line) > 1}


def test_every_mixture_can_be_picked(router: LearnedRouter, config: dict[str, Any]) -> None:
    """The router knows all mixtures of the file, and its fallback is one of them."""
    assert set(router.mixtures) == set(config["mixtures"])
    assert router.fallback in config["mixtures"]


def test_prompts_are_sound_and_nobody_is_left_out(config: dict[str, Any]) -> None:
    """Every prompt that the file names exists, has only the placeholders of its role, and renders."""
    for name, mixture in config["mixtures"].items():
        for worker in mixture["workers"]:
            prompt = parse_prompt((ROOT / worker["prompt"]).read_text("utf-8"), "worker", worker["prompt"])
            assert prompt.render(mixture=name, description=mixture["description"])
        if len(mixture["workers"]) > 1:
            file = mixture["aggregator"]["prompt"]
            prompt = parse_prompt((ROOT / file).read_text("utf-8"), "aggregator", file)
            assert "fenced text" in prompt.render(question="Why?", proposals="fenced text")
