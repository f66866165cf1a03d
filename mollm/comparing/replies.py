"""Replies in JSON that are read strictly: whatever is not as it was asked for counts for nothing."""

from __future__ import annotations

from typing import Any

import orjson

from mollm.formats import unfenced

LONGEST = 200_000
"""Characters of a reply."""


def object_of(text: str) -> dict[str, Any]:
    """Return the JSON object that a reply is, but for a fence around it.

    Half of a surrogate pair, which nobody could store, is no JSON here.

    Raises:
        ValueError: It is none.
    """
    if len(text) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} characters")
    try:
        found = orjson.loads(unfenced(text))
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def numbers_to(most: int) -> dict[str, Any]:
    """The JSON schema of what `number_of` reads."""
    return {"type": "integer", "enum": list(range(1, most + 1))}


def number_of(value: Any, most: int) -> int:
    """Return the number of a proposal, 1 to `most`. Raises `ValueError` where it is none."""
    if type(value) is int and 1 <= value <= most:
        return value
    raise ValueError(f"the number of an answer must be 1 to {most}")
