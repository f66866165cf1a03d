"""Answers kept in an SQLite file. A thread writes and reads it, so that nobody who asks waits for a disk.

What is kept waits in memory for a moment: a process that is killed loses that. Processes that share a file see what
the others wrote.
"""

from __future__ import annotations

import atexit
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from mollm.errors import FeedbackError, MollmError
from mollm.feedback import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mollm.feedback.base import Entry, Rating
    from mollm.types import Answer

log = logging.getLogger("mollm.feedback")

GATHER_SECONDS = 0.02
"""For which answers gather: a thread that is woken for each of them takes its time from the event loop."""
PAUSE_AFTER_FAILURE = 5.0
"""Seconds until it is tried again to write what waits, unless somebody asks for something before."""
PATIENCE = 2.0
"""Seconds that another process may hold the file."""
LAST_SECONDS = 5.0
"""What everything that is left may take when the store is closed."""
MOST_HELD = 32 * 1024 * 1024
"""Characters, about, of the answers that wait to be written; one that would be more is lost."""
MOST_JOBS = 1000
"""Ratings and readings that wait."""
BESIDE_TEXT = 2000
"""Characters that an answer takes beside its texts, about."""
DAY, HOUR = 86_400.0, 3600.0

T = TypeVar("T")


@dataclass(slots=True)
class _Kept:
    """An answer that waits."""

    answer: Answer
    question: str
    key: str
    time: float
    size: int


@dataclass(slots=True)
class _Job(Generic[T]):
    """What somebody waits for."""

    work: Callable[[sqlite3.Connection], T]
    future: Future[T] = field(default_factory=Future)

    def do(self, file: sqlite3.Connection) -> None:
        """Do it; raises what says that the file cannot be used."""
        try:
            self.future.set_result(self.work(file))
        except MollmError as error:
            self.future.set_exception(error)


