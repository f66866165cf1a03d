"""Answers that were saved, as `mollm ask --json` prints them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mollm.errors import DataError
from mollm.evaluation.files import text_of
from mollm.plain import answer_from_plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mollm.types import Answer

MANY = 2
"""Proposals on a ballot, at least."""


def read_answers(path: Path) -> list[Answer]:
    """Read answers: one JSON document after the other, on one line each or on several, or lists of them.

    Raises:
        DataError: The file cannot be read, is not JSON, or holds something else; says which document.
    """
    answers: list[Answer] = []
    for number, found in enumerate(_documents(path, text_of(path)), 1):
        for plain in found if isinstance(found, list) else [found]:
            try:
                answers.append(_checked(answer_from_plain(plain)))
            except (TypeError, KeyError, ValueError, AttributeError):
                where = f"{path}: document {number}"
                raise DataError(f"{where} is no answer as `mollm ask --json` prints it") from None
    return answers


def _checked(answer: Answer) -> Answer:
    """Raise `ValueError` where what is said of proposals and ballots does not fit together."""
    if not all(isinstance(text, str) for p in answer.proposals for text in (p.worker, p.llm, p.text)):
        raise ValueError("a proposal without text")
    counted = [b for b in answer.ranking.ballots if b.error is None] if answer.ranking else []
    for ballot in counted:
        ranked = sorted(worker for tied in ballot.ranks for worker in tied)
        if len(ranked) < MANY or len({*ranked}) < len(ranked) or ranked != sorted(ballot.shown):
            raise ValueError("a ballot that ranks other proposals than it shows")
    return answer


def _documents(path: Path, text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), _beyond_space(text, 0)
    while at < len(text):
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise DataError(f"{path}:{text.count(chr(10), 0, at) + 1}: is not JSON") from None
        yield found
        at = _beyond_space(text, at)


def _beyond_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
