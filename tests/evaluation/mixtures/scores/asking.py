"""What tests of scores share."""

from __future__ import annotations

from mollm.evaluation.mixtures.rows import Row


def row(reference: str, question: str = "Which one?", id: str = "1") -> Row:  # noqa: A002 - a question has an id
    """A question with a reference."""
    return Row(id, question, reference, None, f"data.jsonl:{id}")
