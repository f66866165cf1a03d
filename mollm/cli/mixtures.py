"""`mollm eval mixtures`: whether mixtures are worth it, on questions with references."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from mollm.cli.options import ConfigOption, JsonOption, names_in

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
        "DATA.mollm-eval.jsonl here (of --calibrate DATA.mollm-calibrate.jsonl); none of recorded answers.",
        show_default=False,
    ),
]


ScoreOption = Annotated[
    str,
    typer.Option(
        "--score", help="exact, rouge-1, rouge-2, rouge-l, regex, tests, judge, ratings, or your module:function."
    ),
]

JudgeOption = Annotated[
    str | None, typer.Option("--judge", metavar="LLM", help="Who judges, for --score judge.", show_default=False)
]
RatingsOption = Annotated[
    Path | None,
    typer.Option("--ratings", metavar="FILE", help="What people said, for --score ratings.", show_default=False),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to go on.")]


def mixtures(
    data: DataArgument,
    config: ConfigOption = None,
    replay: ReplayOption = None,
    workers: WorkersOption = None,
    mixture: MixturesOption = None,
    limit: LimitOption = None,
    score: ScoreOption = "exact",
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
    judge: JudgeOption = None,
    ratings: RatingsOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which questions the best member is chosen on.")] = 0,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Ask every mixture and each of its members, and tell whether the mixture is worth it."""
    from mollm.cli.gathering import Ways
    from mollm.cli.printing.mixtures import print_mixtures_report
    from mollm.cli.reporting import Wanted, reported
    from mollm.evaluation.mixtures.reports import to_json

    if workers and mixture:
        raise typer.BadParameter("takes the place of mixtures; leave one of them out", param_hint="--workers")
    if calibrate and out is None:
        raise typer.BadParameter("needs --out FILE", param_hint="--calibrate")
    wanted = Wanted(
        data, config, replay, tuple(mixture or ()), tuple(names_in(workers)), limit, score, judge, ratings, seed
    )
    ways = Ways(journal, calls, cost, concurrency, itself=itself and not calibrate, readers=not calibrate, is_sure=yes)
    report = asyncio.run(reported(wanted, ways, out, calibrate=calibrate))
    if json:
        typer.echo(to_json(report))
    else:
        print_mixtures_report(report)
