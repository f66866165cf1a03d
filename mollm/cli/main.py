"""The `mollm` command."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mollm.errors import MollmError, RequestError, RunError, UserError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from mollm.types import Route

INTERRUPTED = 130
USAGE_ERROR: Any = typer.BadParameter.__base__
"""click's `UsageError`; typer may carry a copy of click of its own, and this is the class in either case."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Mixtures of LLMs: each question goes to the mixture that suits it, and several LLMs answer it together.",
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="YAML file. Default: $MOLLM_CONFIG, mollm.yaml in this folder, or the packaged mixtures/local.yaml.",
        show_default=False,
    ),
]
MixtureOption = Annotated[
    str | None, typer.Option("--mixture", "-m", help="Ask this mixture; do not route.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question; '-' reads it from standard input.")],
    config: ConfigOption = None,
    mixture: MixtureOption = None,
    json: JsonOption = False,
    explain: Annotated[bool, typer.Option("--explain", help="Then say how it came about, on standard error.")] = False,
) -> None:
    """Answer a question. In a terminal the answer streams; piped, it is printed alone."""
    from mollm.api import MoLLM
    from mollm.cli.printing import print_answer, print_explanation, print_json, print_streamed

    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise RequestError("the question is empty")
    mollm = MoLLM(config)
    if json:
        print_json(answer := _run(mollm.aask(text, mixture=mixture)))
    elif sys.stdout.isatty():
        answer = _run(print_streamed(mollm.astream(text, mixture=mixture), summary=not explain))
    else:
        print_answer(answer := _run(mollm.aask(text, mixture=mixture)))
    if explain:
        sys.stdout.flush()
        print_explanation(answer)


@app.command()
def chat(config: ConfigOption = None, mixture: MixtureOption = None) -> None:
    """Hold a conversation. Through a pipe, every line is a question."""
    from mollm.api import MoLLM
    from mollm.cli import chat

    raise typer.Exit(chat.chat(MoLLM(config), mixture=mixture))


@app.command()
def route(
    questions: Annotated[list[str], typer.Argument(help="One question or more.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show which mixture each question goes to, and why; only a router's own LLM is asked."""
    from mollm.catalog import NO_OPTIONS, Catalog
    from mollm.cli.printing import print_json, print_routes
    from mollm.config.load import load_config
    from mollm.flow import routed
    from mollm.messages import question_of
    from mollm.pool import Pool
    from mollm.run import Context

    loaded, pool = load_config(config), Pool()
    catalog = Catalog(loaded, pool, names=loaded.router_llms)  # the others may want keys that are not set

    async def decide() -> Sequence[Route]:
        asked = [question_of([{"role": "user", "content": question}]) for question in questions]
        try:
            return [await routed(Context(catalog, question, NO_OPTIONS)) for question in asked]
        finally:
            await pool.aclose()

    routes = _run(decide())
    if json:
        print_json(routes)
    else:
        print_routes(questions, routes)


@app.command()
def check(
    config: ConfigOption = None,
    online: Annotated[bool, typer.Option("--online", help="Also call every LLM once.")] = False,
) -> None:
    """Find everything that is wrong with a configuration at once."""
    from mollm.cli.checks import check_config, check_online
    from mollm.cli.printing import print_findings

    report = check_config(config)
    if online and not report.problems and report.catalog:
        report = _run(check_online(report))
    print_findings(report)
    if report.problems:
        raise typer.Exit(2)


@app.command()
def show(
    config: ConfigOption = None,
    graph: Annotated[bool, typer.Option("--graph", help="Print the graph as Mermaid instead.")] = False,
) -> None:
    """Show mixtures and LLMs, with the most calls and the most money one question can take."""
    from mollm.catalog import Catalog
    from mollm.cli.printing import print_mixtures
    from mollm.config.load import load_config

    catalog = Catalog(load_config(config))
    if graph:
        from mollm.graph import compile_graph

        typer.echo(compile_graph(catalog).get_graph().draw_mermaid(), nl=False)
    else:
        print_mixtures(catalog)


@app.command()
def serve(
    config: ConfigOption = None,
    host: Annotated[
        str | None,
        typer.Option(help="Listen here; default: server.host in the file, or 127.0.0.1.", show_default=False),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="0: any that is free; default: server.port, or 8000.", show_default=False),
    ] = None,
) -> None:
    """Serve every mixture at one OpenAI-compatible address."""
    from mollm.server.process import serve

    raise typer.Exit(serve(config, host=host, port=port))


def main() -> NoReturn:
    """Run the command and exit with its code: 0 done, 1 a run failed, 2 your mistake, 130 interrupted."""
    _mend_streams()
    _leave(_main(sys.argv[1:]))


def _mend_streams() -> None:
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # None where it was closed, as by `>&-`.
        stream: Any = getattr(sys, name) or Path(os.devnull).open(mode)  # noqa: SIM115 - open to the end
        # An LLM may write what the locale cannot show; a question mark is better than no answer.
        stream.reconfigure(errors="replace")
        setattr(sys, name, stream)


def _main(arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name="mollm", standalone_mode=False) or 0
        sys.stdout.flush()
        return code
    except USAGE_ERROR as error:
        error.show()
        return UserError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return 0  # the reader of our output has gone, as `head` does; there is nobody to tell
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.stderr.write(f"mollm: the output cannot be written: {error.strerror}\n")
        return RunError.exit_code
    except MollmError as error:
        from mollm.cli.printing import say

        for line in str(error).splitlines() or [type(error).__name__]:
            say(f"mollm: {line}")
        return error.exit_code


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # said already, or nobody is left to hear it
            stream.flush()
    # llama.cpp's server takes a second to be torn down, and nothing of it is worth waiting for.
    os._exit(code)
