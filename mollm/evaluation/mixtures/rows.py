"""Questions with references: JSON lines of `{"id", "question", "reference", "kind"}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from mollm.errors import DataError
from mollm.evaluation.files import text_of

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One question."""

    id: str
    question: str
    reference: str
    """What an answer is held against; what it has to be depends on the score."""
    kind: str | None
    """Of which kind the question is, such as its domain; None if the data do not say."""
    place: str
    """File and line, for messages."""


def read_rows(path: Path) -> list[Row]:
    """Read the questions of a file.

    Raises:
        DataError: It cannot be read, a line is no such object, or an id stands there twice; says which line.
    """
    rows: dict[str, Row] = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if line.strip():
            row = _row(line, f"{path}:{number}")
            if row.id in rows:
                raise DataError(f"{row.place}: the id {row.id!r} stands in {rows[row.id].place} as well")
            rows[row.id] = row
    if not rows:
        raise DataError(f"{path}: has no questions")
    return list(rows.values())


def _row(line: str, place: str) -> Row:
    try:
        found: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{place}: is not a JSON object")
    name, kind = found.get("id"), found.get("kind")
    if type(name) not in (str, int):
        raise DataError(f"{place}: `id` must be text or a whole number")
    for key in ("question", "reference"):
        if not isinstance(found.get(key), str) or not found[key].strip():
            raise DataError(f"{place}: `{key}` must be text")
    if not isinstance(kind, str | None):
        raise DataError(f"{place}: `kind` must be text")
    return Row(str(name), found["question"], found["reference"], kind, place)
