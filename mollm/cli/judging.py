"""What answers are scored by; an LLM that judges is asked within the ceiling, and its verdicts are kept."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mollm.api import MoLLM
from mollm.cli.gathering import make_folder
from mollm.cli.printing.output import say
from mollm.errors import LimitError
from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.scores.judge import LLMJudge
from mollm.evaluation.mixtures.scores.registry import Given, score_of
from mollm.evaluation.mixtures.scores.verdicts import Verdicts, beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mollm.cli.reporting import Wanted
    from mollm.evaluation.mixtures.gathering.ceiling import Ceiling
    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.mixtures.scores.base import Score
    from mollm.evaluation.mixtures.subject import Subject


@asynccontextmanager
async def judging(
    wanted: Wanted, subject: Subject, rows: list[Row], ceiling: Ceiling, journal: Path
) -> AsyncIterator[Score]:
    """The score; a judge is an LLM of the file, also where recorded answers are judged.

    Args:
        wanted: Names the score.
        subject: What is scored.
        rows: The questions.
        ceiling: What all calls may take.
        journal: Where answers are kept; verdicts are beside it.

    Raises:
        LimitError: The judge has no price, and USD are to be counted; or nobody is called whose calls could be.
        DataError: Verdicts cannot be kept.
    """
    if wanted.score != "judge" or wanted.judge is None:
        if subject.is_replayed and ceiling.is_bounded:
            raise LimitError(f"a ceiling of {ceiling.most}: recorded answers call nobody; leave out --calls and --cost")
        yield score_of(wanted.score, Given(rows, wanted.ratings, wanted.judge, config=subject.original.path))
        return
    async with MoLLM(subject.judging) as mollm:
        judge = LLMJudge(mollm, wanted.judge, ceiling)
        judge.verdicts = _opened(beside(journal))
        try:
            say(f"{wanted.judge} judges: two calls for each answer but the first member's, beside those below")
            if known := judge.verdicts.of(judge.digest):
                say(f"{beside(journal)}: {count(known, 'verdict')} of {wanted.judge} already")
            yield judge
        finally:
            judge.verdicts.close()


def _opened(path: Path) -> Verdicts:
    make_folder(path.parent)
    verdicts = Verdicts.open(path)
    if verdicts.is_torn:
        say(f"{path}: the last line was cut off and is dropped; what it was of is judged again")
    return verdicts
