"""The table of answers in an SQLite file: opened, written, read."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mollm.errors import FeedbackError, UnknownAnswer
from mollm.feedback.base import MOST_TEXT, Entry, Rating
from mollm.plain import to_plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mollm.types import Answer

APPLICATION, FORMAT = 0x6D6F6C66, 1
"""What tells a file of ours from any other database, and its format from later ones."""
PAGE = 200
"""Rows that are read at once."""
LARGEST = 2**62
"""Of whole numbers; a provider may have made up more tokens."""
LATEST = 253_402_300_800.0
"""Of times, in Unix seconds: the end of the year 9999, after which there are no dates."""
COLUMNS = (
    *("id", "time", "key", "question", "mixture", "route", "proposals", "text"),
    *("calls", "tokens", "cost_usd", "seconds", "score", "better", "note", "rated"),
)
TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    id TEXT PRIMARY KEY, time REAL NOT NULL, key TEXT NOT NULL, question TEXT NOT NULL, mixture TEXT NOT NULL,
    route TEXT NOT NULL, proposals TEXT, text TEXT NOT NULL,
    calls INTEGER NOT NULL, tokens INTEGER NOT NULL, cost_usd REAL, seconds REAL,
    score REAL, better TEXT, note TEXT, rated REAL
)
"""
INDICES = (
    "CREATE INDEX IF NOT EXISTS answers_by_time ON answers (time, id)",
    "CREATE INDEX IF NOT EXISTS answers_by_rating ON answers (rated, id) WHERE rated IS NOT NULL",
)
KEEP = f"INSERT OR REPLACE INTO answers ({', '.join(COLUMNS[:12])}) VALUES ({', '.join('?' * 12)})"  # noqa: S608 - our own
WHOSE = "WHERE id = ? AND time >= ? AND (? IS NULL OR key = ?)"
RATE = f"UPDATE answers SET score = ?, better = ?, note = ?, rated = ? {WHOSE}"  # noqa: S608 - our own words
DELETE = f"DELETE FROM answers {WHOSE}"  # noqa: S608 - our own words
READ = f"SELECT {', '.join(COLUMNS)} FROM answers"  # noqa: S608 - our own words

Row = tuple[Any, ...]


def connected(path: Path, patience: float) -> sqlite3.Connection:
    """Open the file, or make it for its owner alone; another process may hold it for `patience` seconds.

    Raises:
        OSError: It cannot be made.
        sqlite3.Error: It is damaged, locked, read-only, a folder, of a later format, or of something else.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    file = sqlite3.connect(path, timeout=patience, isolation_level=None)
    try:
        _prepare(file)
    except BaseException:
        with suppress(sqlite3.Error):
            file.close()
        raise
    return file


def _prepare(file: sqlite3.Connection) -> None:
    # A log beside the file would be faster, but hold what was deleted, and belong to no file once this one is deleted.
    if _pragma(file, "journal_mode") == "wal":
        file.execute("PRAGMA journal_mode = DELETE")
    file.execute("PRAGMA synchronous = NORMAL")
    # What is deleted is not left in the file for whoever opens it with something else.
    file.execute("PRAGMA secure_delete = ON")
    file.execute("BEGIN IMMEDIATE")  # two processes may make it at once; a file that is read-only shows now
    try:
        application, version = _pragma(file, "application_id"), _pragma(file, "user_version")
        if application != APPLICATION and file.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise sqlite3.DatabaseError("it is a database of something else")
        if version > FORMAT:
            raise sqlite3.DatabaseError(f"its format {version} is that of a later version of mollm")
        file.execute(f"PRAGMA application_id = {APPLICATION}")
        file.execute(f"PRAGMA user_version = {FORMAT}")
        for statement in (TABLE, *INDICES):
            file.execute(statement)
    except BaseException:
        file.execute("ROLLBACK")
        raise
    file.execute("COMMIT")


def _pragma(file: sqlite3.Connection, name: str) -> Any:
    return file.execute(f"PRAGMA {name}").fetchone()[0]


def row_of(answer: Answer, question: str, key: str, time: float, *, keeps_proposals: bool) -> Row:
    """Lay out an answer as a row, long texts cut."""
    proposals = None
    if keeps_proposals:
        proposals = _json([{**to_plain(proposal), "text": _text(proposal.text)} for proposal in answer.proposals])
    route = _json(to_plain(answer.route))
    texts = (str(answer.id), time, key, _text(question), answer.mixture, route, proposals, _text(answer.text))
    numbers = (answer.calls, min(answer.usage.total_tokens, LARGEST), _finite(answer.cost_usd), _finite(answer.seconds))
    return (*map(_storable, texts), *numbers)


def write(file: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write answers, all or none. Raises `sqlite3.Error`."""
    file.execute("BEGIN IMMEDIATE")
    try:
        file.executemany(KEEP, rows)
    except BaseException:
        file.execute("ROLLBACK")
        raise
    file.execute("COMMIT")


