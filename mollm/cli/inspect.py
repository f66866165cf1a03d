"""`mollm route`, `mollm check` and `mollm show`: what a configuration does, without asking it."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from mollm.cli.options import ConfigOption, JsonOption, PathArgument, named_once

if TYPE_CHECKING:
    from mollm.config.config import Config
    from mollm.routing.explaining import Explanation
    from mollm.types import Route


def route(
    questions: Annotated[list[str], typer.Argument(help="One or more questions.")],
    config: ConfigOption = None,
    json: JsonOption = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also show thresholds, members, and the nearest examples.")
    ] = False,
) -> None:
    """Show which mixture each question goes to, and why. No LLM is asked but the router's own."""
    from mollm.api import MoLLM
    from mollm.cli.printing.listings import print_routes
    from mollm.cli.printing.output import print_json
    from mollm.cli.printing.routes import print_explanations
    from mollm.config.load import load_config

    async def decide() -> list[Route]:
        async with MoLLM(for_routing(load_config(config))) as mollm:
            return [await mollm.aroute(question) for question in questions]

    async def decide_and_explain() -> list[Explanation]:
        async with MoLLM(for_routing(load_config(config))) as mollm:
            return [await mollm.aexplain(question) for question in questions]

    if explain:
        explanations = asyncio.run(decide_and_explain())
        if json:
            print_json([explanation.to_plain() for explanation in explanations])
        else:
            print_explanations(questions, explanations)
        return
    routes = asyncio.run(decide())
    if json:
        print_json(routes)
    else:
        print_routes(questions, routes)


def for_routing(config: Config) -> Config:
    """Replace every LLM that the router does not ask, so that none of them has to be usable."""
    from mollm.config.llms import LLMConfig, PriceConfig

    unused = LLMConfig(model="scripted/unused", price=PriceConfig(input=0, output=0))
    llms = {name: llm if name in config.router_llms else unused for name, llm in config.llms.items()}
    return config.model_copy(update={"llms": llms})


def check(
    path: PathArgument = None,
    config: ConfigOption = None,
    online: Annotated[bool, typer.Option("--online", help="Also call every LLM that is used.")] = False,
    evaluated: Annotated[
        Path | None,
        typer.Option(
            "--evaluated",
            metavar="REPORT",
            help="Also warn of mixtures that the report.json of `mollm eval mixtures` shows not to be worth it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Find everything that is wrong with a configuration at once."""
    from mollm.cli.checks import check_config, check_online
    from mollm.cli.printing.listings import print_findings

    report = check_config(named_once(path, config))
    if online and not report.problems and report.catalog:
        report = asyncio.run(check_online(report))
    if evaluated is not None:
        from mollm.cli.evaluated import with_evaluated

        report = with_evaluated(report, evaluated)
    print_findings(report)
    if report.problems:
        raise typer.Exit(2)


def show(
    path: PathArgument = None,
    config: ConfigOption = None,
    graph: Annotated[bool, typer.Option("--graph", help="Print the graph as Mermaid instead.")] = False,
) -> None:
    """Show mixtures and LLMs, with the most calls and the highest cost of one question."""
    from mollm.catalog import Catalog
    from mollm.cli.printing.listings import print_mixtures
    from mollm.config.load import load_config

    catalog = Catalog(load_config(named_once(path, config)))
    if graph:
        from mollm.graph import compile_graph

        typer.echo(compile_graph(catalog).get_graph().draw_mermaid(), nl=False)
    else:
        print_mixtures(catalog)
