"""How good learned routers are: accuracy, doubt, calibration, time and memory, on CLINC150 and BANKING77.

    uv run python benchmarks/routing.py --data DIR [--only clinc150,banking77,few,calibration,speed,memory,semantic]
        [--old bceae10] [--fresh] [--write benchmarks/routing.md]

DIR holds `clinc150` (`data_full.json`, `domains.json`) and `banking77` (`train.csv`, `test.csv`). Routers learn from
the training split. Thresholds, and which of two scores tells questions that belong nowhere, come from the validation
splits; the figures are of the test splits. Each figure is kept in a file in the temporary folder as it is measured, so
that a run that was interrupted goes on; `--fresh` measures all again. Run it on one core of a machine that is idle.

`semantic` measures mollm's semantic router beside semantic-router, where that is installed:
`uv run --group vectors --with semantic-router==1.1.1 python benchmarks/routing.py --data DIR --only semantic`.

`--only transformer` is no part of a run that names none: it fine-tunes encoders for half an hour, and needs torch.

    uv run --group vectors --with-requirements environments/train.txt python benchmarks/routing.py --data DIR
        --only transformer
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
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402 - reads the environment
from machine import shape  # noqa: E402
from revisions import ENVIRONMENTS, revision  # noqa: E402
from routing_data import VARIANTS, Kept, Split, banking77, clinc150, fitted, plain  # noqa: E402
from routing_semantic import semantic  # noqa: E402
from routing_table import table  # noqa: E402
from routing_transformer import HEAD, TUNED  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PARTS = ("clinc150", "banking77", "few", "calibration", "speed", "memory", "semantic")
"""What is measured if nothing is named."""
KEPT = ENVIRONMENTS / "routing.json"
FALSE_ALARMS = 0.05
ROUNDS, ASKED = 5, 300
"""Of the times: rounds, and questions in each."""

FIT = """
import json, resource, sys, time
from mollm.routing.learned import LearnedScorer
examples = json.load(open(sys.argv[1]))
before = time.process_time()
LearnedScorer.fit(examples, fallback="none of these")
print(json.dumps([time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
"""Fits in a process of its own; prints CPU seconds and the peak of its memory in MiB."""


def quality(split: Split, variant: str) -> dict[str, float | str]:
    """Fit on the training split and measure on the test split."""
    from mollm.evaluation import metrics
    from mollm.evaluation.asking import Decisions, asking, say
    from mollm.evaluation.questions import Questions

    start, cpu = time.perf_counter(), sum(os.times()[:4])  # with that of processes which have ended
    scorer = fitted(split.train, variant)
    found: dict[str, float | str] = {"fit_s": time.perf_counter() - start, "fit_cpu_s": sum(os.times()[:4]) - cpu}
    ask = asking(scorer, scorer.fallback)

    def said(texts: Sequence[str]) -> Decisions:
        return asyncio.run(say(ask, texts))

    asked = Questions.of([text for text, _ in split.test], [label for _, label in split.test])
    inside = said(asked.texts)
    picks = asked.judged(inside)
    found |= {
        "accuracy": picks.accuracy,
        "macro_f1": picks.macro_f1,
        "calibration_error": picks.calibration_error,
        "coverage_90": metrics.coverage_curve(picks.probability, picks.right, [0.9])[0],
        "coverage_area": metrics.coverage_area(picks.probability, picks.right),
    }
    if split.outside_test:
        validation = said([text for text, _ in split.validation]), said(split.outside_validation)
        found |= out_of_scope(validation, (inside, said(split.outside_test)), picks.right)
    return found


def out_of_scope(validation: tuple[Any, Any], test: tuple[Any, Any], right: Any) -> dict[str, float | str]:
    """Pick score and threshold on the validation splits; measure on the test splits."""
    from mollm.evaluation import metrics
    from mollm.routing.calibration import pick_threshold

    def area(score: str) -> float:
        return metrics.auroc(validation[0].values(score), validation[1].values(score))

    score = max(("familiarity", "probability"), key=area)
    threshold = pick_threshold(validation[0].values(score), FALSE_ALARMS)
    inside, outside = (said.values(score) for said in test)
    return {
        "score": score,
        "auroc_validation": area(score),
        "auroc": metrics.auroc(inside, outside),
        "recall": float((outside < threshold).mean()),
        "false_alarms": float((inside < threshold).mean()),
        "kept": float((right & (inside >= threshold)).mean()),
        "own_recall": float((~test[1].sure).mean()),
        "own_false_alarms": float((~test[0].sure).mean()),
    }


def scikit_learn(rows: list[tuple[str, str]]) -> Callable[[str], object]:
    """The same features and the same separator, by the library that made them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    model = make_pipeline(make_union(words, characters), LinearSVC())
    model.fit(*map(list, zip(*rows, strict=True)))
    return lambda text: model.predict([text])


def speed(split: Split, variant: str) -> dict[str, float]:
    """p50 and p99 of a route and p50 of scikit-learn's prediction, in ms: rounds take turns, on one core."""
    from mollm.evaluation.asking import asking

    scorer = fitted(split.train, variant)
    if (vectors := VARIANTS[variant][1]) is not None:
        from dataclasses import replace

        scorer = replace(scorer, embedder=plain(vectors))
    predict, ask = scikit_learn(split.train), asking(scorer, scorer.fallback)
    texts = [text for text, _ in split.validation[:: len(split.validation) // ASKED][:ASKED]]
    ours: list[float] = []
    theirs: list[float] = []

    async def rounds() -> None:
        for text in texts[:20]:
            await ask(text)
            predict(text)
        for _ in range(ROUNDS):
            for text in texts:
                start = time.perf_counter()
                await ask(text)
                ours.append(time.perf_counter() - start)
            for text in texts:
                start = time.perf_counter()
                predict(text)
                theirs.append(time.perf_counter() - start)

    with one_core():
        asyncio.run(rounds())
    p50, p99 = (1e3 * float(np.quantile(ours, share)) for share in (0.5, 0.99))
    sklearn = 1e3 * statistics.median(theirs)
    return {"p50_ms": p50, "p99_ms": p99, "sklearn_p50_ms": sklearn, "ratio": p50 / sklearn}


def memory(split: Split, old: str) -> dict[str, float | str]:
    """CPU seconds and peak memory of a fit, here and at a revision before, in turns of two."""
    examples: dict[str, list[str]] = {}
    for text, label in split.train:
        examples.setdefault(label, []).append(text)
    file = ENVIRONMENTS / "fit.json"
    commit, python = revision(old, "learned")
    file.write_text(json.dumps(examples))
    runs: dict[str, list[list[float]]] = {"now": [], "before": []}
    for _ in range(2):
        for name, interpreter in (("now", sys.executable), ("before", str(python))):
            command = [interpreter, "-P", "-c", FIT, str(file)]  # -P: the mollm that is installed, not the one here
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs[name].append(json.loads(done.stdout))
    found: dict[str, float | str] = {"before_revision": commit}
    for name, each in runs.items():
        found |= {f"{name}_cpu_s": min(run[0] for run in each), f"{name}_mib": max(run[1] for run in each)}
    return found | {"ratio": float(found["now_cpu_s"]) / float(found["before_cpu_s"])}


@contextmanager
def one_core() -> Iterator[None]:
    """Stay on the last core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def jobs(data: Path, only: set[str], routers: list[str], old: str) -> dict[str, Callable[[], dict[str, Any]]]:
    """What is to be measured, by the key it is kept under."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    for variant in routers:
        if only & {"clinc150", "calibration"}:
            for labels in (10, 150):
                found[f"clinc150/{labels}/{variant}"] = partial(quality, clinc150(data, labels), variant)
        if "banking77" in only:
            found[f"banking77/{variant}"] = partial(quality, banking77(data), variant)
        if "few" in only:
            found[f"few/clinc150/{variant}"] = partial(quality, clinc150(data, 150).few(), variant)
            found[f"few/banking77/{variant}"] = partial(quality, banking77(data).few(), variant)
        if "speed" in only:
            found[f"speed/{variant}"] = partial(speed, clinc150(data, 150), variant)
        if "semantic" in only and VARIANTS[variant][1] is not None:
            for labels in (10, 150):
                found[f"semantic/clinc150/{labels}/{variant}"] = partial(semantic, clinc150(data, labels), variant)
            found[f"semantic/banking77/{variant}"] = partial(semantic, banking77(data), variant)
    if "transformer" in only:
        sets = {"few/clinc150": clinc150(data, 150).few(), "few/banking77": banking77(data).few()}
        for place, split in (sets | {"150": clinc150(data, 150)}).items():
            for router in (HEAD, TUNED):
                found[f"transformer/{place}/{router}"] = partial(quality, split, router)
    if "memory" in only:
        found["memory"] = partial(memory, clinc150(data, 150), old)
    return found


def main() -> None:
    """Measure what is not yet known, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--old", default="bceae10", help="revision that fits beside this one")
    parser.add_argument("--routers", default=",".join(VARIANTS), help=", ".join(VARIANTS))
    parser.add_argument("--kept", type=Path, default=KEPT, help="file of the figures measured so far")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    only = set(arguments.only.split(","))
    if wrong := only - {*PARTS, "transformer"}:
        parser.error(f"--only knows {', '.join(PARTS)}, transformer, not {', '.join(sorted(wrong))}")
    routers = [name for name in VARIANTS if name in arguments.routers.split(",")]
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = (
        json.loads(arguments.kept.read_text()) if arguments.kept.exists() and not arguments.fresh else {}
    )
    for key, measure in jobs(arguments.data, only, routers, arguments.old).items():
        if key in known and "failed" not in known[key]:
            continue
        start = time.perf_counter()
        try:
            known[key] = measure()
        except Exception as error:  # noqa: BLE001 - an extra that is not installed leaves the other rows
            known[key] = {"failed": f"{type(error).__name__}: {error}"[:200]}
        known[key]["date"] = date.today().isoformat()
        print(f"{key}: {time.perf_counter() - start:.0f} s {json.dumps(known[key])}", file=sys.stderr, flush=True)
        arguments.kept.write_text(json.dumps(known, indent=1))
        for kept in Kept.made.values():
            kept.keep()
    text = (
        f"{table(known)}\n\n`uv run python benchmarks/routing.py --data DIR`, {shape()}, {date.today().isoformat()}.\n"
    )
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


if __name__ == "__main__":
    main()
