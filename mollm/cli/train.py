"""`mollm train`: what is learned from data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mollm.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer evaluates annotations

if TYPE_CHECKING:
    from mollm.config.config import Config
    from mollm.embeddings.base import Embedder
    from mollm.feedback.base import Rated
    from mollm.training.data import Labelled

train = typer.Typer(name="train", help="Learn from data.", no_args_is_help=True)


DataArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[DATA]...", help="Files, or folders of them: questions and the mixture of each."),
]
MethodOption = Annotated[
    Literal["naive-bayes", "linear", "embeddings", "both", "transformer"],
    typer.Option("--method", help="How it learns."),
]
FallbackOption = Annotated[
    str | None,
    typer.Option(
        "--fallback",
        help="The mixture that answers what no other one knows. Default: that of --config, or general.",
        show_default=False,
    ),
]
FalseAlarmsOption = Annotated[
    float, typer.Option("--false-alarms", min=0.0, max=0.5, help="Share of the questions that may be doubted.")
]
HeldOutOption = Annotated[
    float, typer.Option("--held-out", min=0.0, max=0.9, help="Share of the questions that it is measured on.")
]
FromFeedbackOption = Annotated[
    bool, typer.Option("--from-feedback", help="Learn from rated answers as well; the version is not put in force.")
]


@train.callback()
def _group() -> None:
    """Learn from data."""


@train.command()
def router(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the router and its versions.")],
    data: DataArgument = None,
    method: MethodOption = "linear",
    fallback: FallbackOption = None,
    false_alarms: FalseAlarmsOption = 0.05,
    held_out: HeldOutOption = 0.2,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which questions these are.")] = 0,
    config: ConfigOption = None,
    from_feedback: FromFeedbackOption = False,
    json: JsonOption = False,
) -> None:
    """Train a router on questions whose mixture is known; `router: {kind: learned, path: DIR}` uses it.

    Without DATA it learns from the examples of the configuration.
    """
    from mollm.cli.printing.output import print_json, say
    from mollm.cli.printing.steps import step
    from mollm.cli.printing.training import print_trained
    from mollm.config.load import load_config
    from mollm.routing import versions
    from mollm.training.methods import Training
    from mollm.training.router import train as trained

    with_vectors = method in ("embeddings", "both")
    settings = load_config(config) if config or from_feedback or with_vectors or not data else None
    known = _known(data, settings)
    for warning in known.warnings:
        say(f"warning: {warning}")
    otherwise = settings.fallback if settings else "general"
    embedder = _embedder(settings) if settings and with_vectors else None
    how = Training(method, fallback or otherwise, false_alarms, held_out, seed, embedder)
    ratings = _ratings(settings) if settings and from_feedback else None
    before = versions.listed(out)
    try:
        report = trained(known, how, out, ratings=ratings, step=step)
    except KeyboardInterrupt:
        added = [version for version in versions.listed(out) if version not in before]
        say(f"mollm: interrupted; {', '.join(added) or 'no version'} was added to {out}")
        raise
    if json:
        print_json(report.to_plain())
    else:
        print_trained(report.to_plain(), out / versions.VERSIONS / report.version)
    if from_feedback:
        say(f"{report.version} is not in force: `mollm routers use {out} {report.version}`")


def _known(data: list[Path] | None, settings: Config | None) -> Labelled:
    """What the files have, or the examples of the configuration."""
    from mollm.training.checking import checked
    from mollm.training.data import Labelled, read

    if data or settings is None:
        return checked(read(*data or ()))
    pairs = [(text, name) for name, texts in settings.examples().items() for text in texts]
    return checked(Labelled(tuple(text for text, _ in pairs), tuple(name for _, name in pairs)))


def _embedder(settings: Config) -> Embedder:
    """The embedder of the router, or of all."""
    from mollm.embeddings.factory import build_embedder
    from mollm.errors import ConfigError

    own = getattr(settings.router, "embedder", None)
    section = own or settings.embeddings
    if section is None:
        where = settings.path or "the configuration"
        raise ConfigError(f"{where}: this method needs vectors; say under `embeddings` where they come from")
    return build_embedder(section, settings, ("router", "embedder") if own else ("embeddings",))


def _ratings(settings: Config) -> list[Rated]:
    """The rated answers that the configuration keeps."""
    from mollm.feedback.base import rated
    from mollm.feedback.stores import opened

    store = opened(settings)
    try:
        return list(rated(store))
    finally:
        store.close()


@train.command()
def chooser(
    data: Annotated[
        Path, typer.Argument(help='JSON lines of {"question", "scores": {LLM: 0 to 1}, "cost": {LLM: USD}}.')
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the trained chooser.")],
    held_out: Annotated[
        float, typer.Option("--held-out", min=0, max=0.9, help="Share of the rows to measure on; 0: none.")
    ] = 0.2,
) -> None:
    """Train a chooser on recorded scores of LLMs; `workers: {choose: {path: DIR, ...}}` uses it."""
    from mollm.cli.printing.choosing import training_report
    from mollm.cli.printing.output import say
    from mollm.errors import DataError
    from mollm.training.chooser import train as fitted
    from mollm.training.outcomes import read

    trained = fitted(read(data), held_out, say)
    report = training_report(trained)
    try:
        trained.predictor.save(out)
        (out / "report.md").write_text(report + "\n", "utf-8")
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror}") from error
    typer.echo(report)
