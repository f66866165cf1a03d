"""The mixture that was found, asked as it is served, with an LLM that makes the answer of the proposals.

What an LLM writes is in no recording: it is asked, on the questions that the search did not see.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mollm.config.panels import OwnPanel
from mollm.evaluation.mixtures.comparing.scoring import scores_of
from mollm.evaluation.mixtures.gathering.ceiling import CeilingReached
from mollm.evaluation.mixtures.gathering.journal import Key
from mollm.evaluation.tuning.confirming import judged
from mollm.evaluation.tuning.outcomes import Outcome
from mollm.evaluation.tuning.tune import Aggregated, section_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.config.mixtures import WorkerConfig
    from mollm.evaluation.mixtures.gathering.asking import Asker
    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.mixtures.scores.base import Score
    from mollm.evaluation.tuning.tune import Tuned

NAME = "tuned"


async def with_aggregators(
    tuned: Tuned,
    methods: Sequence[str],
    asker: Asker,
    workers: Mapping[str, WorkerConfig],
    rows: Sequence[Row],
    score: Score,
    concurrency: int = 8,
) -> Tuned:
    """Ask the setting that was found with each of `methods`, and take the first that is better than what stands.

    Args:
        tuned: What was found by counting votes.
        methods: Such as `synthesize`; `vote` has an LLM write where no two agree.
        asker: Asks, within its ceiling.
        workers: Those that were searched, by name.
        rows: All questions; those that are held out are asked.
        score: Scores the answers.
        concurrency: Questions at once.

    Raises:
        RunError: Nobody has answered for a long time.
        DataError: The journal cannot be written.
    """
    if tuned.found.setting is None:
        return tuned
    by_id = {row.id: row for row in rows}
    held_out = [by_id[question] for question in tuned.held_out]
    for method in methods:
        llm = workers[tuned.found.best_member].llm
        asked, outcome = await _asked(_panel(tuned, method, llm, workers), asker, held_out, score, concurrency)
        if not asked:
            break
        whom, stands = tuned.stands
        _, verdict = judged(outcome, stands.part(asked), whom, tuned.found.best_member)
        tuned = replace(tuned, aggregated=(*tuned.aggregated, Aggregated(method, outcome, verdict)))
        if verdict.kind == "better":
            return replace(tuned, method=method, aggregator_llm=llm)
    return tuned


def _panel(tuned: Tuned, method: str, llm: str, workers: Mapping[str, WorkerConfig]) -> OwnPanel:
    """The mixture as it would be served, if that method were taken."""
    entries = {name: worker.model_dump(mode="json", exclude_unset=True) for name, worker in workers.items()}
    section = section_of(replace(tuned, method=method, aggregator_llm=llm), entries, NAME)
    return OwnPanel({key: value for key, value in section.items() if key != "description"})


async def _asked(
    panel: OwnPanel, asker: Asker, rows: Sequence[Row], score: Score, concurrency: int
) -> tuple[list[int], Outcome]:
    """Ask it; return the numbers of the questions that were asked and could be scored, and what came."""
    of = f"{NAME} {hashlib.sha256(json.dumps(panel, sort_keys=True).encode()).hexdigest()}"
    found: dict[int, tuple[float, float, float]] = {}
    is_reached = False

    numbers = {row.id: number for number, row in enumerate(rows)}

    async def one(row: Row) -> None:
        nonlocal is_reached
        if is_reached:
            return
        try:
            record = await asker.answer(row, Key("mixture", of, row.id), panel)
        except CeilingReached:
            is_reached = True
            return
        scored = {NAME: 0.0} if record.error is not None else await scores_of(score, row, {NAME: record.text})
        cost = np.nan if record.cost_usd is None else record.cost_usd
        if not np.isnan(scored[NAME]):
            found[numbers[row.id]] = scored[NAME], record.calls, cost

    await asker.all(rows, one, concurrency)
    asked = sorted(found)
    columns = np.array([found[number] for number in asked], float).reshape(-1, 3).T
    return asked, Outcome(columns[0], columns[1], columns[2])
