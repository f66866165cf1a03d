"""What was answered, kept line by line while an evaluation runs, so that one that was killed goes on where it was.

The first line says which questions and which mixtures the journal is of, as digests. Each further line holds one
record.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from mollm.evaluation.mixtures.gathering.lines import Lines
from mollm.evaluation.mixtures.records import Record
from mollm.plain import proposal_from_plain
from mollm.types import Usage, total_cost

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1


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
        failed: Records of earlier starts that failed, or were lost to an outage, and are to be asked for again.
        calls: Calls of all records, those included in whose place there is another one by now.
        cost_usd: What they cost; None where no price is known.
    """

    def __init__(self) -> None:
        """Nothing is kept in a file."""
        self.records: dict[Key, Record] = {}
        self.is_torn, self.failed = False, 0
        self.calls = 0
        self.cost_usd: float | None = None
        self._lines: Lines | None = None
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
        head = {"mollm": "journal", "format": FORMAT, "questions": questions, "mixtures": mixtures}
        found._lines = Lines.open(path, head, _other, found._take)
        found.is_torn = found._lines.is_torn
        found.failed = sum(record.error is not None or bool(record.unavailable) for record in found.records.values())
        return found

    def done(self, key: Key) -> Record | None:
        """What was answered; None if it was not, or failed at an earlier start."""
        record = self.records.get(key)
        return record if record and (record.error is None or key in self._is_new) else None

    def add(self, key: Key, record: Record) -> None:
        """Keep a record. Raises `DataError` if it cannot be written."""
        self._keep(key, record)
        self._is_new.add(key)
        if self._lines is not None:
            self._lines.write({"what": key.what, "of": key.of, "record": asdict(record)})

    def close(self) -> None:
        """Close the file."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def _keep(self, key: Key, record: Record) -> None:
        self.records[key] = record
        self.calls += record.calls
        self.cost_usd = total_cost((self.cost_usd, record.cost_usd))

    def _take(self, found: dict[str, Any]) -> None:
        record = _record(found["record"])
        self._keep(Key(found["what"], found["of"], record.id), record)


def _other(key: str) -> str:
    other = {
        "format": "another version of mollm",
        "questions": "other questions: lines of DATA were added, left out or changed since",
        "mixtures": "another configuration: its LLMs, prompts or mixtures are not these",
    }
    return other[key]


def _record(plain: dict[str, Any]) -> Record:
    return Record(
        **{
            **plain,
            "usage": Usage(**plain["usage"]),
            "degraded": tuple(plain["degraded"]),
            "unavailable": tuple(plain.get("unavailable", ())),
            "proposals": tuple(map(proposal_from_plain, plain["proposals"])),
        }
    )
