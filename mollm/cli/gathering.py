"""Asking many questions: what it may take is said first, what came of it is kept, what failed is named."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import typer

from mollm.api import MoLLM
from mollm.cli.printing.gathering import named, print_failures, print_outlook, progress
from mollm.cli.printing.output import say
from mollm.errors import DataError, LimitError
from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.comparing.best import best_by
from mollm.evaluation.mixtures.gathering.asking import Asker
from mollm.evaluation.mixtures.gathering.ceiling import Ceiling
from mollm.evaluation.mixtures.gathering.fitting import Asking, fit_of
from mollm.evaluation.mixtures.gathering.gather import Gathering, gather
from mollm.evaluation.mixtures.gathering.journal import Journal
from mollm.evaluation.mixtures.gathering.lines import has_lines
from mollm.evaluation.mixtures.gathering.members import mixtures_digest
from mollm.evaluation.mixtures.rows import questions_digest
from mollm.evaluation.mixtures.subject import lacking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from mollm.catalog import Catalog
    from mollm.evaluation.mixtures.gathering.fitting import Fit
    from mollm.evaluation.mixtures.gathering.gather import Best, Found
    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.mixtures.scores.base import Score
    from mollm.evaluation.mixtures.subject import Subject

Unrecorded: TypeAlias = "Mapping[str, Mapping[str, str]]"
"""By mixture, the questions that a recording lacks, by id, and why."""
NO_SAMPLES = "a recording has one answer of each LLM to a question"
NOT_CALLED = "not called: "
"""How the reason begins where an LLM, or its address, had failed too often before."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How it is asked."""

    journal: Path | None
    calls: int | None = None
    cost_usd: float | None = None
    concurrency: int = 8
    itself: bool = True
    """Whether the best member is asked as often as the mixture has workers."""
    readers: bool = True
    """Whether LLMs that read proposals and are no workers are asked alone."""
    is_sure: bool = False
    """Nobody is asked whether to go on."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What came of it."""

    found: Found
    calls: int
    """Made for it, those of earlier starts included."""
    cost_usd: float | None
    notes: tuple[str, ...]


async def evaluated(
    subject: Subject, rows: list[Row], all_rows: list[Row], score: Score, ways: Ways, ceiling: Ceiling
) -> Evaluated:
    """Ask everything.

    Args:
        subject: What is evaluated.
        rows: The questions to be asked.
        all_rows: All questions of the data, which a journal is of.
        score: Tells which member is the best one.
        ways: How it is asked.
        ceiling: What all calls may take, those of a judge among them.

    Raises:
        typer.Abort: The user does not want to.
        LimitError: A ceiling cannot be kept.
        RunError: Nobody answers.
    """
    async with asking(subject, rows, all_rows, ways, ceiling) as (asker, without):
        itself = _asks_itself(subject, ways)
        best, why = (best_by(score), None) if itself else (None, NO_SAMPLES if subject.is_replayed else None)
        found = await gathered(asker, subject, rows, without, ways, best, why)
    notes = (
        *notes_of(found, rows, without, len(all_rows)),
        *notes_of_outages(asker),
        *notes_of_failures(asker.failures, is_mended=not found.has_failures),
    )
    return Evaluated(found, asker.journal.calls, asker.journal.cost_usd, notes)


@asynccontextmanager
async def asking(
    subject: Subject, rows: list[Row], all_rows: list[Row], ways: Ways, ceiling: Ceiling
) -> AsyncIterator[tuple[Asker, Unrecorded]]:
    """Get ready to ask: what it may take was said, what was answered before is known. Takes and raises as `evaluated`.

    Yields:
        Who asks, and which questions cannot be asked of all.
    """
    async with MoLLM(subject.config) as mollm:
        if subject.routes:
            await mollm.prepare()
        without = lacking(mollm.catalog, subject.mixtures, rows)
        journal = _opened(ways.journal, all_rows, mollm.catalog)
        try:
            if not subject.is_replayed:
                of_whom = Asking(mollm.catalog, subject.mixtures, without, subject.routes, ways.readers)
                _check(of_whom, subject, rows, ways, journal, ceiling)
            # What a recording answers takes nothing of what a judge may take.
            asker = Asker(mollm, journal, Ceiling() if subject.is_replayed else ceiling)
            try:
                yield asker, without
            finally:
                print_failures(asker.failures)  # where it was given up, too: they say why
        finally:
            journal.close()


async def gathered(
    asker: Asker,
    subject: Subject,
    rows: list[Row],
    without: Unrecorded,
    ways: Ways,
    best: Best | None = None,
    why_not_itself: str | None = None,
) -> Found:
    """Ask all that is not in the journal yet, and show how far it is."""
    with progress() as told:
        why = why_not_itself or "it was not asked for"
        what = Gathering(
            rows,
            subject.mixtures,
            digests=subject.digests,
            lacking=without,
            routes=subject.routes,
            readers=ways.readers,
            best=best,
            why_not_itself=why,
            concurrency=ways.concurrency,
            told=told,
        )
        return await gather(asker, what)


def _asks_itself(subject: Subject, ways: Ways) -> bool:
    return ways.itself and not subject.is_replayed


def _opened(path: Path | None, rows: list[Row], catalog: Catalog) -> Journal:
    if path is None:
        return Journal()
    make_folder(path.parent)
    journal = Journal.open(path, questions_digest(rows), mixtures_digest(catalog))
    if journal.is_torn:
        say(f"{path}: the last line was cut off and is dropped; what it was of is asked again")
    if journal.failed:
        say(f"{path}: {count(journal.failed, 'question')} failed at an earlier start, and are asked again")
    return journal


