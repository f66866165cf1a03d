"""The audit log: a line of JSON for each HTTP request, written by a thread, so that nobody waits for a disk."""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mollm.errors import ConfigError
from mollm.server.wire import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger("mollm.server")

STANDARD_OUTPUT = "-"
MOST_WAITING = 10_000
"""Lines that wait to be written; one more is dropped."""
GATHER_SECONDS = 0.05
"""For which lines gather: a thread that is woken for each of them takes its time from the event loop."""
LAST_SECONDS = 2.0
"""What the lines that are left may take when the server stops."""
AT_ONCE = 500
"""Lines of one write."""


class Audit:
    """Writes lines to a file or to standard output, and drops what cannot be written.

    Attributes:
        target: The path of a file, or `standard output`.
    """

    def __init__(self, target: str, *, place: str, on_drop: Callable[[int], None]) -> None:
        """Open `target`, which the configuration names at `place`.

        Args:
            target: The path of a file, or `-`.
            place: For the message of an error.
            on_drop: Is told, from any thread, how many lines nobody will read.

        Raises:
            ConfigError: It cannot be written.
        """
        self.target = "standard output" if target == STANDARD_OUTPUT else target
        self._on_drop = on_drop
        self._waiting: deque[tuple[float, Mapping[str, Any]]] = deque()
        self._wake, self._is_closing, self._is_failing = threading.Event(), False, False
        self._sink = _Sink(target)
        try:
            self._sink.open()
        except OSError as error:
            raise ConfigError(f"{place}: {self.target} cannot be written: {error.strerror}") from error
        self._thread = threading.Thread(target=self._run, name="mollm-audit", daemon=True)
        self._thread.start()

    def write(self, entry: Mapping[str, Any], *, most: int = MOST_WAITING) -> None:
        """Write a line soon, with the time and what is in `entry`; drop it where `most` wait already."""
        if len(self._waiting) >= most:
            self._on_drop(1)
            return
        self._waiting.append((time.time(), entry))
        if not self._wake.is_set():
            self._wake.set()

    def refused(self, id: str, key: str, path: str, status: int, outcome: str) -> None:  # noqa: A002 - the field's name
        """Write a line of a request that was not let in. These leave room for those that are.

        Args:
            id: Of the HTTP request.
            key: The name of its key; empty where none was needed, or known.
            path: Which it asked for.
            status: Of the response.
            outcome: Why it was refused, in a word.
        """
        entry = {"id": id, "key": key or None, "path": path, "status": status, "outcome": outcome}
        self.write(entry, most=MOST_WAITING // 2)

    def close(self) -> None:
        """Write what is left, for no longer than `LAST_SECONDS`."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(LAST_SECONDS)
        if left := len(self._waiting):
            self._on_drop(left)
            log.error("audit: the server did not wait until the last %d lines were in %s", left, self.target)

    def _run(self) -> None:
        while not self._is_closing:
            self._wake.wait()
            if not self._is_closing:
                time.sleep(GATHER_SECONDS)
            self._wake.clear()
            while self._waiting:
                self._write_some()
        self._sink.close()

    def _write_some(self) -> None:
        lines = [_line(*self._waiting.popleft()) for _ in range(min(AT_ONCE, len(self._waiting)))]
        try:
            self._sink.write(b"".join(lines))
        except OSError as error:
            self._on_drop(len(lines) - self._sink.whole)
            if not self._is_failing:
                log.error("audit: lines are lost, since %s cannot be written: %s", self.target, error.strerror)
            self._is_failing = True
        else:
            if self._is_failing:
                log.warning("audit: %s is written again", self.target)
            self._is_failing = False


def _line(moment: float, entry: Mapping[str, Any]) -> bytes:
    when = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return to_json({"time": when, **entry}) + b"\n"


def _ends_within_a_line(path: str, descriptor: int) -> bool:
    found = os.fstat(descriptor)
    if not found.st_size or not stat.S_ISREG(found.st_mode):
        return False
    try:
        with Path(path).open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # it may be written and not read
        return False


class _Sink:
    """Where the lines go. A file that was moved away or deleted, as it is when logs are rotated, is begun anew.

    Attributes:
        whole: Lines of the last write that are there from end to end.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self.whole = 0
        self._descriptor: int | None = None
        self._is_torn = False

    def open(self) -> int:
        if self._target == STANDARD_OUTPUT:
            if sys.__stdout__ is None:  # it was closed at the start, and what has its number now is something else
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._descriptor = os.dup(1)
        else:
            # Without waiting, since a pipe that nobody reads would never be open; written is with waiting.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
            self._descriptor = os.open(self._target, flags, 0o600)
            os.set_blocking(self._descriptor, True)
            self._is_torn = _ends_within_a_line(self._target, self._descriptor)
        return self._descriptor

    def write(self, data: bytes) -> None:
        self.whole = 0
        if self._descriptor is not None and self._has_moved(self._descriptor):
            self.close()
        descriptor = self.open() if self._descriptor is None else self._descriptor
        start = 0
        if self._is_torn:
            data, start = b"\n" + data, 1  # half a line that is there ends at least
        view, written = memoryview(data), 0
        try:
            while written < len(data):
                written += os.write(descriptor, view[written:])
                self._is_torn = data[written - 1] != ord("\n")
        except OSError:
            self.close()
            raise
        finally:
            self.whole = data.count(b"\n", start, written)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _has_moved(self, descriptor: int) -> bool:
        if self._target == STANDARD_OUTPUT:
            return False
        try:
            return not os.path.samestat(Path(self._target).stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return True
