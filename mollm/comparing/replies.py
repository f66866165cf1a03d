"""Replies in JSON: a server that can is held to a schema, and all are read strictly."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from mollm.formats import unfenced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.calling.calls import Calls
    from mollm.config.llms import Dialect

MOST_CHARACTERS = 200_000


def constraint(name: str, schema: Mapping[str, Any], dialect: Dialect | None) -> dict[str, Any] | None:
    """Return the `response_format` that holds a server of `dialect` to a schema; None where it might be refused."""
    if dialect is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema), "strict": True}}


def object_of(text: str) -> dict[str, Any]:
    """Return the JSON object that a reply is, but for a fence around it.

    Raises:
        ValueError: It is none.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it is longer than {MOST_CHARACTERS} characters")
    try:
        found = json.loads(unfenced(text))
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def number_of(value: Any, most: int) -> int:
    """Return the number of a proposal, 1 to `most`. Raises `ValueError` where it is none."""
    if type(value) is int and 1 <= value <= most:
        return value
    raise ValueError(f"{str(value)[:20]!r} is the number of no answer")


def latest(seconds: float, calls: Calls) -> float:
    """Until when to compare, on the event loop's clock: `seconds` at most, and half of what the question has left.

    What is compared still has to be written.
    """
    now = asyncio.get_running_loop().time()
    return now + seconds if calls.deadline is None else min(now + seconds, (now + calls.deadline) / 2)


def is_cancelled() -> bool:
    """Whether the running task was cancelled from outside, and not by a library below it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
