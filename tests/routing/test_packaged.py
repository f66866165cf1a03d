"""The packaged mixtures: how well they are told apart, by questions written without sight of the examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mollm.prompts import parse_prompt
from mollm.routing.learned import LearnedScorer
from tests import shipped
from tests.routing.asked import decide

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / "mixtures" / "local.yaml"
QUESTIONS = [
    (line["question"], line["mixture"])
    for line in map(json.loads, (ROOT / "tests/data/routing_questions.jsonl").read_text("utf-8").splitlines())
]
FOREIGN = (
    "Warum quietschen meine Bremsen beim Anfahren?",
    "Wie oft muss ich bei meinem Auto das Öl wechseln?",
    "Schreibe eine Funktion, die eine Liste sortiert.",
    "Wie erkenne ich eine Phishing-Mail?",
    "Berechne den Mittelwert dieser Spalte.",
    "Wie viel Geld soll ich jeden Monat für die Rente sparen?",
    "Welche Symptome hat eine Grippe?",
    "Warum wache ich jede Nacht um drei Uhr auf?",
    "Schreib mir ein Gedicht über den Herbst.",
    "¿Cómo cambio una rueda pinchada?",
    "Escribe un programa en Python que lea un archivo CSV",
    "¿Qué es un ataque de fuerza bruta?",
    "¿Cuál es la mediana de estos números?",
    "¿Me conviene pagar la hipoteca antes de tiempo?",
    "¿Qué puedo tomar para el dolor de cabeza?",
    "No puedo dormir por las noches, ¿qué hago?",
    "Escribe una carta de presentación para un trabajo",
    "我的汽车发动机有异响怎么办？",  # noqa: RUF001
    "用Python写一个快速排序",
    "怎样设置一个安全的密码？",  # noqa: RUF001
    "如何计算标准差？",  # noqa: RUF001
    "我应该怎么投资退休金？",  # noqa: RUF001
    "感冒了应该吃什么药？",  # noqa: RUF001
    "晚上睡不着怎么办？",  # noqa: RUF001
)
"""Questions for the mixtures in German, Spanish and Chinese."""


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
def router() -> LearnedScorer:
    """The router that the packaged file describes, as people have it: it comes with the file."""
    return LearnedScorer.load(shipped.FOLDER)


def test_questions_find_their_mixture(router: LearnedScorer) -> None:
    """At least 90 of 100 questions about the ten mixtures go where they belong."""
    asked = [(question, mixture) for question, mixture in QUESTIONS if mixture != "nowhere"]

    right = sum(decide(router, question).mixture == mixture for question, mixture in asked)

    assert len(asked) == 100
    assert right >= 90


def test_questions_that_belong_nowhere_go_to_the_fallback(router: LearnedScorer) -> None:
    """At least 24 of 30 questions about something else go to the fallback."""
    asked = [question for question, mixture in QUESTIONS if mixture == "nowhere"]

    right = sum(decide(router, question).mixture == router.fallback for question in asked)

    assert len(asked) == 30
    assert right >= 24


def test_a_language_that_the_examples_do_not_have_is_unfamiliar(router: LearnedScorer) -> None:
    """Of 24 German, Spanish and Chinese questions of the mixtures at least 22 are in doubt, whichever is likeliest."""
    doubted = [question for question in FOREIGN if not decide(router, question).is_sure]

    assert len(FOREIGN) == 24
    assert len(doubted) >= 22


def test_questions_in_the_language_of_the_examples_stay_sure(router: LearnedScorer) -> None:
    """At most five of 100 questions about the mixtures are in doubt: what was promised for all of them."""
    asked = [question for question, mixture in QUESTIONS if mixture != "nowhere"]

    assert sum(not decide(router, question).is_sure for question in asked) <= 5


def test_no_example_is_a_test_question(examples: dict[str, list[str]]) -> None:
    """Nothing that is measured on was learned from."""
    learned = {line.casefold() for texts in examples.values() for line in texts}

    assert not [question for question, _ in QUESTIONS if question.strip().casefold() in learned]


def test_no_example_stands_twice(examples: dict[str, list[str]]) -> None:
    """A line belongs to one mixture, once."""
    everything = [line.casefold() for texts in examples.values() for line in texts]

    assert not {line for line in everything if everything.count(line) > 1}


def test_every_mixture_can_be_picked(router: LearnedScorer, config: dict[str, Any]) -> None:
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


# --- the router that comes with them

LOADED = """
import sys
sys.modules["sklearn"] = None  # as where it is not installed
from mollm import MoLLM
print(MoLLM(sys.argv[1]).catalog.router.scorer.digest, "scipy" in sys.modules)
"""


@pytest.fixture(scope="module")
def refitted() -> LearnedScorer:
    """The same, fitted on the examples as they are."""
    return shipped.fitted()


def test_it_is_true_to_the_examples(router: LearnedScorer, refitted: LearnedScorer) -> None:
    """It was fitted on the examples as they are; where not: `uv run python -m tests.shipped`."""
    assert router.digest == refitted.digest
    assert sum(path.stat().st_size for path in shipped.FOLDER.iterdir()) <= 4 * 1024 * 1024


def test_fitting_it_again_decides_the_same(
    router: LearnedScorer, refitted: LearnedScorer, examples: dict[str, list[str]]
) -> None:
    """On every question that was written for it, and on every twentieth example."""
    asked = [question for question, _ in QUESTIONS] + [text for texts in examples.values() for text in texts[::20]]

    differing = [text for text in asked if decide(router, text).mixture != decide(refitted, text).mixture]

    assert len(asked) > 350
    assert differing == []


@pytest.mark.parametrize("name", ["local.yaml", "vllm.yaml"])
def test_nobody_fits_it(name: str, router: LearnedScorer, tmp_path: Path) -> None:
    """Both files with these examples take it from beside them: no scikit-learn, and nothing in the cache."""
    environment = {**os.environ, "MOLLM_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", LOADED, str(LOCAL.parent / name)]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.split() == [router.digest, "False"]
    assert not (tmp_path / "cache").exists()
