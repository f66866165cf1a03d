"""A process that has no file descriptor left, while a block of a test runs."""

from __future__ import annotations

import asyncio
import os
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class Descriptors:
    """All that there are, held by nobody who needs them."""

    def __init__(self) -> None:
        self._held: list[int] = []

    def take(self) -> None:
        """Take what is left."""
        while True:
            try:
                self._held.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                return

    async def settle(self) -> None:
        """Take what others give back a moment later: connections that are being closed."""
        for _ in range(10):
            await asyncio.sleep(0.01)
            self.take()

    def give(self, count: int) -> None:
        """Give some back."""
        for _ in range(min(count, len(self._held))):
            os.close(self._held.pop())


@contextmanager
def no_descriptors() -> Generator[Descriptors, None, None]:
    """Lower the limit of this process and take all that is left; what is open stays open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = Descriptors()
    highest = os.open(os.devnull, os.O_RDONLY)
    os.close(highest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, highest + 24), hard))
    try:
        descriptors.take()
        yield descriptors
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        descriptors.give(1 << 20)
