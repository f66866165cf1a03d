"""`mollm eval`: how good something is, on data."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from mollm.cli.arms import arms
from mollm.cli.mixtures import mixtures
from mollm.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer reads the annotations
from mollm.cli.review import review
from mollm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mollm.config.config import Config
    from mollm.evaluation.baselines import Fit
    from mollm.evaluation.cost import Cost
    from mollm.evaluation.questions import Questions
    from mollm.evaluation.routing import Evaluation, Measuring
    from mollm.training.data import Labelled

Source: TypeAlias = "Path | Config"
"""Where the router is: in a folder, or described by a configuration."""

evaluate = typer.Typer(name="eval", help="Measure on data.", no_args_is_help=True)
evaluate.command()(arms)
evaluate.command()(review)
evaluate.command()(mixtures)

RouterOption = Annotated[
    Path | None,
    typer.Option("--router", help="Folder of a trained router. Default: the router of --config.", show_default=False),
]
ValidationOption = Annotated[
    Path | None,
    typer.Option(
        "--validation", help="Questions that set the threshold. Default: the router's own.", show_default=False
    ),
]
OutOfScopeOption = Annotated[
    str | None,
    typer.Option(
        "--out-of-scope",
        metavar="LABEL|FILE",
        help="Label of questions that belong nowhere, or a file of such questions.",
        show_default=False,
    ),
]
TrainOption = Annotated[
    Path | None,
    typer.Option(
        "--train",
        help="What the baselines are fitted on. Default: the examples of --config, or the other folds of DATA.",
        show_default=False,
    ),
]
NoiseOption = Annotated[bool, typer.Option("--noise/--no-noise", help="Ask again with typos, capitals, greetings.")]


@evaluate.callback()
def _group() -> None:
    """Measure on data."""


@evaluate.command()
def router(
    data: Annotated[Path, typer.Argument(help="Questions with the mixture that each belongs to.")],
    router: RouterOption = None,
    config: ConfigOption = None,
    validation: ValidationOption = None,
    out_of_scope: OutOfScopeOption = None,
    train: TrainOption = None,
    noise: NoiseOption = True,
    json: JsonOption = False,
) -> None:
    """Measure a router on questions whose mixture is known. No LLM is asked but the router's own."""
    from mollm.cli.printing.evaluation import print_evaluation
    from mollm.cli.printing.output import print_json
    from mollm.config.load import load_config
    from mollm.evaluation.questions import Questions
    from mollm.evaluation.routing import Measuring
    from mollm.training.data import read

    if router is not None and config is not None:
        raise typer.BadParameter("give --router or --config, not both", param_hint="--router")
    source = router or load_config(config)
    rows = read(data)
    nowhere, outside = _nowhere(out_of_scope, rows, data)
    asked = Questions.of(rows.texts, rows.labels, out_of_scope=nowhere, outside=outside)
    how = Measuring(
        validation=None if validation is None else _inside(validation, nowhere),
        baselines=_baselines(),
        train=_learned_from(source, None if train is None else read(train), nowhere),
        noisy=noise,
    )
    with _one_core():
        found = asyncio.run(_measured(source, asked, how))
        found = replace(found, fit=_cost(source))
    if json:
        print_json(found.to_plain())
    else:
        print_evaluation(found)


def _nowhere(out_of_scope: str | None, rows: Labelled, data: Path) -> tuple[tuple[str, ...], list[str]]:
    """What an option names: a label of questions that belong nowhere, or such questions."""
    if out_of_scope is None:
        return (), []
    if Path(out_of_scope).is_file():
        outside = _texts(Path(out_of_scope))
        if not outside:
            raise typer.BadParameter(f"{out_of_scope} has no questions", param_hint="--out-of-scope")
        return (), outside
    if out_of_scope not in rows.labels:
        raise typer.BadParameter(
            f"{out_of_scope!r} is neither a label of {data} nor a file", param_hint="--out-of-scope"
        )
    return (out_of_scope,), []


def _inside(validation: Path, nowhere: tuple[str, ...]) -> list[str]:
    """The questions of a file that belong to mixtures."""
    from mollm.training.data import read

    rows = read(validation)
    inside = [text for text, label in zip(rows.texts, rows.labels, strict=True) if label not in nowhere]
    if not inside:
        raise typer.BadParameter(f"{validation} has no question that belongs to a mixture", param_hint="--validation")
    return inside


def _baselines() -> Mapping[str, Fit]:
    """Those that can be fitted in this installation; a warning names what is missing."""
    from mollm.cli.printing.output import say
    from mollm.errors import ConfigError
    from mollm.evaluation.baselines import BASELINES, UNLEARNED
    from mollm.routing.fitting import check_installed

    try:
        check_installed()
    except ConfigError as error:
        say(f"warning: no naive Bayes beside the router: {error}")
        return UNLEARNED
    return BASELINES


def _learned_from(
    source: Source, train: Labelled | None, nowhere: tuple[str, ...]
) -> tuple[list[str], list[str]] | None:
    """Questions and mixtures that baselines are fitted on: those given, or the examples of a configuration."""
    from mollm.config.routers import LearnedMemberConfig

    if train is not None:
        examples = train.by_mixture()
    elif isinstance(source, Path) or any(
        isinstance(section.config, LearnedMemberConfig) and section.config.path for section in source.router_sections
    ):
        return None  # it was trained elsewhere, on what it does not keep
    else:
        examples = source.examples()
    pairs = [(text, name) for name, texts in examples.items() if name not in nowhere for text in texts]
    return ([text for text, _ in pairs], [name for _, name in pairs]) if pairs else None


async def _measured(source: Source, asked: Questions, how: Measuring) -> Evaluation:
    from mollm.api import MoLLM
    from mollm.cli.inspect import for_routing
    from mollm.cli.printing.output import say
    from mollm.evaluation.asking import asking
    from mollm.evaluation.routing import evaluate
    from mollm.routing.learned import LearnedScorer

    if isinstance(source, Path):
        scorer = LearnedScorer.load(source)
        return await evaluate(asking(scorer, scorer.fallback, multi=asked.has_several), asked, how)
    if asked.has_several and not getattr(source.router, "multi", False):
        say("warning: some questions belong to several mixtures, and `router.multi` is off: none gets a second one")
    async with MoLLM(for_routing(source)) as mollm:
        await mollm.prepare()
        return await evaluate(mollm.aroute, asked, how)


def _cost(source: Source) -> Cost | None:
    """What fitting took; if that cannot be had, a warning says why."""
    from mollm.cli.printing.output import say
    from mollm.errors import ConfigError, RunError
    from mollm.evaluation import cost

    try:
        return cost.of_folder(source) if isinstance(source, Path) else cost.of_config(source)
    except (ConfigError, RunError) as error:
        say(f"warning: what fitting takes is not known: {error}")
        return None


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
