"""What was answered, kept line by line while an evaluation runs, so that one that was killed goes on where it was.

The first line says which questions and which mixtures the journal is of, as digests. Each further line holds one
record. A line is written at once and as a whole; what a kill leaves of one is dropped at the next start.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, Self

from mollm.config.files import is_file
from mollm.errors import DataError
from mollm.evaluation.mixtures.records import Record
from mollm.plain import proposal_from_plain
from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = 1
BEGINNING = b'{"mollm": "journal", '
ANEW = "name another file with --journal, or delete this one to ask everything anew"


class Key(NamedTuple):
    """What a record is of."""

    what: Literal["mixture", "member", "itself", "route"]
    of: str
    """The mixture; of a member, what tells its requests from those of others."""
    id: str
    """Of the question."""


class Journal:
    """Records by what they are of, in a file or in memory alone.

    Attributes:
        records: All that there are, those that failed included.
        is_torn: The last line was cut off, and dropped.
        failed: Records of earlier starts that failed, and are to be asked for again.
    """

    def __init__(self) -> None:
        """Nothing is kept in a file."""
        self.records: dict[Key, Record] = {}
        self.is_torn, self.failed = False, 0
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._is_new: set[Key] = set()

    @classmethod
    def open(cls, path: Path, questions: str, mixtures: str) -> Self:
        """Go on with the journal in a file, or begin one.

        Args:
            path: The file.
            questions: Digest of what is asked.
            mixtures: Digest of who is asked, and how.

        Raises:
            DataError: It cannot be read or written, is something else, is of other questions or mixtures, or another
                process writes to it, which would ask everything a second time.
        """
        found = cls()
        found._path = path
        head = {"mollm": "journal", "format": FORMAT, "questions": questions, "mixtures": mixtures}
        try:
            if path.exists() and not is_file(path):
                raise DataError(f"{path}: is not a file")
            found._file = path.open("ab+", buffering=0)
            if not _is_locked(found._file):
                raise DataError(f"{path}: another evaluation writes to it; wait for it, or name another with --journal")
            found._read(head)
        except OSError as error:
            found.close()
            raise DataError(f"{path}: cannot be used as a journal: {error.strerror}") from error
        except DataError:
            found.close()
            raise
        found.failed = sum(record.error is not None for record in found.records.values())
        return found

    def done(self, key: Key) -> Record | None:
        """What was answered; None if it was not, or failed at an earlier start."""
        record = self.records.get(key)
        return record if record and (record.error is None or key in self._is_new) else None

    def add(self, key: Key, record: Record) -> None:
        """Keep a record. Raises `DataError` if it cannot be written."""
        self.records[key] = record
        self._is_new.add(key)
        self._write({"what": key.what, "of": key.of, "record": asdict(record)})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, value: dict[str, Any]) -> None:
        if self._file is None:
            return
        line = json.dumps(value).encode() + b"\n"
        try:
            if self._file.write(line) < len(line):
                raise OSError(28, "no space is left")
        except OSError as error:
            raise DataError(f"{self._path}: cannot be written: {error.strerror}; what stands in it is whole") from error

    def _read(self, head: dict[str, Any]) -> None:
        assert self._file is not None  # noqa: S101 - opened by whoever calls this
        self._file.seek(0)
        good = 0
        for number, line in enumerate(_lines(self._file), 1):
            if number == 1 and not BEGINNING.startswith(line[: len(BEGINNING)]):
                raise DataError(f"{self._path}: is no journal of an evaluation; {ANEW.split(',')[0]}")
            if not line.endswith(b"\n"):
                self.is_torn = True
                self._file.truncate(good)
                break
            good += len(line)
            if number == 1:
                self._check(json.loads(line), head)
            else:
                self._take(line, number)
        if good == 0:
            self._write(head)

    def _check(self, found: dict[str, Any], head: dict[str, Any]) -> None:
        differs = [key for key in ("format", "questions", "mixtures") if found.get(key) != head[key]]
        if differs:
            other = {"format": "another version of mollm", "questions": "other questions"}
            what = other.get(differs[0], "another configuration: its LLMs, prompts or mixtures are not these")
            raise DataError(f"{self._path}: is the journal of {what}; {ANEW}")

    def _take(self, line: bytes, number: int) -> None:
        try:
            found = json.loads(line)
            record = _record(found["record"])
            self.records[Key(found["what"], found["of"], record.id)] = record
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{self._path}:{number}: is no record of an evaluation; {ANEW}") from None


def has_records(path: Path) -> bool:
    """Whether a file is a journal with anything in it."""
    try:
        with path.open("rb") as file:
            return file.readline().startswith(BEGINNING) and bool(file.readline())
    except OSError:
        return False


def _is_locked(file: BinaryIO) -> bool:
    """Whether nobody else has the file, as far as the system can tell; it is given back when it is closed."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines of an unbuffered file, at the speed of a buffered one."""
    rest = b""
    while piece := file.read(1 << 20):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


def _record(plain: dict[str, Any]) -> Record:
    return Record(
        **{
            **plain,
            "usage": Usage(**plain["usage"]),
            "degraded": tuple(plain["degraded"]),
            "proposals": tuple(map(proposal_from_plain, plain["proposals"])),
        }
    )
