"""A file of lines that is added to while an evaluation runs, and read when one goes on.

The first line says what the others are of. A line is written at once and as a whole; what a kill leaves of one is
dropped at the next start. One process at a time has the file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from mollm.config.files import is_file
from mollm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KINDS = {"journal": "an evaluation", "verdicts": "verdicts"}
ANEW = "name another file with --journal, or delete this one to ask everything anew"


class Lines:
    """An open file of lines.

    Attributes:
        is_torn: The last line was cut off, and dropped.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self.is_torn = False

    @classmethod
    def open(
        cls,
        path: Path,
        head: dict[str, Any],
        other: Callable[[str], str],
        take: Callable[[dict[str, Any]], None],
    ) -> Self:
        """Read a file, or begin it.

        Args:
            path: The file.
            head: The first line; `mollm` says what the file is.
            other: Says what the file is of where a key of the head differs.
            take: Takes what stands in each further line, in order.

        Raises:
            DataError: It cannot be read or written, is something else, is of something else, or another process writes
                to it, which would ask everything a second time.
        """
        file: BinaryIO | None = None
        try:
            if path.exists() and not is_file(path):
                raise DataError(f"{path}: is not a file")
            file = path.open("ab+", buffering=0)
            if not _is_locked(file):
                raise DataError(f"{path}: another evaluation writes to it; wait for it, or name another with --journal")
            found = cls(path, file)
            found._read(head, other, take)
        except OSError as error:
            if file is not None:
                file.close()
            raise DataError(f"{path}: cannot be used as a journal: {error.strerror}") from error
        except DataError:
            if file is not None:
                file.close()
            raise
        return found

    def write(self, value: dict[str, Any]) -> None:
        """Add a line. Raises `DataError` if it cannot be written."""
        line = json.dumps(value).encode() + b"\n"
        try:
            if self._file.write(line) < len(line):
                raise OSError(28, "no space is left")
        except OSError as error:
            raise DataError(f"{self._path}: cannot be written: {error.strerror}; what stands in it is whole") from error

    def close(self) -> None:
        """Close the file, and let others have it."""
        self._file.close()

    def _read(self, head: dict[str, Any], other: Callable[[str], str], take: Callable[[dict[str, Any]], None]) -> None:
        beginning = json.dumps({"mollm": head["mollm"]}).encode()[:-1] + b", "
        self._file.seek(0)
        good = 0
        for number, line in enumerate(_lines(self._file), 1):
            if number == 1 and not beginning.startswith(line[: len(beginning)]):
                raise DataError(f"{self._path}: is no journal of {KINDS[head['mollm']]}; {ANEW.split(',')[0]}")
            if not line.endswith(b"\n"):
                self.is_torn = True
                self._file.truncate(good)
                break
            good += len(line)
            try:
                plain = json.loads(line)
                if number > 1:
                    take(plain)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise DataError(f"{self._path}:{number}: is no record of an evaluation; {ANEW}") from None
            if number == 1 and (differs := [key for key in head if plain.get(key) != head[key]]):
                raise DataError(f"{self._path}: is the journal of {other(differs[0])}; {ANEW}")
        if good == 0:
            self.write(head)


def has_lines(path: Path) -> bool:
    """Whether a file is there and has more than its first line."""
    try:
        with path.open("rb") as file:
            return file.readline().startswith(b'{"mollm"') and bool(file.readline())
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
