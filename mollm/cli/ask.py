"""`mollm ask`: one question."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from mollm.cli.options import ConfigOption, JsonOption, MixtureOption  # noqa: TC001 - typer evaluates annotations
from mollm.cli.panels import (
    AggregatorOption,
    MethodOption,
    WorkersOption,
    config_of,
    panel_of,
)
from mollm.errors import RequestError


def ask(
    question: Annotated[str, typer.Argument(help="The question; '-' reads it from standard input.")],
    config: ConfigOption = None,
    mixture: MixtureOption = None,
    workers: WorkersOption = None,
    aggregator: AggregatorOption = None,
    method: MethodOption = None,
    json: JsonOption = False,
    explain: Annotated[bool, typer.Option("--explain", help="Also explain the answer, on standard error.")] = False,
) -> None:
    """Answer a question. In a terminal the answer streams; piped, it is printed alone."""
    from mollm.api import MoLLM
    from mollm.cli.keeping import settle
    from mollm.cli.printing.explanation import print_explanation, print_summary
    from mollm.cli.printing.output import print_answer, print_json, say
    from mollm.cli.printing.progress import print_streamed

    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise RequestError("the question is empty")
    panel = panel_of(workers, aggregator, method)
    if panel is not None and mixture is not None:
        raise typer.BadParameter("takes the place of a mixture; leave one of them out", param_hint="--workers")
    mollm = MoLLM(config)
    is_streamed = sys.stdout.isatty() and not json
    try:
        if is_streamed:
            answer = asyncio.run(print_streamed(mollm.astream(text, mixture=panel or mixture)))
        else:
            answer = asyncio.run(mollm.aask(text, mixture=panel or mixture))
            print_json(answer) if json else print_answer(answer)
        sys.stdout.flush()
        if explain:
            print_explanation(answer, config_of(answer, mollm.config, panel))
        elif is_streamed:
            print_summary(answer, config_of(answer, mollm.config, panel))
    finally:
        is_kept = settle(mollm)
    if is_kept and sys.stderr.isatty() and not json:
        say("rate it, from -1 to 1: mollm feedback last SCORE")
