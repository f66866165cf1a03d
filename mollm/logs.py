"""The log of a process on standard error: nobody waits for whoever reads it."""

from __future__ import annotations

import logging
import os
import select
import sys
import time
from typing import TYPE_CHECKING, TextIO

from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_WRITE = getattr(select, "PIPE_BUF", 512)
"""Bytes that a pipe takes at once if it says that it takes any."""


def log_to_standard_error() -> None:
    """Show what mollm says at INFO and what libraries warn of, a line each."""
    handler = Lines(sys.stderr)
    handler.setFormatter(_Layout("%(asctime)s %(levelname)s %(message)s"))
    # Libraries tell less: some of them write addresses, with what stands in them, at INFO.
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("mollm").setLevel(logging.INFO)
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # its warnings quote what was sent
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # it warns of every stray byte that reaches the port
    logging.getLogger("mcp").setLevel(logging.ERROR)  # it warns of every notification that is not as it should be
    # Nobody reads these of a record; looked up for each, they cost as much as its text.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class Lines(logging.StreamHandler[TextIO]):
    """Writes lines as long as they are taken, and drops them while they are not.

    A pipe whose reader has stopped holds 64 KiB, and whoever writes more waits for the reader: a server that wrote
    its log like that would answer nobody. What is kept for a slow reader is what the pipe holds. The next line that
    is taken says how many were not.

    Attributes:
        dropped: Lines since the last one that was taken.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.dropped = 0
        self._poll = _poll_of(stream)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or drop it."""
        if self._poll is None:
            super().emit(record)
            return
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler does it
            self.handleError(record)
            return
        if self.dropped:
            text = f"lines of the log that standard error did not take, and that are lost: {self.dropped}\n{text}"
        if self._write(f"{text}\n".encode(errors="backslashreplace")):
            self.dropped = 0
        else:
            self.dropped += 1

    def _write(self, line: bytes) -> bool:
        try:
            for part in _parts(line):
                if not self._takes_more():
                    return False
                os.write(self.stream.fileno(), part)
        except OSError:  # its reader has gone
            return False
        return True

    def _takes_more(self) -> bool:
        assert self._poll is not None  # noqa: S101 - without it nothing is asked
        return any(event & select.POLLOUT for _, event in self._poll.poll(0))


class _Layout(logging.Formatter):
    """Lays out a line for each answer, so the time, which is most of that, is laid out once a second."""

    _second, _shown = -1, ""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's
        second = int(record.created)
        if second != self._second:
            self._second, self._shown = second, time.strftime(self.default_time_format, time.localtime(second))
        return f"{self._shown},{int(record.msecs):03}"


def _parts(line: bytes) -> Iterator[bytes]:
    return (line[start : start + LONGEST_WRITE] for start in range(0, len(line), LONGEST_WRITE))


def _poll_of(stream: TextIO) -> select.poll | None:
    """Ask the file under `stream`; None where nobody can be asked: on Windows, and where there is no file."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
    except (AttributeError, OSError, ValueError):
        return None
    return poll