class SqliteStore:
    """A store in an SQLite file, which is opened by the first answer that is kept, or the first reading.

    Attributes:
        path: Of the file.
        problem: Why it could not be used the last time; empty if it could.
    """

    def __init__(
        self,
        path: Path,
        *,
        keeps_proposals: bool = False,
        days: float = 90,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open nothing yet.

        Args:
            path: Of the file, whose folder must be there.
            keeps_proposals: Keep the proposals of each answer as well.
            days: After which an answer is deleted.
            patience: Seconds that another process may hold the file.
            clock: Returns Unix seconds.
        """
        self.path, self.problem = path, ""
        self._keeps_proposals, self._days, self._patience, self._clock = keeps_proposals, days, patience, clock
        self._changing = threading.Lock()
        self._awake = threading.Event()
        self._answers: deque[_Kept] = deque()
        self._jobs: deque[_Job[object]] = deque()
        self._held = self._lost = 0
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._next_expiry = 0.0
        self._opened_as: os.stat_result | None = None

    def keep(self, answer: Answer, question: str, key: str) -> None:
        size = BESIDE_TEXT + len(question) + len(answer.text)
        if self._keeps_proposals:
            size += sum(len(proposal.text) for proposal in answer.proposals)
        with self._changing:
            if self._held + size > MOST_HELD:
                self._lost += 1
                return
            self._held += size
            self._answers.append(_Kept(answer, question, key, self._clock(), size))
            with suppress(RuntimeError):  # there is no thread to be had; the next answer finds one, or nobody does
                self._start()
        if not self.problem:
            self._awake.set()

    def rate(self, id: str, rating: Rating, key: str | None = None) -> Future[None]:
        return self._ask(lambda file: table.rate(file, id, rating, key, self._clock(), self._since))

    def delete(self, id: str, key: str | None = None) -> Future[None]:
        return self._ask(lambda file: table.delete(file, id, key, self._since))

    def newest(self, most: int = 1) -> Future[list[Entry]]:
        return self._ask(lambda file: table.newest(file, most, self._since))

    def entries(self, *, are_rated: bool = False) -> Iterator[Entry]:
        by, after = "rated" if are_rated else "time", (float("-inf"), "")
        while found := self._page(by, after).result():
            yield from found
            last = found[-1]
            after = (last.rated if are_rated and last.rated is not None else last.time, last.id)

    def check(self) -> Future[None]:
        return self._ask(lambda _: None)

    def close(self) -> None:
        thread = self._thread
        if thread is None:
            return
        self._is_closing = True
        self._awake.set()
        thread.join(LAST_SECONDS)
        if thread.is_alive():
            log.error("%s: nobody waits any longer until the last answers are kept", self.path)

    @property
    def _since(self) -> float:
        """When the oldest answers were given that still count."""
        return self._clock() - self._days * DAY

    def _page(self, by: str, after: tuple[float, str]) -> Future[list[Entry]]:
        return self._ask(lambda file: table.page(file, by, after, self._since))

    def _ask(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        job = _Job(work)
        with self._changing:
            if len(self._jobs) >= MOST_JOBS:
                job.future.set_exception(FeedbackError(f"{self.path}: {MOST_JOBS} others wait for it"))
                return job.future
            self._jobs.append(job)  # type: ignore[arg-type] # nobody but the job looks at what it finds
            try:
                self._start()
            except RuntimeError as error:
                self._jobs.pop()
                job.future.set_exception(FeedbackError(f"{self.path}: {error}"))
        self._awake.set()
        return job.future

    def _start(self) -> None:
        # Also where the thread has ended, or is in the process from which this one was forked.
        if self._thread is None or not self._thread.is_alive():
            self._is_closing = False
            self._thread = threading.Thread(target=self._run, name="mollm-feedback", daemon=True)
            self._thread.start()
            atexit.unregister(self.close)
            atexit.register(self.close)  # of a script that closes nothing

    def _run(self) -> None:
        file: sqlite3.Connection | None = None
        while not self._is_over():
            self._awake.wait(PAUSE_AFTER_FAILURE if self.problem else HOUR)
            if not self._is_closing:
                time.sleep(GATHER_SECONDS)
            self._awake.clear()
            file = self._turn(file)
        _close(file)

    def _is_over(self) -> bool:
        """Say whether the store is closed and nothing is left to be done, or can be."""
        with self._changing:
            if not self._is_closing or self._jobs or (self._answers and not self.problem):
                return False
            if lost := len(self._answers) + self._lost:
                log.error("%s: the last %d answers are not kept", self.path, lost)
            self._answers.clear()
            self._held = self._lost = 0
            self._thread = None
            atexit.unregister(self.close)
            return True

    def _turn(self, file: sqlite3.Connection | None) -> sqlite3.Connection | None:
        """Write what waits, and do what somebody waits for; return the file, None where it is closed."""
        with self._changing:
            taken, self._jobs = self._jobs, deque()
        jobs = deque(job for job in taken if job.future.set_running_or_notify_cancel())
        try:
            if file is not None and self._has_moved():
                _close(file)
                file = None
            file = file or self._opened()
            self._write(file)
            if self.problem or self._lost:
                self._recover()
            while jobs:
                jobs[0].do(file)
                jobs.popleft()
            self._expire(file)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next answer finds the thread alive
            self._fail(error)
            for job in jobs:
                job.future.set_exception(FeedbackError(f"{self.path} cannot be used: {_told(error)}"))
            _close(file)
            return None
        return file

    def _opened(self) -> sqlite3.Connection:
        self._next_expiry = 0.0
        file = table.connected(self.path, self._patience)
        self._opened_as = self.path.stat()
        return file

    def _write(self, file: sqlite3.Connection) -> None:
        with self._changing:
            answers = list(self._answers)
        if not answers:
            return
        table.write(file, filter(None, map(self._row, answers)))
        with self._changing:
            for kept in answers:
                self._answers.popleft()
                self._held -= kept.size

    def _row(self, kept: _Kept) -> table.Row | None:
        try:
            whole = self._keeps_proposals
            return table.row_of(kept.answer, kept.question, kept.key, kept.time, keeps_proposals=whole)
        except Exception as error:  # noqa: BLE001 - an answer with something odd in it must not keep back the others
            log.warning("an answer is not kept: %s while it was laid out", type(error).__name__)
            return None

    def _expire(self, file: sqlite3.Connection) -> None:
        now = time.monotonic()
        if now >= self._next_expiry:
            table.expire(file, self._since)
            self._next_expiry = now + HOUR

    def _has_moved(self) -> bool:
        """Say whether somebody has deleted or replaced the file, so that what is written would be nowhere."""
        try:
            return self._opened_as is None or not os.path.samestat(self.path.stat(), self._opened_as)
        except OSError:
            return True

    def _fail(self, error: Exception) -> None:
        if not self.problem:
            log.warning("%s: answers are not kept, which is tried again: %s", self.path, _told(error))
        self.problem = _told(error)

    def _recover(self) -> None:
        with self._changing:
            lost, self._lost = self._lost, 0
        if lost:
            log.warning("%s: answers are kept again; %d were lost, since too many waited", self.path, lost)
        else:
            log.info("%s: answers are kept again", self.path)
        self.problem = ""


def _told(error: Exception) -> str:
    """What is wrong, and what can be done about it where that is plain."""
    if isinstance(error, FileNotFoundError):
        return "its folder is not there; make it, or name another file as `feedback.path`"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _close(file: sqlite3.Connection | None) -> None:
    if file is not None:
        with suppress(sqlite3.Error):
            file.close()
