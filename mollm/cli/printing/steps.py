"""Work that takes a while, step by step with times."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.text import Text

from mollm.cli.printing.layout import clipped, console
from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mollm.training.course import Tell

SELDOM = 30.0
"""Seconds between two lines where there is no terminal: a log tells whether hours of work get on, not every batch."""


@contextmanager
def step(what: str, clock: Callable[[], float] = time.monotonic) -> Iterator[Tell]:
    """Show on standard error that something is done while the block runs, and how far it is.

    A terminal shows what is done, below it how far it is, and at the end how long it took. A file or a pipe gets a
    line every half a minute of a block that tells how far it is, and nothing of one that does not.
    """
    screen = console(stderr=True)
    start = told = clock()

    def tell_seldom(line: str) -> None:
        nonlocal told
        if clock() - told >= SELDOM:
            told = clock()
            screen.print(Text(printable(f"{what}: {line}")), soft_wrap=True)

    if not screen.is_terminal:
        yield tell_seldom
        return
    with screen.status(clipped(Text(printable(what)))) as status:
        yield lambda line: status.update(clipped(Text(f"{printable(what)}\n  {printable(line)}")))
    took = f"{clock() - start:6.1f} s  "
    screen.print(clipped(Text.assemble((took, "dim"), printable(what))))
