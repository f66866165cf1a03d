"""The connections of clients: no more than there are descriptors for, and the one that is idle longest makes room."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

from mollm.calling.shortage import SAID_AGAIN
from mollm.errors import Overloaded
from mollm.server.failures import problem_of, refusal_for

if TYPE_CHECKING:
    import asyncio

    Connection = asyncio.Transport

log = logging.getLogger("mollm.server")

IN_USE_SHARE = 0.75
"""Of the connections that clients may have; beyond it none is kept open for a further HTTP request."""
RETRY_SECONDS = 5.0
"""After which a client may try again that found no connection; nobody knows when one becomes free."""


class Clients:
    """Counts the connections of clients.

    Attributes:
        most: How many they may have.
        count: How many they have.
    """

    def __init__(self) -> None:
        self.most = sys.maxsize
        self.count = 0
        self._refused, self._said = 0, float("-inf")
        self._idle: dict[Connection, None] = {}  # without an HTTP request, the longest first

    @property
    def are_few(self) -> bool:
        """A connection may stay open for a further HTTP request."""
        return self.count <= self.most * IN_USE_SHARE

    def came(self, connection: Connection) -> None:
        """One is new. Where it is one too many, the one that is idle longest is closed; this one, if no other is."""
        self.count += 1
        self._idle[connection] = None
        if self.count > self.most:
            longest = next(iter(self._idle))
            if longest is connection:
                error = Overloaded("too many connections", retry_after_seconds=RETRY_SECONDS)
                connection.write(refusal_for(problem_of(error)).laid_out((), close=True))
                self._note_refusal()
            del self._idle[longest]
            longest.close()

    def _note_refusal(self) -> None:
        self._refused += 1
        if (now := time.monotonic()) >= self._said + SAID_AGAIN:
            text = "a connection was refused: clients have %d, and there are file descriptors for no more"
            since = f"; {self._refused} since the last such line" if self._refused > 1 else ""
            log.warning("%s%s", text % self.most, since)
            self._refused, self._said = 0, now

    def asked(self, connection: Connection) -> None:
        """It has brought an HTTP request."""
        self._idle.pop(connection, None)

    def answered(self, connection: Connection) -> None:
        """It waits for the next HTTP request."""
        if not connection.is_closing():
            self._idle[connection] = None

    def left(self, connection: Connection) -> None:
        """It is closed."""
        self.count -= 1
        self._idle.pop(connection, None)
