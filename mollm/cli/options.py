"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="YAML file. Default: $MOLLM_CONFIG, mollm.yaml in this folder, or the packaged mixtures/local.yaml.",
        show_default=False,
    ),
]
PathArgument = Annotated[
    Path | None, typer.Argument(metavar="PATH", help="YAML file; the same as --config.", show_default=False)
]
MixtureOption = Annotated[
    str | None, typer.Option("--mixture", "-m", help="Ask this mixture; do not route.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def named_once(path: Path | None, config: Path | None) -> Path | None:
    """Return the file that an argument or an option names.

    Raises:
        typer.BadParameter: They name different files.
    """
    if path is not None and config is not None and path != config:
        raise typer.BadParameter(f"{path} is not the file that --config names ({config})", param_hint="PATH")
    return config if path is None else path


def names_in(listed: str | None) -> list[str]:
    """The names of an option that takes several, parted by commas."""
    return [name for part in (listed or "").split(",") if (name := part.strip())]
