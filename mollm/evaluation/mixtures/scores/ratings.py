"""What people say of answers, from a file."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import orjson

from mollm.errors import DataError, RequestError
from mollm.evaluation.files import text_of
from mollm.evaluation.mixtures.scores.base import told
from mollm.feedback.base import rating_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mollm.evaluation.mixtures.rows import Row


@dataclass(frozen=True, slots=True)
class Line:
    """One rating."""

    id: str
    """Of the question."""
    who: str
    """The mixture or the member whose answer it is."""
    score: float
    """0 to 1."""
    text: str | None
    """The answer that was rated; None: whichever `who` gives."""
    place: str
    """File and line."""


class Ratings:
    """The mean of what people say of an answer, 0 to 1: their -1 is 0, and their 0 is 0.5.

    A file has lines of JSON, in one of two forms:

    - `{"id", "who", "score"}`: the question's id, the name of the mixture or member, and -1 (worst) to 1 (best) as
      `mollm feedback` takes it. With `"text"`, the rating is of that answer alone.
    - what `mollm feedback export` prints, where the question is told by its text, and the answer that was rated by its
      own; lines without a rating are passed over.

    An answer that nobody rated has no score, and a question of which no answer is rated does not count.
    """

    name, is_exact = "ratings", False

    def __init__(self, path: Path, rows: Sequence[Row]) -> None:
        """Read a file of ratings about some questions.

        Raises:
            DataError: It cannot be read, or a line is none of these; says which line.
        """
        self._lines: dict[str, list[Line]] = {row.id: [] for row in rows}
        self._unknown: list[str] = []
        self._unseen: dict[tuple[str, str], str] = {}
        self._changed: dict[str, None] = {}
        ids = {row.question.strip(): row.id for row in rows}
        for line in _lines(path, ids):
            if line.id in self._lines:
                self._lines[line.id].append(line)
                self._unseen.setdefault((line.id, line.who), line.place)
            else:
                self._unknown.append(f"{line.place}: a rating of no question of the data ({line.id[:60]!r})")
        if not any(self._lines.values()):
            raise DataError(f"{path}: rates no answer to any of the {len(rows)} questions")

    def problem(self, row: Row) -> str | None:
        return None if self._lines.get(row.id) else "nobody rated an answer to it"

    async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
        return {who: self._of(row, who, text) for who, text in texts.items()}

    def notes(self) -> tuple[str, ...]:
        unseen = [
            f"{place}: a rating of {who!r}, which gave no answer to {id!r}"
            for (id, who), place in self._unseen.items()  # noqa: A001 - a question has an id
        ]
        return (
            *told(self._unknown, "ratings of unknown questions"),
            *told(unseen, "ratings of answers that were not given"),
            *told(list(self._changed), "ratings of another text"),
        )

    def _of(self, row: Row, who: str, text: str) -> float | None:
        lines = [line for line in self._lines.get(row.id, ()) if line.who == who]
        self._unseen.pop((row.id, who), None)
        about = [line for line in lines if line.text is None or line.text.strip() == text.strip()]
        self._changed |= {f"{line.place}: {who!r} answers otherwise now": None for line in lines if line not in about}
        return fmean(line.score for line in about) if about else None


def _lines(path: Path, ids: Mapping[str, str]) -> Iterator[Line]:
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if line.strip():
            try:
                found: Any = orjson.loads(line)
            except orjson.JSONDecodeError:
                found = None
            if not isinstance(found, dict):
                raise DataError(f"{path}:{number}: is not a JSON object")
            if "mixture" in found and "question" in found and found.get("score") is None:
                continue  # kept, and not rated
            yield _line(found, ids, f"{path}:{number}")


def _line(found: Mapping[str, Any], ids: Mapping[str, str], place: str) -> Line:
    """Read one line; one that was exported names mixture and question in place of `who` and the question's id."""
    is_exported = "who" not in found and "mixture" in found and "question" in found
    names = ("question", "mixture", "text") if is_exported else ("id", "who")
    for name in names:
        if not isinstance(found.get(name), str) and not (name == "id" and type(found.get(name)) is int):
            raise DataError(f"{place}: `{name}` must be text")
    if not isinstance(found.get("text"), str | None):
        raise DataError(f"{place}: `text` must be text")
    try:
        rating = rating_of(found.get("score"))  # type: ignore[arg-type]
    except RequestError as error:
        raise DataError(f"{place}: {error}") from None
    question = found["question"].strip() if is_exported else ""
    return Line(
        id=ids.get(question, question) if is_exported else str(found["id"]),
        who=found["mixture"] if is_exported else found["who"],
        score=(rating.score + 1) / 2,
        text=found.get("text"),
        place=place,
    )
