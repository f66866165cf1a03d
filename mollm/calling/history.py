"""The messages of a request as they are sent: without the empty fields that clients leave in a history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.types import Message

_CALLS = frozenset(("tool_calls", "function_call"))


def as_sent(messages: Sequence[Message]) -> Sequence[Message]:
    """Leave out null fields and empty `tool_calls`, which strict servers refuse; all else stays as it is.

    `content` is null only beside tool calls. Arguments of a call are text, as the format wants them.
    """
    if all(map(_is_plain, messages)):
        return messages
    return [message if _is_plain(message) else _cleaned(message) for message in messages]


def _is_plain(message: Message) -> bool:
    return len(message) == 2 and message.get("content") is not None


def _cleaned(message: Message) -> Message:
    kept = {key: value for key, value in message.items() if value is not None and (value or key != "tool_calls")}
    if "tool_calls" in kept and isinstance(kept["tool_calls"], list):
        kept["tool_calls"] = [_call(call) for call in kept["tool_calls"]]
    if "content" in kept:
        return kept
    content = None if _CALLS & kept.keys() else ""
    # Where it stood: servers reuse the beginning of a prompt that is byte for byte the same.
    place = list(message).index("content") if "content" in message else len(kept)
    before = [key for key in list(message)[:place] if key in kept]
    return {**{key: kept[key] for key in before}, "content": content, **kept}


def _call(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or isinstance(function.get("arguments"), str):
        return call
    arguments = function.get("arguments")
    written = "{}" if arguments is None else json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**function, "arguments": written}}
