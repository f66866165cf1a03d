"""What the keys of a server have used, kept in an SQLite file so that a restart forgets nothing.

What is added waits in memory for a thread of its own, which writes twice a second: a process that is killed loses
as much. Servers that share a file add up.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mollm.config.server import USAGE_FILE
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from mollm.config.config import Config
    from mollm.server.quotas import Used

log = logging.getLogger("mollm.server")

PAUSE = 0.5
"""Seconds between two writes."""
PAUSE_AFTER_FAILURE = 5.0
PATIENCE = 2.0
"""Seconds that another process may hold the file."""
DAYS_KEPT = 400

TABLE = """
CREATE TABLE IF NOT EXISTS usage (
    day TEXT NOT NULL, name TEXT NOT NULL, tokens INTEGER NOT NULL, cost_usd REAL NOT NULL, PRIMARY KEY (day, name)
)
"""
ADD = """
INSERT INTO usage (day, name, tokens, cost_usd) VALUES (?, ?, ?, ?)
ON CONFLICT (day, name) DO UPDATE SET tokens = tokens + excluded.tokens, cost_usd = cost_usd + excluded.cost_usd
"""


def ledger_of(config: Config) -> Ledger | None:
    """Open the file of a configuration; None where nothing has to be kept.

    Raises:
        ConfigError: It cannot be used.
    """
    server = config.server
    if server.usage is None and not any(key.limits.has_days for key in server.api_keys):
        return None
    path = Path(server.usage or USAGE_FILE).expanduser()
    if config.path is not None:
        path = config.path.parent / path
    try:
        return Ledger(path)
    except (sqlite3.Error, OSError) as error:
        where = config.place("server", "usage") if server.usage else config.place("server")
        raise ConfigError(f"{where}: the file {path}, for what keys use in a day, cannot be used: {error}") from None


def used_in(ledger: Ledger | None) -> Used:
    """Read what was used; a file that was good when it was opened, and no longer is, costs its sums alone."""
    try:
        return ledger.used() if ledger else {}
    except sqlite3.Error as error:
        log.error("what keys have used cannot be read, and counts as nothing: %s", error)
        return {}


class Ledger:
    """An SQLite file with the tokens and the money that each name has used on each day.

    Attributes:
        path: Of the file.
    """

    def __init__(self, path: Path, *, patience: float = PATIENCE) -> None:
        """Open the file, or make it; another process may hold it for `patience` seconds.

        Raises:
            sqlite3.Error: It is damaged, locked, read-only, a folder, or no SQLite file.
        """
        self.path = path
        self._file = _opened(path, patience)
        self._using = threading.Lock()
        self._changing = threading.Lock()
        self._waiting: Used = {}
        self._awake, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._is_failing = False

    def add(self, day: str, name: str, tokens: int, cost_usd: float) -> None:
        """Add to what `name` has used on `day`; it is written a little later."""
        with self._changing:
            before = self._waiting.get((day, name), (0, 0.0))
            self._waiting[day, name] = before[0] + tokens, before[1] + cost_usd
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._write_on, name="mollm-usage", daemon=True)
            self._thread.start()
        self._awake.set()

    def used(self) -> Used:
        """Read what was used; blocks while it is written and read.

        Raises:
            sqlite3.Error: The file cannot be read.
        """
        self.write()
        with self._using:
            rows = self._file.execute("SELECT day, name, tokens, cost_usd FROM usage").fetchall()
        return {(day, name): (tokens, cost_usd) for day, name, tokens, cost_usd in rows}

    def write(self) -> bool:
        """Write what waits, and block meanwhile; return whether that went well, else it goes on waiting."""
        with self._using:
            with self._changing:
                taken, self._waiting = self._waiting, {}
            if not taken:
                return True
            try:
                with self._file:
                    self._file.executemany(ADD, [(*key, *used) for key, used in taken.items()])
            except sqlite3.Error as error:
                with self._changing:
                    for key, (tokens, cost_usd) in self._waiting.items():
                        before = taken.get(key, (0, 0.0))
                        taken[key] = before[0] + tokens, before[1] + cost_usd
                    self._waiting = taken
                if not self._is_failing:
                    log.error("%s: what keys use is not written, and tried again: %s", self.path, error)
                self._is_failing = True
                return False
        if self._is_failing:
            log.info("%s: what keys use is written again", self.path)
        self._is_failing = False
        return True

    def close(self) -> None:
        """Write what still waits, and close the file; blocks meanwhile."""
        self._closing.set()
        self._awake.set()
        if self._thread is not None:
            self._thread.join()
        self.write()
        if self._waiting:
            log.error("%s lacks what keys used last: %s", self.path, _told(self._waiting))
        with self._using:
            self._file.close()

    def _write_on(self) -> None:
        while not self._closing.is_set():
            self._awake.wait()
            self._awake.clear()
            self._closing.wait(PAUSE if self.write() else PAUSE_AFTER_FAILURE)
            if self._is_failing:
                self._awake.set()


def _opened(path: Path, patience: float) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=patience, check_same_thread=False)
    try:
        (found,) = file.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(f"it is damaged: {found}")
        file.execute("PRAGMA journal_mode = WAL")
        # What is written outlives the process with this, and nearly always the machine.
        file.execute("PRAGMA synchronous = NORMAL")
        last = (datetime.now(UTC) - timedelta(days=DAYS_KEPT)).date().isoformat()
        with file:
            file.execute(TABLE)
            # Writes, too, so that a file that is read-only shows now.
            file.execute("DELETE FROM usage WHERE day < ?", (last,))
            file.execute("SELECT day, name, tokens, cost_usd FROM usage LIMIT 1").fetchone()
    except BaseException:
        with suppress(sqlite3.Error):
            file.close()
        raise
    return file


def _told(used: Used) -> str:
    return ", ".join(f"{name} on {day} {tokens} tokens, {usd:.6f} USD" for (day, name), (tokens, usd) in used.items())
