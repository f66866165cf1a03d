"""Recorded scores of three LLMs on two kinds of questions, and what is learned from them."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.training.chooser import train
from mollm.training.outcomes import Outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.mixing.predictor import Predictor

LLMS = ("adder", "poet", "twin")
"""`twin` is as good as `adder` at the same questions, nearly."""
SUMS = tuple(f"What is {n} plus {n + 3}, and then minus {n % 5}?" for n in range(30))
POEMS = tuple(
    f"Write a {mood} poem about {what} in the evening."
    for mood in ("sad", "happy", "short", "long", "quiet")
    for what in ("rain", "winter", "the sea", "a lamp", "bread", "an old friend")
)


@cache
def outcomes() -> Outcomes:
    """Scores that follow the kind of the question, with some that do not."""
    generator = np.random.default_rng(0)
    rows = [(text, (0.9, 0.2, 0.8)) for text in SUMS] + [(text, (0.1, 0.9, 0.1)) for text in POEMS]
    noise = generator.uniform(-0.1, 0.1, (len(rows), 2))
    # The twins are right and wrong together.
    scores = np.array([right for _, right in rows]) + noise[:, [0, 1, 0]]
    costs = np.tile([0.001, 0.004, 0.002], (len(rows), 1))
    return Outcomes(tuple(text for text, _ in rows), LLMS, np.clip(scores, 0.0, 1.0), costs)


@cache
def predictor() -> Predictor:
    """What is learned from all of them."""
    return train(outcomes(), held_out=0.0).predictor


def written(path: Path, **changes: Any) -> Path:
    """A file with these scores; `changes` are made to its first row."""
    found = outcomes()
    rows: list[dict[str, Any]] = [
        {"question": text, "scores": dict(zip(LLMS, map(float, scores), strict=True)), "id": number}
        for number, (text, scores) in enumerate(zip(found.questions, found.scores, strict=True))
    ]
    rows[0] |= changes
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
