"""Work that takes a while, step by step with times, on a terminal; elsewhere nothing is shown."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.text import Text

from mollm.cli.printing.layout import clipped, console
from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def step(what: str) -> Iterator[None]:
    """Show on standard error that something is done while the block runs, and then how long it took."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    start = time.perf_counter()
    with screen.status(clipped(Text(printable(what)))):
        yield
    took = f"{time.perf_counter() - start:6.1f} s  "
    screen.print(clipped(Text.assemble((took, "dim"), printable(what))))