def rate(file: sqlite3.Connection, id: str, rating: Rating, key: str | None, now: float, since: float) -> None:
    """Rate an answer that is not older than `since`. Raises `UnknownAnswer` or `sqlite3.Error`."""
    values = (rating.score, _storable(rating.better), _storable(rating.note), now)
    if not file.execute(RATE, (*values, *_whose(id, key, since))).rowcount:
        raise unknown(id)


def delete(file: sqlite3.Connection, id: str, key: str | None, since: float) -> None:
    """Delete an answer and what was said of it. Raises `UnknownAnswer` or `sqlite3.Error`."""
    if not file.execute(DELETE, _whose(id, key, since)).rowcount:
        raise unknown(id)


def expire(file: sqlite3.Connection, before: float) -> None:
    """Delete what is older than `before`. Raises `sqlite3.Error`."""
    file.execute("DELETE FROM answers WHERE time < ?", (before,))


def newest(file: sqlite3.Connection, most: int, since: float) -> list[Entry]:
    """Read the latest answers, the newest first. Raises `FeedbackError` or `sqlite3.Error`."""
    found = file.execute(f"{READ} WHERE time >= ? ORDER BY time DESC, rowid DESC LIMIT ?", (since, most))
    return [_entry(row) for row in found]


def page(file: sqlite3.Connection, by: str, after: tuple[float, str], since: float) -> list[Entry]:
    """Read the next answers in the order of `by`, `time` or `rated`. Raises `FeedbackError` or `sqlite3.Error`."""
    order = f"WHERE time >= ? AND ({by}, id) > (?, ?) AND {by} IS NOT NULL ORDER BY {by}, id LIMIT {PAGE}"
    return [_entry(row) for row in file.execute(f"{READ} {order}", (since, *after))]


def unknown(id: str) -> UnknownAnswer:
    """Say that no answer is kept under an id."""
    return UnknownAnswer(f"no answer {id!a:.80} is kept: there was none, it was deleted, or it is too old")


def _whose(id: str, key: str | None, since: float) -> Row:
    return _storable(str(id)), since, _storable(key), _storable(key)


def _entry(row: Row) -> Entry:
    """Read a row, which anything else that opens the file may have written.

    Raises:
        FeedbackError: It is none of ours.
    """
    try:
        entry = _read(dict(zip(COLUMNS, row, strict=True)))
        if _is_whole(entry):
            return entry
    except (ValueError, TypeError, RecursionError):  # no JSON
        pass
    raise FeedbackError(
        f"the answer {row[0]!a:.80} was changed by something else than mollm, and cannot be read; "
        "`mollm feedback delete ID` deletes it"
    )


def _read(found: dict[str, Any]) -> Entry:
    score, better, note = found.pop("score"), found.pop("better"), found.pop("note")
    rating = None if score is None else Rating(score, better, note)
    proposals = found.pop("proposals")
    kept = None if proposals is None else tuple(json.loads(proposals))
    return Entry(**{**found, "route": json.loads(found["route"]), "proposals": kept, "rating": rating})


def _is_whole(entry: Entry) -> bool:
    """Say whether everything is of the type that it has, and in its range."""
    rating = entry.rating or Rating(0.0)
    texts = (entry.id, entry.key, entry.question, entry.mixture, entry.text)
    perhaps = (rating.better, rating.note, entry.route.get("arm")) if isinstance(entry.route, dict) else (0,)
    times = (entry.time, 0.0 if entry.rated is None else entry.rated)
    numbers = (entry.calls, entry.tokens, entry.cost_usd or 0.0, entry.seconds or 0.0)
    return (
        all(isinstance(text, str) for text in texts)
        and all(text is None or isinstance(text, str) for text in perhaps)
        and isinstance(entry.route.get("probabilities") or {}, dict)
        and all(isinstance(proposal, dict) for proposal in entry.proposals or ())
        and all(_is_number(time) and 0.0 <= time < LATEST for time in times)
        and all(_is_number(number) and math.isfinite(number) for number in numbers)
        and _is_number(rating.score)
        and -1.0 <= rating.score <= 1.0
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _text(text: str) -> str:
    return text[:MOST_TEXT]


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _storable(value: Any) -> Any:
    # Half of a character that a provider cut in two is no text for a file.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
