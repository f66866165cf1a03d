"""Questions whose mixture is known, as files have them.

CSV with a header and JSON lines, both with one of `TEXTS` and one of `LABELS`; a JSON list of such objects; and
`{"qna": [{"question": ..., "answer": ...}]}`, whose mixture is the name of the file. What is in a file decides which of
these it is. Nobody vouches for a file: whatever it holds is read, or is an error that names file and row.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mollm.config.files import is_file, is_folder
from mollm.errors import DataError
from mollm.evaluation.questions import label_of, mixtures_of, names_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TEXTS = ("text", "query", "question", "utterance")
"""What the question may be called."""
LABELS = ("label", "expert", "category", "mixture", "intent")
"""What its mixture may be called."""
SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
"""Files that are read where a folder is named."""
MOST_BYTES = 256 * 1024 * 1024
MOST_TEXT = 100_000
"""Characters of a question; routers read the ends of one that is longer than 2,000."""
MOST_LABEL = 128
"""Characters, as in the name of a mixture."""
NAMED = 5
"""Rows that a message names."""

Row: TypeAlias = tuple[str, Any, Any]
"""Where it stands, and what stands there as question and as mixture."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Questions and the mixture that each belongs to."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    """As many as there are texts; one of a question of several mixtures names them all (`questions.label_of`)."""
    places: tuple[str, ...] = ()
    """`file:line` of each, for messages; empty if they are of no file."""
    warnings: tuple[str, ...] = ()
    """What is wrong with some of them, with rows."""

    def by_mixture(self) -> dict[str, list[str]]:
        """The questions of each mixture, in the order in which mixtures first occur; one of several is in each."""
        found: dict[str, list[str]] = {}
        for text, label in zip(self.texts, self.labels, strict=True):
            for name in mixtures_of(label):
                found.setdefault(name, []).append(text)
        return found

    @property
    def mixtures(self) -> tuple[str, ...]:
        """All of them, in the order in which they first occur."""
        return tuple(self.by_mixture())

    def only(self, rows: Iterable[int]) -> Labelled:
        """Some of them, by number."""
        rows = list(rows)
        texts, labels = tuple(self.texts[row] for row in rows), tuple(self.labels[row] for row in rows)
        return Labelled(texts, labels, tuple(self.places[row] for row in rows) if self.places else (), self.warnings)

    @property
    def digest(self) -> str:
        """Of questions and mixtures, in whatever order they stand."""
        pairs = sorted(zip(self.texts, self.labels, strict=True))
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def read(*paths: Path) -> Labelled:
    """Read files, and those of folders whose names end in one of `SUFFIXES`.

    Rows without a question are left out, which is a warning; so is a file without rows.

    Raises:
        DataError: A file cannot be read, is none of these, or has rows that say nothing.
    """
    texts, labels, places = [], [], []
    blank: list[str] = []
    warned: list[str] = []
    for path in (file for named in paths for file in _files(named)):
        wrong: list[str] = []
        place = None
        for place, text, label in _rows(path, _text_of(path)):
            if problem := _problem(text, label):
                wrong.append(f"{place}: {problem}")
            elif not text.strip():
                blank.append(place)
            else:
                texts.append(_whole(text.strip()))
                labels.append(label_of(_named(label)))
                places.append(place)
        if wrong:
            more = [f"{path}: {len(wrong) - NAMED:,} more rows are wrong"] if len(wrong) > NAMED else []
            raise DataError("\n".join([*wrong[:NAMED], *more]))
        if place is None:
            warned.append(f"{path}: has no questions")
    if blank:
        warned.append(rows_named(blank, "without a question left out"))
    return Labelled(tuple(texts), tuple(labels), tuple(places), tuple(warned))


def rows_named(places: list[str], what: str) -> str:
    """Write `3 rows WHAT: faq.csv:2, faq.csv:7, faq.csv:9`, the first few of many."""
    shown = ", ".join(places[:NAMED]) + (", ..." if len(places) > NAMED else "")
    return f"{len(places):,} {'row' if len(places) == 1 else 'rows'} {what}: {shown}"


def _files(path: Path) -> list[Path]:
    if not is_folder(path):
        return [path]
    try:
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not found:
        raise DataError(f"{path}: has no file that ends in {', '.join(SUFFIXES)}")
    return found


