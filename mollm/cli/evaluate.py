"""`mollm eval`: how good something is, on data."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

evaluate = typer.Typer(name="eval", help="Measure on data.", no_args_is_help=True)


@evaluate.callback()
def _group() -> None:
    """Measure on data."""


@evaluate.command()
def router(
    data: Annotated[Path, typer.Argument(help="Questions with the mixture that each belongs to.")],
    router: Annotated[Path, typer.Option("--router", help="Folder of a trained router.")],
) -> None:
    """Measure a router on questions whose mixture is known."""
    from mollm.evaluation.routing import accuracy
    from mollm.routing.learned import LearnedScorer
    from mollm.training.data import read

    labelled = read(data)
    typer.echo(f"accuracy {accuracy(LearnedScorer.load(router), labelled.texts, labelled.labels):.1%}")
