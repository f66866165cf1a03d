"""From questions to the mixture that is worth it: asked, scored, searched and confirmed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mollm.cli.gathering import NOT_CALLED, asking, gathered, notes_of
from mollm.cli.printing.output import say
from mollm.cli.reporting import going_on, judging
from mollm.errors import DataError, LimitError
from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.gathering.ceiling import Ceiling
from mollm.evaluation.mixtures.rows import read_rows
from mollm.evaluation.mixtures.scores.remembered import Remembered
from mollm.evaluation.tuning.aggregating import with_aggregators
from mollm.evaluation.tuning.calibrated import confidence_of
from mollm.evaluation.tuning.candidates import candidates_of
from mollm.evaluation.tuning.search import Dial
from mollm.evaluation.tuning.settings import MOST
from mollm.evaluation.tuning.tune import table_of, tune

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mollm.cli.gathering import Ways
    from mollm.cli.reporting import Wanted
    from mollm.evaluation.mixtures.records import Gathered, Record
    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.mixtures.table import Table
    from mollm.evaluation.tuning.candidates import Candidates
    from mollm.evaluation.tuning.tune import Tuned


LEAST = 2
"""Questions: one to search on, and one to confirm it."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched."""

    llms: tuple[str, ...] = ()
    """Among these; none: all of the file."""
    mixture: str | None = None
    """Among the workers of this one instead."""
    most: int = MOST
    """Members at most."""
    dial: Dial = Dial()  # noqa: RUF009 - frozen
    """What a mixture may take."""
    methods: tuple[str, ...] = ()
    """Of aggregators that are asked with what is found."""
    calibrate: bool = False
    """Settings that stop when they are sure are tried as well."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it."""

    tuned: Tuned
    candidates: Candidates
    table: Table
    """Of the questions that count."""
    score: str
    """Its name."""
    data: Path
    failures: tuple[str, ...] = ()
    """Whose calls failed, and why, those of earlier starts included: who was down is not who knows less."""


async def tuned(wanted: Wanted, ways: Ways, what: Search) -> Done:
    """Ask every candidate, and search and confirm what is worth it.

    Raises:
        MollmError: Something cannot be read, asked or scored.
    """
    rows = read_rows(wanted.data)
    candidates = candidates_of(
        wanted.config, wanted.replay, llms=what.llms, mixture=what.mixture, logprobs=what.calibrate
    )
    subject = candidates.subject
    if candidates.unrecorded:
        say(f"warning: no recorded answers of {', '.join(candidates.unrecorded)}, which cannot be a member")
    if ways.journal is None and not subject.is_replayed:
        ways = replace(ways, journal=Path(f"{wanted.data.stem}.mollm-tune.jsonl"))
    if what.methods:
        held_out, most = len(rows[: wanted.limit]) // 2, min(what.most, len(candidates.by_name))
        calls = held_out * (most + 1) * len(what.methods)
        say(f"aggregators are asked {count(held_out, 'question')} once more: {calls:,} further calls at most")
    with going_on(ways.journal):
        return await _searched(wanted, ways, what, rows, candidates)


async def _searched(wanted: Wanted, ways: Ways, what: Search, rows: list[Row], candidates: Candidates) -> Done:
    """Ask what is not in the journal, score it, and search."""
    subject, asked = candidates.subject, rows[: wanted.limit]
    ceiling = Ceiling(ways.calls, ways.cost_usd)
    async with (
        judging(wanted, subject, rows, ceiling) as judge,
        asking(subject, asked, rows, ways, ceiling) as (asker, without),
    ):
        score = Remembered(judge)
        found = await gathered(asker, subject, asked, without, ways)
        for note in notes_of(found, asked, without, len(rows)):
            say(note)
        (of_all,) = found.gathered
        alone = _asked_of_all(of_all, len(candidates.by_name), found.reached)
        table, excluded = await table_of(asked, alone, score)
        best = tune(
            table,
            most=min(what.most, candidates.most),
            dial=what.dial,
            fit=confidence_of if what.calibrate else None,
            seed=wanted.seed,
            kinds={row.id: row.kind for row in asked},
            excluded=excluded,
        )
        workers = {name: candidate.worker for name, candidate in candidates.by_name.items()}
        best = await with_aggregators(best, what.methods, asker, workers, asked, score, ways.concurrency)
    for note in score.notes():
        say(note)
    return Done(
        best, candidates, table, score.name, wanted.data, tuple(_failures(alone, is_replayed=subject.is_replayed))
    )


def _asked_of_all(gathered: Gathered, members: int, reached: str | None) -> dict[str, tuple[Record, ...]]:
    """What each member says alone to the questions that were asked of all."""
    kept = [number for number, row in enumerate(gathered.rows) if row.id not in gathered.unasked]
    if reached and len(kept) < LEAST:
        takes = f"each takes {count(members, 'call')}, or up to {2 * members:,} where some are late"
        fit = "none was" if not kept else f"{len(kept)} was"
        raise LimitError(
            f"{reached}, so nothing was searched: it takes {LEAST} questions, and {fit} asked of all; {takes}"
        )
    if not kept:
        why = next(iter(gathered.unasked.values()))
        raise DataError(f"no question was asked of {count(members, 'LLM')}: {why}")
    return {name: tuple(records[number] for number in kept) for name, records in gathered.alone.items()}


def _failures(alone: Mapping[str, Sequence[Record]], *, is_replayed: bool) -> Iterator[str]:
    """Name who failed, by the cause: that an LLM was not called is what came of it."""
    again = "" if is_replayed else "; to ask all anew, name another --journal"
    for name, records in alone.items():
        reasons = Counter(record.error for record in records if record.error is not None)
        if reasons:
            why = max(reasons, key=lambda reason: (not reason.startswith(NOT_CALLED), reasons[reason]))
            failed = f"{name}: {reasons.total():,} of {count(len(records), 'call')} failed ({why})"
            yield f"{failed}, and counts as wrong there{again}."
