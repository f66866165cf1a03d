"""Questions with references: JSON lines of `{"id", "question", "reference", "kind"}`.

`question` is a text, or a conversation as `MoLLM.ask` takes it. A number as `id`, `reference` or `kind` is the text
that stands there: 18.50 stays "18.50". Further keys are read by nobody, unless one is probably meant for one of these.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mollm.errors import DataError, RequestError
from mollm.evaluation.files import text_of as text_of_file
from mollm.evaluation.mixtures.lines import object_of, other_format, text_at
from mollm.messages import messages_of, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mollm.types import Message

MOST_TOLD = 10
"""Different things that are said to be wrong; who has more has to mend these first."""


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
        if not rows and not wrong and (what := other_format(line)):
            raise DataError(f"{path}: {what}")
        try:
            row = _row(line, f"{path}:{number}")
            if row.id in rows:
                raise DataError(f"the id {row.id!r} stands in {rows[row.id].place} as well; give each its own")
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


def _row(line: str, place: str) -> Row:
    found = object_of(line)
    conversation: tuple[Message, ...] = ()
    if isinstance(found["question"], list):
        conversation = _conversation(line)
        found["question"] = text_of(conversation[-1].get("content"))
    kind = found.get("kind")
    has_kind = kind is not None and (not isinstance(kind, str) or bool(kind.strip()))
    return Row(
        text_at(found, "id"),
        text_at(found, "question"),
        text_at(found, "reference"),
        text_at(found, "kind") if has_kind else None,
        place,
        conversation,
    )


def _conversation(line: str) -> tuple[Message, ...]:
    try:
        messages = messages_of(json.loads(line)["question"])
    except (RequestError, ValueError) as error:  # the latter of a number with thousands of digits
        raise DataError(f"`question`: {error}") from None
    if not messages or messages[-1]["role"] != "user":
        raise DataError("`question`: the last message has to be the user's")
    return messages