def make_folder(path: Path) -> None:
    """Make a folder that a journal is to be in, if there is none. Raises `DataError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be made: {error.strerror}") from error


def _check(of_whom: Asking, subject: Subject, rows: list[Row], ways: Ways, journal: Journal, ceiling: Ceiling) -> None:
    """Say what it may take, refuse what cannot be kept, and ask whether to go on where that costs money."""
    itself = _asks_itself(subject, ways)
    plan = of_whom.of(rows, itself=itself)
    worst, llms = plan.worst, subject.config.llms
    print_outlook(plan, len(rows), len(subject.mixtures), len(journal.records) - journal.failed)
    if ways.cost_usd is not None and worst.unpriced:
        raise LimitError(f"--cost cannot be kept: no price of {named(list(worst.unpriced))}; give `price`, or --calls")
    _check_ceiling(fit_of(of_whom, rows, journal, ceiling), len(rows), ceiling)
    asked = {name for mixture in subject.mixtures for name in subject.config.mixtures[mixture].llms}
    costs = bool(worst.cost_usd) or any(llms[name].is_remote and not llms[name].is_private for name in asked)
    if costs and not ways.is_sure and sys.stdin.isatty() and sys.stderr.isatty():
        with interruptible():
            typer.confirm("Go on?", abort=True, err=True)


def _check_ceiling(fit: Fit, questions: int, ceiling: Ceiling) -> None:
    """Refuse a ceiling below what one question may take, and say for how many another one is sure to be enough."""
    if fit.first is None:
        return
    worst, usual = fit.first.worst, fit.first.usual
    late = f" ({usual:,} if nobody is late)" if usual < worst.calls else ""
    cost = f" and {worst.cost_usd:,.6f} USD" if ceiling.needs_prices else ""
    takes = f"one question takes up to {count(worst.calls, 'call')}{late}{cost}"
    if not fit.sure:
        raise LimitError(f"nothing is asked: {takes}, and the ceiling is {ceiling.most}; give more, or ask fewer LLMs")
    say(f"the ceiling of {ceiling.most} is sure to be enough for {fit.sure:,} of {questions:,} questions: {takes}")


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end what awaits nothing, such as a person; the handler of an event loop only cancels what does."""
    if threading.current_thread() is not threading.main_thread():  # which alone hears of it
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def notes_of_outages(asker: Asker) -> Iterator[str]:
    """Which questions were asked again, and how long somebody was waited for."""
    for llm, questions in asker.again.items():
        asked = count(len(questions), "question")
        yield f"{asked} asked again: a call to {llm} had failed by an outage, or was not made for one"
    if asker.outages.seconds >= 1:
        yield f"LLMs that did not answer were waited for, {asker.outages.seconds:.0f} s in all"


@contextmanager
def told_of_interruption(*journals: Path | None, is_replayed: bool = False) -> Iterator[None]:
    """Say what is kept, and how to go on, where Ctrl-C or the user's no ends what is asked, scored or written."""
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt, typer.Abort):
        kept = [str(path) for path in journals if path and has_lines(path)]
        if kept:
            hold = "holds" if len(kept) == 1 else "hold"
            say(f"{' and '.join(kept)} {hold} what was answered; the same command goes on from there")
        else:
            nothing = "nothing is kept of recorded answers" if is_replayed else "nothing was answered yet"
            say(f"interrupted: {nothing}; the same command begins anew")
        raise


def notes_of_failures(failures: Counter[tuple[str, str]], *, is_mended: bool = False) -> Iterator[str]:
    """Whose calls failed, and why: a verdict may be about a server rather than about what an LLM knows.

    That an LLM was not called is what came of other failures, and is named where there are none of these. Where all was
    mended, by asking again, they say nothing against the verdict.
    """
    wrong = "a question without an answer counts as wrong; go on to ask it again"
    end = "what they were of was answered by another call" if is_mended else wrong
    for llm in dict.fromkeys(llm for llm, _ in failures):
        reasons = Counter({why: times for (name, why), times in failures.items() if name == llm})
        causes = Counter({why: times for why, times in reasons.items() if not why.startswith(NOT_CALLED)})
        ((most, _),) = (causes or reasons).most_common(1)
        calls = count(reasons.total(), "call")
        yield f"{calls} to {llm} failed ({most}): {end}"


def notes_of(found: Found, rows: list[Row], without: Unrecorded, of: int) -> list[str]:
    """What a reader of the report has to know of the asking."""
    notes = [f"the first {len(rows):,} of {of:,} questions"] if len(rows) < of else []
    places = {row.id: row.place for row in rows}
    if found.reached:
        missed = {row for one in found.gathered for row in one.unasked if row not in without.get(one.mixture, ())}
        if missed:
            what = f"{count(len(missed), 'question')} of {len(rows)} were not asked of all"
        else:
            what = "not all that failed was asked again" if found.has_failures else "the self-mixture is left out"
        notes.append(f"{found.reached}: {what}")
    for mixture, lacking_rows in without.items():
        if lacking_rows:
            examples = named([f"{places[row]} ({why})" for row, why in lacking_rows.items()])
            head = f"{mixture}: {count(len(lacking_rows), 'question')} without recorded answers"
            notes.append(f"{head} count for nobody: {examples}")
    if found.unrouted:
        examples = named([f"{places[row]} ({why})" for row, why in found.unrouted.items()])
        notes.append(f"the router failed on {count(len(found.unrouted), 'question')}: {examples}")
    return notes
