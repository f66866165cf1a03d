"""`mollm eval mixtures`: whether mixtures are worth it, on questions with references."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from mollm.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer evaluates annotations

JOURNAL = "journal.jsonl"
"""Name of the journal beside a report."""

DataArgument = Annotated[Path, typer.Argument(help='JSON lines of {"id", "question", "reference", "kind"}.')]
ReplayOption = Annotated[
    Path | None,
    typer.Option("--replay", metavar="DIR", help="Recorded answers take the place of LLMs.", show_default=False),
]
WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--workers", "-w", metavar="LLM,...", help="A vote of these LLMs instead of mixtures.", show_default=False
    ),
]
MixturesOption = Annotated[
    list[str] | None,
    typer.Option("--mixture", "-m", help="Evaluate this one; may be repeated. Default: all.", show_default=False),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Ask the first so many questions.", show_default=False)
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Folder for report.json and report.html; with --calibrate, the file to write.",
        show_default=False,
    ),
]
CallsOption = Annotated[
    int | None, typer.Option("--calls", min=1, help="Call LLMs so often at most.", show_default=False)
]
CostOption = Annotated[float | None, typer.Option("--cost", min=0, help="USD at most.", show_default=False)]
ConcurrencyOption = Annotated[int, typer.Option("--concurrency", min=1, help="Questions at the same time.")]
JournalOption = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        help="What was answered, to go on after a kill. Default: journal.jsonl in --out, else "
        "DATA.mollm-eval.jsonl here; none of recorded answers.",
        show_default=False,
    ),
]


def mixtures(
    data: DataArgument,
    config: ConfigOption = None,
    replay: ReplayOption = None,
    workers: WorkersOption = None,
    mixture: MixturesOption = None,
    limit: LimitOption = None,
    score: Annotated[str, typer.Option("--score", help="How answers are held against references.")] = "exact",
    out: OutOption = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Fit how likely answers are right, and write that to --out.")
    ] = False,
    itself: Annotated[
        bool, typer.Option("--self/--no-self", help="Also ask the best member as often as the mixture has workers.")
    ] = True,
    calls: CallsOption = None,
    cost: CostOption = None,
    concurrency: ConcurrencyOption = 8,
    journal: JournalOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which questions the best member is chosen on.")] = 0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to go on.")] = False,
    json: JsonOption = False,
) -> None:
    """Ask every mixture and each of its members, and tell whether the mixture is worth it."""
    from mollm.cli.gathering import Ways, evaluated
    from mollm.cli.printing.output import print_json, say
    from mollm.evaluation.mixtures.best import Remembered
    from mollm.evaluation.mixtures.rows import read_rows
    from mollm.evaluation.mixtures.scores.exact import Exact
    from mollm.evaluation.mixtures.subject import subject_of

    if workers and mixture:
        raise typer.BadParameter("takes the place of mixtures; leave one of them out", param_hint="--workers")
    if calibrate and out is None:
        raise typer.BadParameter("needs --out FILE", param_hint="--calibrate")
    if score != Exact.name:
        raise typer.BadParameter(f"{score!r} is no score; there is: exact", param_hint="--score")
    rows = read_rows(data)
    names = [name for part in (workers or "").split(",") if (name := part.strip())]
    subject = subject_of(config, replay, mixture or (), names)
    folder = None if calibrate else out
    kept = journal or _default_journal(data, folder, is_replayed=subject.is_replayed)
    counted = Remembered(Exact())
    ways = Ways(kept, calls, cost, concurrency, itself=itself, is_sure=yes)
    done = asyncio.run(evaluated(subject, rows[:limit], rows, counted, ways))
    for note in (*subject.notes, *done.notes):
        say(f"note: {note}")
    counts = [
        {
            "mixture": one.mixture,
            "questions": len(one.rows),
            "unasked": dict(one.unasked),
            "answered": sum(record.error is None for record in one.answers),
            "members": {name: sum(r.error is None for r in records) for name, records in one.alone.items()},
            "itself": len(one.itself) or one.why_not_itself,
        }
        for one in done.found.gathered
    ]
    print_json(counts)
    del json, seed


def _default_journal(data: Path, folder: Path | None, *, is_replayed: bool) -> Path | None:
    if is_replayed:
        return None  # asking a recording again takes no longer than reading a journal
    return folder / JOURNAL if folder else Path(f"{data.stem}.mollm-eval.jsonl")
