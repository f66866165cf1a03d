"""Questions with references: JSON lines of `{"id", "question", "reference", "kind"}`.

`question` is a text, or a conversation as `MoLLM.ask` takes it. A number as `id`, `reference` or `kind` is the text
that stands there: 18.50 stays "18.50". Further keys are read by nobody.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mollm.errors import DataError, RequestError
from mollm.evaluation.files import text_of as text_of_file
from mollm.messages import messages_of, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mollm.types import Message

LONGEST_LINE = 4 * 1024 * 1024
"""Characters: what is longer is no question, but a file of another kind."""
MOST_TOLD = 10
"""Different things that are said to be wrong; who has more has to mend these first."""
INSTEAD = ("gold", "answer", "target", "label", "expected", "solution", "output")
"""Keys under which other data hold the reference."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question."""

    id: str
    question: str
    """The text; of a conversation, that of the user's last message."""
    reference: str
    """What an answer is held against; what it has to be depends on the score."""
    kind: str | None
    """Of which kind the question is, such as its domain; None if the data do not say."""
    place: str
    """File and line, for messages."""
    conversation: tuple[Message, ...] = field(default=(), hash=False)
    """The messages, where the question is a conversation."""

    @property
    def asked(self) -> str | tuple[Message, ...]:
        """The question as `MoLLM.ask` takes it."""
        return self.conversation or self.question


def read_rows(path: Path) -> list[Row]:
    """Read the questions of a file.

    Raises:
        DataError: It cannot be read, a line is no such object, or an id stands there twice; says which lines.
    """
    rows: dict[str, Row] = {}
    wrong: dict[str, list[int]] = {}
    # Not `splitlines`: a text in JSON may hold separators of lines as they are, such as U+2028.
    for number, line in enumerate(text_of_file(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = _row(line, f"{path}:{number}")
            if row.id in rows:
                raise DataError(f"the id {row.id!r} stands in {rows[row.id].place} as well")
            rows[row.id] = row
        except DataError as error:
            wrong.setdefault(str(error), []).append(number)
            if len(wrong) == MOST_TOLD:
                break
    if wrong:
        raise DataError("\n".join(_told(path, text, numbers) for text, numbers in wrong.items()))
    if not rows:
        raise DataError(f'{path}: has no questions; a line is {{"id": "1", "question": "2 + 2?", "reference": "4"}}')
    return list(rows.values())


def _told(path: Path, text: str, numbers: Sequence[int]) -> str:
    more = f" (and so in {len(numbers) - 1:,} further lines)" if len(numbers) > 1 else ""
    return f"{path}:{numbers[0]}: {text}{more}"


def questions_digest(rows: Sequence[Row]) -> str:
    """A digest of what is asked; a reference that is mended changes nothing of it."""
    return _digest([row.id, row.question, row.conversation] for row in rows)


def data_digest(rows: Sequence[Row]) -> str:
    """A digest of what is asked, and of what the answers are held against."""
    return _digest([row.id, row.question, row.conversation, row.reference, row.kind] for row in rows)


def _digest(values: Any) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(json.dumps(value, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


class _Written(str):
    """A number as it is written."""

    __slots__ = ()


class _Object(dict[str, Any]):
    """An object that remembers the keys which stand in it twice."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = Counter(name for name, _ in pairs)
        self.twice = [name for name, count in names.items() if count > 1]


def _row(line: str, place: str) -> Row:
    found = _object(line)
    name, reference, kind = (_text(found, key) for key in ("id", "reference", "kind"))
    if name is None:
        raise DataError("`id` is missing")
    if reference is None:
        raise DataError(f"`reference` is missing; {_instead(found)}")
    question = found.get("question")
    conversation: tuple[Message, ...] = ()
    if isinstance(question, list):
        conversation = _conversation(line)
        question = text_of(conversation[-1].get("content"))
    if not isinstance(question, str) or isinstance(question, _Written) or not question.strip():
        problem = "is missing" if question is None else "must be text, or a list of messages that the user's ends"
        raise DataError(f"`question` {problem}")
    return Row(name, question, reference, kind, place, conversation)


def _object(line: str) -> _Object:
    if len(line) > LONGEST_LINE:
        raise DataError(f"has {len(line):,} characters, and a line may have {LONGEST_LINE:,}")
    try:
        found = json.loads(
            line, object_pairs_hook=_Object, parse_int=_Written, parse_float=_Written, parse_constant=_Written
        )
        line.encode()
        json.dumps(found, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        hint = "; each line has to be one object" if line.strip() in ("[", "{") else ""
        raise DataError(f"is not JSON (column {error.colno}: {error.msg}){hint}") from None
    except UnicodeEncodeError:
        raise DataError("holds half of a character (an escape such as \\ud800)") from None
    except RecursionError:
        raise DataError("is nested too deeply") from None
    if not isinstance(found, _Object):
        raise DataError("is not a JSON object; each line has to be one")
    if found.twice:
        raise DataError(f"`{found.twice[0][:60]}` stands there twice")
    return found


def _text(found: _Object, key: str) -> str | None:
    """A text, or a number as it is written; None where there is neither."""
    value = found.get(key)
    if value is None or (key == "kind" and value == ""):
        return None
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"`{key}` must be text, or a number")
    return str(value)


def _instead(found: _Object) -> str:
    """What may have been meant by somebody who gave no reference."""
    meant = next((key for key in INSTEAD if key in found), None)
    if meant is not None:
        return f"is it `{meant}`? rename that"
    return f"there are {', '.join(f'`{key[:60]}`' for key in list(found)[:20])}"


def _conversation(line: str) -> tuple[Message, ...]:
    try:
        messages = messages_of(json.loads(line)["question"])
    except (RequestError, ValueError) as error:  # the latter of a number with thousands of digits
        raise DataError(f"`question`: {error}") from None
    if not messages or messages[-1]["role"] != "user":
        raise DataError("`question`: the last message has to be the user's")
    return messages
