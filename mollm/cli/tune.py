"""`mollm tune`: a mixture that is worth it, searched and confirmed on questions with references."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from mollm.cli.mixtures import (  # noqa: TC001 - typer reads the annotations
    CallsOption,
    ConcurrencyOption,
    CostOption,
    DataArgument,
    JudgeOption,
    RatingsOption,
    ReplayOption,
    ScoreOption,
    YesOption,
)
from mollm.cli.options import ConfigOption, JsonOption, names_in


def tune(
    data: DataArgument,
    config: ConfigOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="YAML file that is written.")] = Path("tuned.yaml"),
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="NAME", help="Keep the whole file, and put the mixture in under this name."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over the file of --out.")] = False,
    replay: ReplayOption = None,
    llms: Annotated[
        str | None, typer.Option("--llms", metavar="A,B,C", help="Search among these LLMs. Default: all of the file.")
    ] = None,
    mixture: Annotated[
        str | None, typer.Option("--mixture", "-m", help="Search among the workers of this mixture instead.")
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=16, help="Members of the mixture at most.")] = 8,
    calls_at_most: Annotated[
        float | None, typer.Option("--calls-at-most", min=1, help="Calls per question, on average.")
    ] = None,
    cost_at_most: Annotated[
        float | None, typer.Option("--cost-at-most", min=0, help="USD per question, on average.")
    ] = None,
    score: ScoreOption = "exact",
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Also try to stop when it is probable enough that the answer is right."),
    ] = False,
    aggregators: Annotated[
        str | None,
        typer.Option(
            "--aggregators",
            metavar="A,B",
            help="Also ask what is found with the best LLM as aggregator: synthesize, best, vote (writes where no two "
            "agree). Not with --replay.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="Ask the first so many questions.")] = None,
    calls: CallsOption = None,
    cost: CostOption = None,
    concurrency: ConcurrencyOption = 8,
    journal: Annotated[
        Path | None,
        typer.Option(
            "--journal",
            help="What was answered, to go on after a kill. Default: DATA.mollm-tune.jsonl here; none of recorded "
            "answers.",
            show_default=False,
        ),
    ] = None,
    judge: JudgeOption = None,
    ratings: RatingsOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the halves.")] = 0,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Search the mixture that is worth it, confirm it on other questions, and write it; or the best LLM alone."""
    from mollm.cli.gathering import Ways
    from mollm.cli.printing.output import print_json
    from mollm.cli.printing.tuning import print_tuned, to_plain
    from mollm.cli.reporting import Wanted
    from mollm.cli.tuning import Search, tuned
    from mollm.cli.tuning_files import Files, check_files, source_of, write
    from mollm.evaluation.tuning.search import Dial

    files = Files(out, into, force=force, calibrates=calibrate)
    check_files(files, config, replay)
    methods = _methods(aggregators, is_replayed=replay is not None, calibrate=calibrate)
    wanted = Wanted(data, config, replay, limit=limit, score=score, judge=judge, ratings=ratings, seed=seed)
    ways = Ways(journal, calls, cost, concurrency, itself=False, is_sure=yes)
    what = Search(tuple(names_in(llms)), mixture, most, Dial(calls_at_most, cost_at_most), methods, calibrate=calibrate)
    found = asyncio.run(tuned(wanted, ways, what))
    source = source_of(data, found.score)
    written = write(files, found, source)
    if json:
        print_json(to_plain(found.tuned, source, written))
    else:
        print_tuned(found.tuned, written)


def _methods(listed: str | None, *, is_replayed: bool, calibrate: bool) -> tuple[str, ...]:
    """How the answer is to be made beside counting votes."""
    from mollm.config.mixtures import METHODS

    found = names_in(listed)
    if found and is_replayed:
        raise typer.BadParameter("no recording holds what an LLM makes of proposals", param_hint="--aggregators")
    if found and calibrate:
        raise typer.BadParameter("asks before there is a calibration; leave one out", param_hint="--aggregators")
    for method in found:
        if method not in METHODS:
            raise typer.BadParameter(f"{method!r} is none of {', '.join(METHODS)}", param_hint="--aggregators")
    return tuple(found)
