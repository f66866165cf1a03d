"""mollm's router `semantic` and the package semantic-router, on the same vectors: a part of `routing.py`.

Neither is trained: both compare a question with every example. The vectors are made before and remembered, so that the
times are those of the comparison and the decision. semantic-router is asked every ninth question of the test split: it
takes milliseconds to tens of them for one. It has its defaults: the mean likeness of a route's examples among the five
nearest ones.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from revisions import ENVIRONMENTS
from routing_data import VARIANTS, Kept

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routing_data import Split

    from mollm.evaluation.asking import Ask

os.environ.setdefault("MOLLM_CACHE", str(ENVIRONMENTS / "cache"))

EVERY = 9
"""Of the questions that semantic-router is asked."""
VERSION = "1.1.1"


def semantic(split: Split, variant: str) -> dict[str, float | str]:
    """Accuracy of both, how well they tell questions out of scope, and CPU time a question with their ratio."""
    from mollm.evaluation import metrics
    from mollm.evaluation.asking import asking, say
    from mollm.evaluation.questions import Questions
    from mollm.routing.semantic import SemanticScorer

    vectors = VARIANTS[variant][1]
    assert vectors is not None
    embedder, examples = Kept.of(vectors), examples_of(split)
    embedder.embed([text for text, _ in split.train + split.test] + split.outside_test)
    start = time.process_time()
    scorer = SemanticScorer.of(examples, embedder, fallback="none of these")
    found: dict[str, float | str] = {"ready_cpu_s": time.process_time() - start}
    ask = asking(scorer, scorer.fallback)
    asked = Questions.of([text for text, _ in split.test], [label for _, label in split.test])
    said = asyncio.run(say(ask, asked.texts))
    picks = asked.judged(said)
    found |= {"accuracy_of_all": picks.accuracy, "calibration_error": picks.calibration_error}
    found["accuracy_of_ninth"] = metrics.mean(picks.right[::EVERY])
    outside = split.outside_test[::EVERY]
    if outside:
        familiar = asyncio.run(say(ask, outside)).values("familiarity")
        found["auroc_of_ninth"] = metrics.auroc(said.values("familiarity")[::EVERY], familiar)
    return found | peer(split, embedder, ask)


def peer(split: Split, embedder: Kept, ask: Ask) -> dict[str, float | str]:
    """The same of semantic-router, if it is installed, and the CPU time of both in turns."""
    if find_spec("semantic_router") is None:
        return {"semantic-router": f"not installed; uv run --with semantic-router=={VERSION} ..."}
    import numpy as np

    from mollm.evaluation import metrics

    router = indexed(split, embedder)
    rows = split.test[::EVERY]
    right: list[bool] = []
    nearest: list[float] = []
    ours: list[float] = []
    theirs: list[float] = []

    async def taken(call: Callable[[str], Awaitable[Any]], text: str, times: list[float]) -> Any:
        start = time.process_time()
        answer = await call(text)
        times.append(time.process_time() - start)
        return answer

    async def all_of_them() -> None:
        for text, label in rows:
            await taken(ask, text, ours)
            choice = await taken(router.acall, text, theirs)
            right.append(choice.name == label)
            nearest.append(choice.confidence)

    asyncio.run(all_of_them())
    found: dict[str, float | str] = {
        "peer_accuracy_of_ninth": float(np.mean(right)),
        "cpu_ms": 1e3 * float(np.median(ours)),
        "peer_cpu_ms": 1e3 * float(np.median(theirs)),
    }
    found["time_ratio"] = float(found["cpu_ms"]) / float(found["peer_cpu_ms"])
    if split.outside_test:
        outside = [asyncio.run(router.acall(text)).confidence for text in split.outside_test[::EVERY]]
        found["peer_auroc_of_ninth"] = metrics.auroc(np.array(nearest), np.array(outside))
    return found


def indexed(split: Split, embedder: Kept) -> Any:
    """An `IndexedRouter` on the same vectors, with its defaults."""
    package: Any = importlib.import_module("semantic_router")
    encoders: Any = importlib.import_module("semantic_router.encoders")

    class Same(encoders.DenseEncoder):  # type: ignore[misc]
        def __call__(self, docs: list[str]) -> list[list[float]]:
            return [vector.tolist() for vector in embedder.embed(docs)]

        async def acall(self, docs: list[str]) -> list[list[float]]:
            return self(docs)

    routes = [package.Route(name=name, utterances=texts) for name, texts in examples_of(split).items()]
    return package.IndexedRouter(encoder=Same(name="the same vectors"), routes=routes)


def examples_of(split: Split) -> dict[str, list[str]]:
    """The training questions of each label."""
    examples: dict[str, list[str]] = {}
    for text, label in split.train:
        examples.setdefault(label, []).append(text)
    return examples
