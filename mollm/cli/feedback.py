"""`mollm feedback`: what people say of answers that are kept."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from mollm.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer evaluates annotations
from mollm.errors import UnknownAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mollm.feedback.base import Entry, Store

LAST = "last"
"""Stands for the id of the newest answer."""
SHOWN = 20
"""Answers of a list."""


class _Group(TyperGroup):
    """Takes for `rate` what is none of its commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["rate", *args]
        return super().parse_args(ctx, args)


feedback = typer.Typer(name="feedback", cls=_Group, no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(help="Of the answer; `last`: the newest.", show_default=False)]


@feedback.callback()
def _group() -> None:
    """Rate answers that are kept: `mollm feedback ID SCORE`. `mollm.yaml` says whether they are: `feedback.kind`."""


# A score below 0 looks like an option.
@feedback.command(context_settings={"ignore_unknown_options": True})
def rate(
    id: IdArgument,  # noqa: A002 - an answer has an id
    score: Annotated[float, typer.Argument(help="-1 (worst) to 1 (best).", show_default=False)],
    better: Annotated[str | None, typer.Option("--better", help="A better answer.", show_default=False)] = None,
    note: Annotated[str | None, typer.Option("--note", help="What else is to be said.", show_default=False)] = None,
    config: ConfigOption = None,
) -> None:
    """Rate an answer; the word `rate` may be left out. A rating that it has is replaced."""
    from mollm.cli.printing.output import say
    from mollm.feedback.base import rating_of

    rating = rating_of(score, better, note)
    with _opened(config) as store:
        found = _named(store, id)
        store.rate(found, rating).result()
    say(f"{found}: rated {rating.score:g}")


@feedback.command()
def delete(id: IdArgument, config: ConfigOption = None) -> None:  # noqa: A002 - an answer has an id
    """Delete an answer that is kept, with its question and its rating."""
    from mollm.cli.printing.output import say

    with _opened(config) as store:
        found = _named(store, id)
        store.delete(found).result()
    say(f"{found}: deleted")


@feedback.command(name="list")
def list_answers(
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="How many.")] = SHOWN,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the latest answers that are kept, the newest first."""
    from mollm.cli.printing.feedback import plain, print_entries
    from mollm.cli.printing.output import print_json

    with _opened(config) as store:
        entries = store.newest(most).result()
    print_json([plain(entry) for entry in entries]) if json else print_entries(entries)


@feedback.command()
def export(
    rated: Annotated[bool, typer.Option("--rated", help="Only those that are rated.")] = False,
    config: ConfigOption = None,
) -> None:
    """Print every answer that is kept as a line of JSON, the oldest first."""
    from mollm.cli.printing.feedback import print_lines

    with _opened(config) as store:
        print_lines(store.entries(are_rated=rated))


@contextmanager
def _opened(path: Path | None) -> Iterator[Store]:
    from mollm.config.load import load_config
    from mollm.feedback.stores import opened

    store = opened(load_config(path))
    try:
        yield store
    finally:
        store.close()


def _named(store: Store, id: str) -> str:  # noqa: A002 - an answer has an id
    """Return the id that is meant."""
    if id != LAST:
        return id
    newest: list[Entry] = store.newest().result()
    if not newest:
        raise UnknownAnswer("no answer is kept yet")
    return newest[0].id
