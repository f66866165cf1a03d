"""The vectors that packages carry, and what is routed by them.

uv run --group vectors pytest -n 0 tests/real/vectors.py
"""

from __future__ import annotations

import asyncio
import json
import threading
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mollm import load_config
from mollm.embeddings.factory import PACKAGED
from mollm.routing.learned import LearnedScorer
from tests.reference import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.embeddings.base import Embedder

QUESTIONS = [json.loads(line) for line in (ROOT / "tests/data/routing_languages.jsonl").read_text("utf-8").splitlines()]
EXAMPLES_EACH = 80
"""Of each packaged mixture that the router is fitted on, spread over its file; all of them take ten times as long."""
TEXTS = ["How do I bleed the brakes?", "¿Cuántas horas duermo?", "失眠怎么办", "", "\ud83d \x00 x", "long " * 20_000]


@cache
def embedder(kind: str) -> Embedder:
    """Read once."""
    return PACKAGED[kind]()


@pytest.mark.parametrize("kind", PACKAGED)
def test_vectors_are_what_an_embedder_promises(kind: str) -> None:
    """Of length 1 or zeros, the same alone, in a batch, on an event loop and in threads."""
    found = embedder(kind)
    vectors = found.embed(TEXTS)
    results: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}
    threads = [threading.Thread(target=lambda n=n: results.update({n: found.embed(TEXTS)})) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 0, 1, 1], abs=1e-4)
    assert asyncio.run(found.aembed(TEXTS)) == pytest.approx(vectors, abs=1e-5)
    assert np.concatenate([found.embed([text]) for text in TEXTS]) == pytest.approx(vectors, abs=1e-5)
    assert all(result == pytest.approx(vectors, abs=1e-5) for result in results.values())
    assert len(results) == 4
    assert len(found.digest) == 64
    assert found.name == kind


def test_an_event_loop_is_not_blocked() -> None:
    """By MiniLM and E5, which take milliseconds a text: others are served meanwhile."""

    async def ticks(kind: str) -> int:
        task = asyncio.ensure_future(embedder(kind).aembed(["a question of some length " * 20] * 20))
        count = 0
        while not task.done():
            await asyncio.sleep(0.001)
            count += 1
        await task
        return count

    for kind in ("minilm", "e5"):
        assert asyncio.run(ticks(kind)) > 5


@cache
def fitted(kind: str) -> LearnedScorer:
    """A linear head on the packaged English examples, without those of `general`, which are of no subject."""
    whole = load_config(ROOT / "mixtures" / "local.yaml").examples()
    examples = {
        name: texts[:: max(1, len(texts) // EXAMPLES_EACH)][:EXAMPLES_EACH]
        for name, texts in whole.items()
        if name != "general"
    }
    return LearnedScorer.fit(examples, fallback="general", method="embeddings", embedder=embedder(kind))


def right(scorer: LearnedScorer, *languages: str) -> int:
    """How many questions of these languages are most like the right mixture."""
    asked = [row for row in QUESTIONS if row["language"] in languages]
    assert len(asked) == 24
    return sum(scorer.scores(row["question"]).pick == row["mixture"] for row in asked)


def test_english_examples_are_enough_for_other_languages_with_multilingual_vectors() -> None:
    """German, Spanish and Chinese questions; and English ones stay right."""
    scorer = fitted("e5")

    assert right(scorer, "de", "es", "zh") >= 22
    assert right(scorer, "en") >= 22


def test_english_vectors_route_english_questions() -> None:
    """Static ones and MiniLM's."""
    assert right(fitted("minilm"), "en") >= 22
    assert right(fitted("wordllama"), "en") >= 20


def test_a_trained_router_finds_its_package_by_itself(tmp_path: Path) -> None:
    """By the name in its manifest, and with the digest that stands there."""
    fitted("minilm").save(tmp_path)
    found = LearnedScorer.load(tmp_path)

    question = "Why does my engine overheat?"
    assert found.scores(question) == fitted("minilm").scores(question)
    assert found.embedder is not None
    assert found.embedder.name == "minilm"
