"""A panel for one request, as a command line says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mollm.cli.options import names_in

if TYPE_CHECKING:
    from mollm.config.config import Config
    from mollm.types import Answer

WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--workers",
        "-w",
        metavar="LLM,...",
        help="Ask these LLMs instead of a mixture; one that stands there twice is asked twice.",
        show_default=False,
    ),
]
AggregatorOption = Annotated[
    str | None,
    typer.Option(
        "--aggregator", "-a", metavar="LLM", help="With --workers: who makes the answer. Default: the first of them."
    ),
]
MethodOption = Annotated[
    str | None,
    typer.Option("--method", metavar="METHOD", help="With --workers: synthesize (default), vote or best."),
]


def panel_of(workers: str | None, aggregator: str | None, method: str | None) -> dict[str, Any] | None:
    """Put together the panel that the options name; None where they name none.

    Raises:
        typer.BadParameter: There is an aggregator without workers.
    """
    how = {key: value for key, value in (("method", method), ("llm", aggregator)) if value is not None}
    if workers is None:
        if how:
            raise typer.BadParameter("--aggregator and --method go with --workers", param_hint="--workers")
        return None
    names = names_in(workers)
    return {"workers": names, **({"aggregator": how} if how else {})}


def config_of(answer: Answer, config: Config, panel: dict[str, Any] | None) -> Config:
    """The configuration by which an answer came about: that of the file, or with the panel in it."""
    from mollm.config.names import PANEL
    from mollm.config.panels import read_panel, with_panel

    return with_panel(config, read_panel(config, panel)[0]) if panel and answer.mixture == PANEL else config
