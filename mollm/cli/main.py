"""The `mollm` command: its subcommands, how it starts and how it ends."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from mollm.cli.ask import ask
from mollm.cli.chat import chat
from mollm.cli.evaluate import evaluate
from mollm.cli.feedback import feedback
from mollm.cli.inspect import check, route, show
from mollm.cli.mcp import mcp
from mollm.cli.printing.output import say
from mollm.cli.routers import routers
from mollm.cli.serve import serve
from mollm.cli.train import train
from mollm.cli.tune import tune
from mollm.errors import MollmError, RunError, UserError

INTERRUPTED = 130
USAGE_ERROR: Any = typer.BadParameter.__base__
"""click's `UsageError`; typer may carry a copy of click of its own, and this is the class in either case."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (ask, chat, route, check, show, tune, serve, mcp):
    app.command()(command)
app.add_typer(train)
app.add_typer(routers)
app.add_typer(evaluate)
app.add_typer(feedback)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from mollm import __version__

        typer.echo(f"mollm {__version__}")
        raise typer.Exit


@app.callback()
def mollm(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Mixtures of LLMs: each question goes to the mixture that suits it, and several LLMs answer it together."""


def main() -> NoReturn:
    """Run the command and exit with its code: 0 done, 1 a run failed, 2 the user's mistake, 130 interrupted."""
    _mend_streams()
    # Commands say themselves what failed, in their own places; `serve` has a log.
    logging.getLogger("mollm").addHandler(logging.NullHandler())
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
        message = io.StringIO()
        error.show(message)
        say(message.getvalue().rstrip("\n"))
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
        for line in str(error).splitlines() or [type(error).__name__]:
            say(f"mollm: {line}")
        return error.exit_code


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # said already, or nobody is left to hear it
            stream.flush()
    # llama.cpp's server takes a second to be torn down, and nothing of it is worth waiting for.
    os._exit(code)
