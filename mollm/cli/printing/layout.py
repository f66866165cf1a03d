"""Rows, columns and amounts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.types import Failure, Usage

NAME_COLUMNS = 20
"""A longer name stands on a line of its own."""


def console(*, stderr: bool = False) -> Console:
    """Return a console for one of the standard streams."""
    # rich drops colors under NO_COLOR but keeps bold and dim; here it means no escape sequences in lines of text.
    system: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(stderr=stderr, highlight=False, emoji=False, color_system=system)  # `a:cat:b` is a name


def print_rows(rows: Sequence[tuple[str, Text]], *, stderr: bool = True) -> None:
    """Print names side by side with what there is to say about them, to standard error or output."""
    screen = console(stderr=stderr)
    indent = min(NAME_COLUMNS, max(cell_len(name) for name, _ in rows)) + 2
    for name, text in rows:
        start = Text(printable(name), style="bold")
        if start.cell_len + 2 > indent:
            screen.print(start)
            start = Text()
        for line in text.wrap(screen, max(1, screen.width - indent), overflow="fold"):
            line.rstrip()
            screen.print(Text.assemble(start, " " * (indent - start.cell_len), line))
            start = Text()


def clipped(text: Text) -> Text:
    """Keep a text on one line, however narrow the terminal is."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def why(error: Failure) -> str:
    """Write why a call failed."""
    status = f" {error.status}" if error.status else ""
    return printable(error.message if error.kind == "cancelled" else f"{error.kind}{status}: {error.message}")


def took(seconds: float, usage: Usage, cost_usd: float | None) -> str:
    """Write what a call took, or several together."""
    return f"{seconds:.1f} s, {spent(usage, cost_usd)}"


def spent(usage: Usage, cost_usd: float | None) -> str:
    """Write what a call took of tokens and money."""
    cost = f", {cost_usd:.6f} USD" if cost_usd is not None else ""
    about = "about " if usage.estimated else ""
    return f"{about}{usage.total_tokens:,} tokens{cost}"
