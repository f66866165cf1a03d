"""What a learned route costs beside scikit-learn's own, and what it costs to have the router.

    uv run python benchmarks/packaged_router.py [--rounds 15] [--write benchmarks/packaged_router.md]

Both decide on the same questions by the same examples, those of the packaged mixtures: mollm's router as it is
shipped, and scikit-learn's `TfidfVectorizer` for words and for characters with a `LinearSVC`, fitted here. Rounds
are interleaved, so a machine that slows down slows both. A route is more than a prediction: it has calibrated
probabilities, a reason, and a threshold. Each start is a process of its own that has imported numpy and read the
configuration before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

from machine import shape

ROOT = Path(__file__).parent.parent
FILE = ROOT / "mixtures" / "local.yaml"
LONG = 2_000
"""Characters of a long question; a router reads no more of a longer one."""

Contestant = Callable[[str], Awaitable[object]]

START = """
import json, resource, sys, time
import numpy
from mollm.config.load import load_config
from mollm.routing.learned import LearnedScorer

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20

config = load_config(sys.argv[1])
examples = config.examples()
before, begun, used = resident(), time.perf_counter(), time.process_time()
scorer = {how}
print(json.dumps([time.perf_counter() - begun, time.process_time() - used, resident() - before]))
"""
STARTS = {
    "fitted on the examples": "LearnedScorer.fit(examples, fallback=config.fallback)",
    "read as it is shipped": "LearnedScorer.cached(examples, fallback=config.fallback, shipped=sys.argv[2])",
}


def questions() -> dict[str, list[str]]:
    """Return questions that were written for the packaged mixtures, alone and in pieces of `LONG` characters."""
    lines = (ROOT / "tests" / "data" / "routing_questions.jsonl").read_text("utf-8").splitlines()
    short = [json.loads(line)["question"] for line in lines]
    text = " ".join(short)
    return {
        f"{statistics.mean(map(len, short)):.0f} characters": short,
        f"{LONG:,} characters": [text[begin : begin + LONG] for begin in range(0, len(text) - LONG, LONG // 10)],
    }


def mollm_router() -> Contestant:
    """The router of the packaged file."""
    from mollm.calling.calls import Calls
    from mollm.config.load import load_config
    from mollm.messages import question_of
    from mollm.routing.registry import build_router

    router, calls = build_router(load_config(FILE)), Calls({})
    return lambda text: router.route(question_of([{"role": "user", "content": text}]), calls)


def scikit_learn() -> Contestant:
    """The same features and the same separator, by the library that made them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    from mollm.config.load import load_config

    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    examples = load_config(FILE).examples()
    model = make_pipeline(make_union(words, characters), LinearSVC(class_weight="balanced", max_iter=20_000))
    model.fit([text for texts in examples.values() for text in texts], [m for m in examples for _ in examples[m]])

    async def predict(text: str) -> Any:
        return model.predict([text])

    return predict


CONTESTANTS = {"mollm, learned route": mollm_router, "scikit-learn, TF-IDF and predict": scikit_learn}


async def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return the CPU µs a question, the median of the rounds, by contestant and length."""
    made = {name: make() for name, make in CONTESTANTS.items()}
    found: dict[str, dict[str, float]] = {name: {} for name in made}
    for length, texts in questions().items():
        times: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(rounds):
            for name, decide in made.items():
                before = time.process_time()
                for text in texts:
                    await decide(text)
                times[name].append((time.process_time() - before) / len(texts) * 1e6)
        for name in made:
            found[name][length] = statistics.median(times[name])
    return found


def started(how: str) -> tuple[float, float, float]:
    """Seconds, CPU seconds and MiB more that it takes in a fresh process to have the router."""
    command = [sys.executable, "-c", START.replace("{how}", how), str(FILE), str(ROOT / "mixtures" / "router")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "MOLLM_CACHE": "/"})
    seconds, cpu, mebibytes = json.loads(done.stdout)
    return seconds, cpu, mebibytes


def tables(found: dict[str, dict[str, float]]) -> str:
    """Lay out the figures with their ratios."""
    theirs = found["scikit-learn, TF-IDF and predict"]
    lines = ["| one question | " + " | ".join(f"{n}, CPU µs | / scikit-learn" for n in theirs) + " |"]
    lines.append("|---|" + "---:|---:|" * len(theirs))
    for name, figures in found.items():
        cells = " | ".join(f"{figures[n]:.0f} | {figures[n] / theirs[n]:.2f}" for n in theirs)
        lines.append(f"| {name} | {cells} |")
    lines += ["", "| the router of the packaged mixtures | ready after s | CPU s | MiB more |", "|---|---:|---:|---:|"]
    for name, how in STARTS.items():
        runs = [started(how) for _ in range(3)]
        seconds, cpu, mebibytes = (statistics.median(column) for column in zip(*runs, strict=True))
        lines.append(f"| {name} | {seconds:.3f} | {cpu:.3f} | {mebibytes:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.rounds))
    size = sum(path.stat().st_size for path in (ROOT / "mixtures" / "router").iterdir()) / 2**20
    command = "`uv run python benchmarks/packaged_router.py`"
    notes = f"{command}, {arguments.rounds} rounds, {shape()}, {date.today().isoformat()}."
    text = f"{tables(found)}\n\nThe shipped router takes {size:.1f} MiB on disk.\n{notes}\n"
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


if __name__ == "__main__":
    main()