def _text_of(path: Path) -> str:
    """Read a file that is one: a pipe would be waited for, and a device never ends."""
    try:
        if not is_file(path):
            raise DataError(f"{path}: {'is not a file' if os.path.lexists(path) else 'there is no such file'}")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise DataError(f"{path}: has {size >> 20:,} MiB, and {MOST_BYTES >> 20} are the most")
            raw = file.read(size)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}: is UTF-16; save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: is not UTF-8 (byte {error.object[error.start]:#04x}); save it as UTF-8"
        ) from None
    if "\0" in text:
        raise DataError(f"{path}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: has a NUL, so it is no text")
    return text


def _rows(path: Path, text: str) -> Iterator[Row]:
    """Tell by its beginning what a file is, and take it apart."""
    first = text.lstrip()[:1]
    if not first:
        raise DataError(f"{path}: is empty")
    if first == "[":
        return _items(path, _parsed(f"{path}", text, 1))
    if first == "{":
        return _objects(path, text)
    return _cells(path, text)


def _objects(path: Path, text: str) -> Iterator[Row]:
    """JSON lines if the first object ends on the line where it begins, else one object."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    number, line = lines[0]
    if len(lines) == 1 or line.rstrip().endswith("}"):
        first = _parsed(str(path), line, number)
        if not (isinstance(first, dict) and "qna" in first):
            for number, line in lines:
                yield _row(f"{path}:{number}", _parsed(str(path), line, number))
            return
    yield from _asked(path, _parsed(str(path), text, 1))


def _asked(path: Path, whole: Any) -> Iterator[Row]:
    entries = whole.get("qna") if isinstance(whole, dict) else None
    if not isinstance(entries, list):
        raise DataError(f"{path}: an object without a list `qna`; {_allowed()}")
    for number, entry in enumerate(entries, 1):
        yield f"{path}: entry {number}", entry.get("question") if isinstance(entry, dict) else None, path.stem


def _items(path: Path, whole: Any) -> Iterator[Row]:
    for number, entry in enumerate(whole, 1):
        yield _row(f"{path}: entry {number}", entry)


def _row(place: str, entry: Any) -> Row:
    if not isinstance(entry, dict):
        raise DataError(f"{place}: {entry!r:.40} where an object belongs; {_allowed()}")
    text, label = _names(place, entry)
    return place, entry[text], entry[label]


def _cells(path: Path, text: str) -> Iterator[Row]:
    """CSV, with the first of `,`, `;` and the tab that its header has."""
    header = text.lstrip().partition("\n")[0]
    delimiter = next((mark for mark in ",;\t" if mark in header), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            place, line = f"{path}:{line}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = [cell.strip().lower() for cell in cells]
                question, mixture = map(names.index, _names(place, names))
            elif len(cells) != len(names):
                text = f"{len(cells)} fields where the header has {len(names)}; quote text that has a {delimiter!r}"
                raise DataError(f"{place}: {text}")
            else:
                yield place, cells[question], cells[mixture]
    except csv.Error as error:
        if "field limit" in str(error):  # that of Python; a quote that is never closed swallows all that follows
            raise DataError(f"{path}:{line}: a field has more than {MOST_TEXT:,} characters, the most") from error
        raise DataError(f"{path}:{line}: is not CSV from here on: {error}") from error


def _names(place: str, names: Iterable[str]) -> tuple[str, str]:
    """Which of the names are that of the question, and that of the mixture."""
    names = list(names)
    found = []
    for what, allowed in (("question", TEXTS), ("mixture", LABELS)):
        here = [name for name in allowed if name in names]
        if len(here) != 1:
            problem = f"both {' and '.join(here)} could be the {what}" if here else f"nothing names the {what}"
            raise DataError(f"{place}: {problem}; {_allowed()}")
        if names.count(here[0]) > 1:
            raise DataError(f"{place}: several columns are called {here[0]}, and each could be the {what}")
        found += here
    return found[0], found[1]


def _allowed() -> str:
    return f"a row has one of {', '.join(TEXTS)} and one of {', '.join(LABELS)}"


def _parsed(name: str, text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{name}:{line + error.lineno - 1}: is not JSON: {error.msg}, column {error.colno}") from error
    except (ValueError, RecursionError) as error:  # a number of five thousand digits, a thousand brackets
        raise DataError(f"{name}:{line}: is not JSON that can be read: {error}") from error


def _named(label: Any) -> list[Any]:
    """What a row has as its mixtures: a list of them, or text that names one or several."""
    if isinstance(label, list):
        return [name.strip() if isinstance(name, str) else name for name in label]
    return [name.strip() for name in names_in(label.strip())] if isinstance(label, str) else [label]


def _problem(text: Any, label: Any) -> str | None:
    names = _named(label)
    if not names or names == [""]:
        return "has no mixture"
    checked = [("question", text, MOST_TEXT), *(("mixture", name, MOST_LABEL) for name in names)]
    for what, value, most in checked:
        if not isinstance(value, str):
            return f"the {what} is {value!r:.40}, not text"
        if len(value) > most:
            return f"the {what} has {len(value):,} characters, and {most:,} are the most"
    if "" in names:
        return f"one of the mixtures in {label!r:.60} has no name"
    if twice := [name for name in names if names.count(name) > 1]:
        return f"names the mixture {twice[0]!r:.60} twice"
    if not all(name.isprintable() for name in names):
        return "the mixture has characters that cannot be printed"
    return None


def _whole(text: str) -> str:
    """Without the halves of pairs, which no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
