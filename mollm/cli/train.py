"""`mollm train`: what is learned from data."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

train = typer.Typer(name="train", help="Learn from data.", no_args_is_help=True)


@train.callback()
def _group() -> None:
    """Learn from data."""


@train.command()
def router(
    data: Annotated[Path, typer.Argument(help="Questions with the mixture that each belongs to.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the trained router.")],
    fallback: Annotated[str, typer.Option("--fallback", help="The mixture that answers what no other one knows.")],
) -> None:
    """Train a router on questions whose mixture is known; `router: {kind: learned, path: DIR}` uses it."""
    from mollm.routing.learned import LearnedScorer
    from mollm.training.data import read

    LearnedScorer.fit(read(data).by_label(), fallback=fallback).save(out)
