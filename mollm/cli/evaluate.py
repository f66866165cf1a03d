"""`mollm eval`: how good something is, on data."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mollm.cli.arms import arms
from mollm.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer reads the annotations
from mollm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from mollm.evaluation.routing import Ask, Evaluation

evaluate = typer.Typer(name="eval", help="Measure on data.", no_args_is_help=True)
evaluate.command()(arms)


@evaluate.callback()
def _group() -> None:
    """Measure on data."""


@evaluate.command()
def router(
    data: Annotated[Path, typer.Argument(help="Questions with the mixture that each belongs to.")],
    router: Annotated[
        Path | None,
        typer.Option(
            "--router", help="Folder of a trained router. Default: the router of --config.", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            "--validation", help="Questions that set the threshold. Default: the router's own.", show_default=False
        ),
    ] = None,
    out_of_scope: Annotated[
        str | None,
        typer.Option(
            "--out-of-scope",
            metavar="LABEL|FILE",
            help="Label of questions that belong nowhere, or a file of such questions.",
            show_default=False,
        ),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option("--train", help="What the router learned from, for the baselines.", show_default=False),
    ] = None,
    noise: Annotated[
        bool, typer.Option("--noise/--no-noise", help="Ask again with typos, capitals, greetings.")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Measure a router on questions whose mixture is known. No LLM is asked but the router's own."""
    from mollm.cli.printing.evaluation import print_evaluation
    from mollm.cli.printing.output import print_json
    from mollm.evaluation.routing import evaluate as measure
    from mollm.training.data import read

    if router is not None and config is not None:
        raise typer.BadParameter("give --router or --config, not both", param_hint="--router")
    asked, checked = read(data), read(validation) if validation else None
    learned = read(train) if train else None
    file = Path(out_of_scope) if out_of_scope and Path(out_of_scope).is_file() else None
    nowhere = (out_of_scope,) if out_of_scope and file is None else ()
    if nowhere and nowhere[0] not in asked.labels:
        raise typer.BadParameter(f"{nowhere[0]!r} is neither a label of {data} nor a file", param_hint="--out-of-scope")
    outside = _texts(file) if file else []
    if file and not outside:
        raise typer.BadParameter(f"{file} has no questions", param_hint="--out-of-scope")
    if checked and not set(checked.labels) - set(nowhere):
        raise typer.BadParameter(f"{validation} has no question that belongs to a mixture", param_hint="--validation")

    async def measured(ask: Ask) -> Evaluation:
        return await measure(
            ask,
            asked.texts,
            asked.labels,
            out_of_scope=nowhere,
            outside=outside,
            validation=None
            if checked is None
            else [text for text, label in zip(checked.texts, checked.labels, strict=True) if label not in nowhere],
            train=None if learned is None else (learned.texts, learned.labels),
            noisy=noise,
        )

    with _one_core():
        found = asyncio.run(_trained(router, measured) if router else _configured(config, measured))
    if json:
        print_json(found.to_plain())
    else:
        print_evaluation(found)


async def _trained(folder: Path, measured: Callable[[Ask], Awaitable[Evaluation]]) -> Evaluation:
    from mollm.evaluation.routing import asking
    from mollm.routing.learned import LearnedScorer

    scorer = LearnedScorer.load(folder)
    return await measured(asking(scorer, scorer.fallback))


async def _configured(config: Path | None, measured: Callable[[Ask], Awaitable[Evaluation]]) -> Evaluation:
    from mollm.api import MoLLM
    from mollm.cli.inspect import for_routing
    from mollm.config.load import load_config

    async with MoLLM(for_routing(load_config(config))) as mollm:
        await mollm.prepare()
        return await measured(mollm.aroute)


def _texts(file: Path) -> list[str]:
    """One question a line of a text file; those of any other file, whatever their labels."""
    from mollm.training.data import read

    if file.suffix != ".txt":
        return list(read(file).texts)
    try:
        return [line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error


@contextmanager
def _one_core() -> Iterator[None]:
    """Stay on one core where the system can, so that times are those of one core."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@evaluate.command()
def chooser(
    data: Annotated[
        Path, typer.Argument(help='JSON lines of {"question", "scores": {LLM: 0 to 1}, "cost": {LLM: USD}}.')
    ],
    path: Annotated[
        Path | None, typer.Option("--path", help="Folder of a trained chooser; without one, what to beat is measured.")
    ] = None,
) -> None:
    """Measure how good one LLM for each question is: by a chooser, by chance, always the same, the best one."""
    from mollm.cli.printing.choosing import figures_table, measured_report
    from mollm.evaluation.choosing import measure
    from mollm.mixing.predictor import Predictor
    from mollm.training.chooser import measured_on
    from mollm.training.outcomes import read

    outcomes = read(data)
    if path is not None:
        typer.echo(measured_report(measured_on(outcomes, Predictor.load(path))))
        return
    lengths = [len(question) for question in outcomes.questions]
    best = int(outcomes.scores.mean(axis=0).argmax())
    figures = measure(outcomes.scores, outcomes.llms, lengths=lengths, best=best, costs=outcomes.costs)
    typer.echo("\n".join(figures_table(figures)))
