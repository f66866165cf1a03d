"""The mixture that was found, asked as it is served, with an LLM that makes the answer of the proposals.

What an LLM writes is in no recording: it is asked, on the questions that the search did not see.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mollm.api import MoLLM
from mollm.config.mixtures import MixtureConfig
from mollm.config.routers import FixedRouterConfig
from mollm.errors import ConfigError, MollmError
from mollm.evaluation.tuning.outcomes import Outcome
from mollm.evaluation.tuning.tune import Aggregated, section_of
from mollm.evaluation.tuning.verdicts import gain_of, verdict_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.config.config import Config
    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.mixtures.scores.base import Score
    from mollm.evaluation.tuning.members import Member
    from mollm.evaluation.tuning.tune import Tuned

NAME = "tuned"


@dataclass
class Ceiling:
    """What may still be taken; None: any number."""

    calls: int | None = None
    cost_usd: float | None = None

    def take(self, calls: int) -> bool:
        """Hold so many calls, if there are as many and some money is left."""
        if (self.calls is not None and self.calls < calls) or (self.cost_usd is not None and self.cost_usd <= 0):
            return False
        self.spend(calls, 0.0)
        return True

    def spend(self, calls: int, cost_usd: float) -> None:
        """Count what was taken; a negative number gives back what was held."""
        self.calls = None if self.calls is None else self.calls - calls
        self.cost_usd = None if self.cost_usd is None else self.cost_usd - cost_usd


async def with_aggregators(
    tuned: Tuned,
    methods: Sequence[str],
    config: Config,
    members: Sequence[Member],
    rows: Sequence[Row],
    score: Score,
    ceiling: Ceiling,
    concurrency: int = 8,
) -> Tuned:
    """Ask the setting that was found with each of `methods`, and take the first that is better than what stands.

    Args:
        tuned: What was found by counting votes.
        methods: Such as `synthesize`; `vote` has an LLM write where no two agree.
        config: Has the LLMs.
        members: Those that were searched.
        rows: All questions; those that are held out are asked.
        score: Scores the answers.
        ceiling: What may be taken, all methods together.
        concurrency: Questions at once.
    """
    if tuned.found.setting is None:
        return tuned
    by_id = {row.id: row for row in rows}
    for method in methods:
        trial = replace(tuned, method=method, aggregator_llm=_llm(tuned, members))
        asked, outcome = await _asked(
            trial, config, members, [by_id[i] for i in tuned.held_out], score, ceiling, concurrency
        )
        if not asked:
            break
        name, stands = tuned.stands[0], tuned.stands[1].part(asked)
        gain = gain_of(name, outcome, stands)
        verdict = verdict_of(gain, outcome.scores - stands.scores)
        tuned = replace(tuned, aggregated=(*tuned.aggregated, Aggregated(method, outcome, verdict)))
        if verdict.kind == "better":
            return replace(tuned, method=method, aggregator_llm=trial.aggregator_llm)
    return tuned


def _llm(tuned: Tuned, members: Sequence[Member]) -> str:
    """The LLM of the best member."""
    return next(member.worker.llm for member in members if member.name == tuned.found.best_member)


async def _asked(
    trial: Tuned,
    config: Config,
    members: Sequence[Member],
    rows: Sequence[Row],
    score: Score,
    ceiling: Ceiling,
    concurrency: int,
) -> tuple[list[int], Outcome]:
    """Ask the mixture as it would be served; return the numbers of the questions that were asked, and what came."""
    entries = {member.name: member.worker.model_dump(exclude_unset=True) for member in members}
    section = MixtureConfig.model_validate(section_of(trial, entries, "Tuned."))
    single = config.model_copy(update={"mixtures": {NAME: section}, "router": FixedRouterConfig(kind="fixed")})
    most, room = section.planned + 1, asyncio.Semaphore(concurrency)
    async with MoLLM(single) as mollm:

        async def one(row: Row) -> tuple[float, float, float] | None:
            async with room:
                if not ceiling.take(most):
                    return None
                text, calls, cost = await _answered(mollm, row)
                ceiling.spend(calls - most, cost or 0.0)
            scores = {} if text is None else await score.score(row, {NAME: text})
            return scores.get(NAME) or 0.0, calls, np.nan if cost is None else cost

        found = await asyncio.gather(*map(one, rows))
    asked = [number for number, one_found in enumerate(found) if one_found is not None]
    columns = np.array([one_found for one_found in found if one_found is not None], float).reshape(-1, 3).T
    return asked, Outcome(columns[0], columns[1], columns[2])


async def _answered(mollm: MoLLM, row: Row) -> tuple[str | None, int, float | None]:
    try:
        answer = await mollm.aask(row.question, mixture=NAME)
    except ConfigError:
        raise
    except MollmError as error:
        spent = getattr(error, "proposals", ())
        return None, len(spent), sum(p.cost_usd or 0.0 for p in spent)
    return answer.text, answer.calls, answer.cost_usd
