"""How good it is to pick an LLM, or several, for each question by what recorded scores predict.

    uv run python benchmarks/choosing.py --data DIR [--write benchmarks/choosing.md]

DIR holds `mmlu-strong-weak/mmlu.jsonl.gz` (whether GPT-4 and Mixtral-8x7B were right on 14,042 questions) and
`nine-models/train.json.gz`, `test.json.gz` (the scores of nine LLMs on 5,608 and 500 questions).

Of the first, a random half is fitted on and the other half measured, ten times. Of the second, the test questions are
measured once. Every setting is picked by cross-validation within the part that is fitted on.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from machine import shape

from mollm.cli.printing.choosing import figures_table, table
from mollm.evaluation.choosing import gap_recovered
from mollm.mixing.picking import pick
from mollm.training.chooser import measured_on, train
from mollm.training.outcomes import Outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.mixing.predictor import Predictor

STRONG, WEAK = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"
HALVES = 10
TOGETHER = (1, 2, 3, 4)
"""Sizes of the sets that are picked for a question."""


def main() -> None:
    """Measure, and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--halves", type=int, default=HALVES)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    lines = [*nine(given.data / "nine-models"), "", *halves(given.data / "mmlu-strong-weak", given.halves)]
    lines += ["", f"`uv run python benchmarks/choosing.py --data DIR`, {shape()}, {date.today()}."]
    text = "\n".join(lines) + "\n"
    print(text)
    if given.write:
        given.write.write_text(text, "utf-8")


def nine(folder: Path) -> list[str]:
    """One of nine LLMs for each question, and sets of them."""
    known, asked = (_scores_of(json.loads(gzip.decompress((folder / name).read_bytes()))) for name in _FILES)
    begun, used = time.perf_counter(), time.process_time()
    trained = train(known, held_out=0.0, tell=_say)
    took, cpu = time.perf_counter() - begun, time.process_time() - used
    measured = measured_on(asked, trained.predictor)
    each = _time(trained.predictor, asked.questions)
    return [
        f"Nine LLMs, {len(known.questions):,} questions to fit on, {measured.rows} others measured; scores in percent.",
        "",
        *figures_table(measured.figures),
        "",
        "The best of a set of them (what an aggregator could reach that always recognized it):",
        "",
        *sets(trained.predictor, known, asked),
        "",
        f"Penalty {trained.penalty:g} by cross-validation; fitted in {took:.0f} s ({cpu:.0f} s of CPU), "
        f"{each:.2f} ms to predict a question.",
    ]


def sets(predictor: Predictor, known: Outcomes, asked: Outcomes) -> list[str]:
    """The best score within a set of each size, however the set is picked."""
    scores, fitted = asked.of(predictor.llms).scores, known.of(predictor.llms).scores
    predicted = np.array([predictor.quality(text) for text in asked.questions])
    count = len(predictor.llms)
    nothing = [0.0] * count
    rows = []
    for size in TOGETHER:
        always = max(itertools.combinations(range(count), size), key=lambda s: fitted[:, s].max(axis=1).mean())
        best = np.argsort(-predicted, axis=1)[:, :size]
        covariance = predictor.covariance / predictor.spread**2
        unlike = np.array([pick(list(q / predictor.spread), covariance, nothing, size, 1.0) for q in predicted])
        found = [scores[:, always].max(axis=1).mean()]
        found += [np.take_along_axis(scores, picked, axis=1).max(axis=1).mean() for picked in (best, unlike)]
        rows.append((str(size), *(f"{100 * value:.1f}" for value in found)))
    heads = ("LLMs", "the same for all, best on the fitted", "best predicted", "predicted, and unlike each other")
    return table([heads, *rows])


def halves(folder: Path, count: int) -> list[str]:
    """A strong or a weak LLM for each question: fitted on one half, measured on the other."""
    lines = gzip.decompress((folder / "mmlu.jsonl.gz").read_bytes()).decode().splitlines()
    found = [json.loads(line) for line in lines]
    scores = np.array([[float(row[name] == "True") for name in (STRONG, WEAK)] for row in found])
    whole = Outcomes(tuple(row["prompt"] for row in found), (STRONG, WEAK), scores)
    rows = []
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(len(found))
        known, asked = whole.some(np.sort(order[: len(order) // 2])), whole.some(np.sort(order[len(order) // 2 :]))
        trained = train(known, held_out=0.0)
        predicted = np.array([trained.predictor.quality(text) for text in asked.questions])
        lengths = np.array([len(text) for text in asked.questions], dtype=np.float64)
        by_length = gap_recovered(lengths, asked.scores, 0)
        by_chooser = gap_recovered(predicted[:, 0] - predicted[:, 1], asked.scores, 0)
        rows.append((by_length, by_chooser, trained.penalty))
        _say(f"half {seed}: length {by_length:.3f}, chooser {by_chooser:.3f}, penalty {trained.penalty:g}")
    values = np.array(rows)
    shown = [(str(seed), f"{a:.3f}", f"{b:.3f}", f"{c:g}") for seed, (a, b, c) in enumerate(rows)]
    means, least = values.mean(axis=0), values.min(axis=0)
    return [
        f"GPT-4 or Mixtral-8x7B, {len(found):,} questions of MMLU, {count} random halves: part of the gap recovered, "
        "mean over all shares of calls to GPT-4 (APGR; 0.5 is chance).",
        "",
        *table(
            [
                ("half", "prompt length", "chooser", "penalty"),
                *shown,
                ("mean", f"{means[0]:.3f}", f"{means[1]:.3f}", ""),
                ("least", f"{least[0]:.3f}", f"{least[1]:.3f}", ""),
            ]
        ),
    ]


_FILES = ("train.json.gz", "test.json.gz")


def _scores_of(rows: list[dict[str, Any]]) -> Outcomes:
    llms = tuple(sorted(rows[0]["scores"]))
    scores = np.array([[row["scores"][name] for name in llms] for row in rows], dtype=np.float64)
    return Outcomes(tuple(row["question"] for row in rows), llms, scores)


def _time(predictor: Predictor, questions: Sequence[str]) -> float:
    """The median of the milliseconds that a question takes."""
    took = []
    for text in questions:
        begun = time.perf_counter()
        predictor.quality(text)
        took.append(1000 * (time.perf_counter() - begun))
    return float(np.median(took))


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
