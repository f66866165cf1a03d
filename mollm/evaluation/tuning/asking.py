"""Every member asked alone, on every question, once."""
# TO BE JOINED with `mollm.evaluation.mixtures.gathering`, whose `ask_members` has a journal, progress and a ceiling
# that is held: then this module goes, and `cli/tune.py` calls that one.

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mollm.api import MoLLM
from mollm.config.files import is_file
from mollm.config.llms import LLMConfig
from mollm.errors import ConfigError, DataError, MollmError
from mollm.evaluation.mixtures.records import Record
from mollm.evaluation.tuning.members import alone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mollm.config.config import Config
    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.tuning.members import Member


def replayed(config: Config, folder: Path) -> Config:
    """The configuration with recorded answers in place of its LLMs; those that were not recorded are left out.

    Raises:
        ConfigError: None was.
    """
    path = folder.resolve()
    kept = {
        name: LLMConfig(model=f"replay/{path}", price=llm.price, max_tokens=llm.max_tokens)
        for name, llm in config.llms.items()
        if any(is_file(path / f"{name}{suffix}") for suffix in (".jsonl", ".jsonl.gz"))
    }
    if not kept:
        raise ConfigError(f"{folder}: holds answers of none of the LLMs: {', '.join(config.llms)}")
    return config.model_copy(update={"llms": kept})


async def ask_members(
    config: Config,
    members: Sequence[Member],
    rows: Sequence[Row],
    *,
    calls: int | None = None,
    cost_usd: float | None = None,
    concurrency: int = 8,
) -> dict[str, tuple[Record, ...]]:
    """Ask every member alone on every question, once.

    Args:
        config: Has the LLMs, which may be recorded ones.
        members: Who is asked.
        rows: The questions.
        calls: The most that may be made; as many questions are asked as that is enough for.
        cost_usd: No further question is asked once so much was spent.
        concurrency: Questions at once.

    Returns:
        By name of the member the records of the questions that all were asked, in the order of `rows`.
    """
    asked = list(rows) if calls is None else list(rows)[: calls // len(members)]
    if not asked:
        raise DataError(f"{calls} calls are too few to ask {len(members)} LLMs one question")
    spent, room = 0.0, asyncio.Semaphore(concurrency)
    async with MoLLM(alone(config, members)) as mollm:

        async def one(row: Row) -> list[Record] | None:
            nonlocal spent
            async with room:
                if cost_usd is not None and spent >= cost_usd:
                    return None
                found = await asyncio.gather(*(_record(mollm, f"m{index}", row) for index in range(len(members))))
                spent += sum(record.cost_usd or 0.0 for record in found)
                return found

        found = [records for records in await asyncio.gather(*map(one, asked)) if records is not None]
    return {member.name: tuple(row[index] for row in found) for index, member in enumerate(members)}


async def _record(mollm: MoLLM, mixture: str, row: Row) -> Record:
    try:
        answer = await mollm.aask(row.question, mixture=mixture)
    except ConfigError:
        raise
    except MollmError as error:
        return Record(row.id, "", error=str(error))
    proposal = answer.proposals[0]
    return Record(
        row.id,
        answer.text,
        proposal.final,
        usage=answer.usage,
        cost_usd=answer.cost_usd,
        seconds=answer.seconds,
        logprob=proposal.logprob,
    )
