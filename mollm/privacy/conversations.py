"""Where the texts stand in messages, tools and settings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from mollm.config.panels import OF_THE_PROVIDER, TEXTS
from mollm.config.places import MAX_DEPTH
from mollm.messages import RESULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mollm.options import Settings
    from mollm.types import Message

    Change = Callable[[str], str]

_PLUMBING = frozenset(
    (
        *(
            "role",
            "type",
            "id",
            "tool_call_id",
            "call_id",
            "index",
            "cache_control",
            "format",
            "media_type",
            "mime_type",
        ),
        # Media, and what a provider has signed or sealed.
        *("image_url", "data", "file_data", "file_id", "url", "b64_json", "signature", "encrypted_content"),
    )
)
"""Fields of a message that hold no text."""
_NAMING = frozenset(("name", "type", "required", "$ref", "$defs", "$id", "$schema", "pattern", "format", "strict"))
"""Fields of tools and schemas by which others are named."""
_MEDIA = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+=-]+)*;base64,[A-Za-z0-9+/=]*+")
"""A whole data URL; a text that only begins like one, as events of a stream do, is a text."""
_OF_PANELS = (TEXTS - {"prompt"}) | {OF_THE_PROVIDER}
"""Fields of a panel that LLMs or their providers read; its prompts are the program's own."""
_DIGITS = 6
"""Digits of a number in JSON that is looked at as a text."""

S = TypeVar("S", bound="Settings")


class Changes(NamedTuple):
    """What is done to the texts of a conversation."""

    text: Change
    """To a text."""
    json: Change
    """To the text of a JSON document."""


def changed_messages(messages: Sequence[Message], changes: Changes) -> tuple[Message, ...]:
    """Change the texts of messages: contents, thoughts, names of speakers, arguments of calls; no pictures or files."""
    return tuple(changed_message(message, changes) for message in messages)


def changed_message(message: Message, changes: Changes) -> Message:
    """Change the texts of a message, or of a `delta`; one without any stays the same object."""
    kept = {"name"} if message.get("role") in RESULTS else ()
    found = {key: _field(key, value, changes) for key, value in message.items() if key not in kept}
    return message if all(found[key] is message[key] for key in found) else {**message, **found}


def _field(key: str, value: Any, changes: Changes) -> Any:
    if key in _PLUMBING:
        return value
    if key == "tool_calls" and isinstance(value, list):
        return _same_or([_call(call, changes) for call in value], value)
    if key == "function_call":
        return _function(value, changes)
    return changed(value, changes.text, _PLUMBING)


def _call(call: Any, changes: Changes) -> Any:
    if not isinstance(call, dict):
        return call
    found = {key: _function(call[key], changes) for key in ("function", "custom") if key in call}
    return call if all(found[key] is call[key] for key in found) else {**call, **found}


def _function(function: Any, changes: Changes) -> Any:
    if not isinstance(function, dict):
        return function
    found = {}
    for key, change in (("arguments", changes.json), ("input", changes.text)):
        if key in function:
            value = function[key]
            found[key] = change(value) if isinstance(value, str) else changed(value, changes.text, ())
    return function if all(found[key] is function[key] for key in found) else {**function, **found}


def changed_settings(settings: S, change: Change) -> S:
    """Change the texts of settings: descriptions and values in tools and schemas, stop texts, further fields."""
    fields = {
        "tools": changed(settings.tools, change, _NAMING),
        "response_format": changed(settings.response_format, change, _NAMING),
        "stop": changed(settings.stop, change, ()),
        "extra_body": changed(settings.extra_body, change, ()),
    }
    if all(value is getattr(settings, name) for name, value in fields.items()):
        return settings
    return replace(settings, **fields)


def changed_panel(value: Any, change: Change, depth: int = 0) -> Any:
    """Change what LLMs read of a panel that a request brought: no names of LLMs, methods and fields."""
    if depth > MAX_DEPTH:  # it may contain itself, and is refused later
        return value
    if isinstance(value, Mapping):
        found = {
            key: changed(item, change, ()) if key in _OF_PANELS else changed_panel(item, change, depth + 1)
            for key, item in value.items()
        }
        return value if all(found[key] is value[key] for key in value) else found
    if isinstance(value, list | tuple):
        return _same_or([changed_panel(item, change, depth + 1) for item in value], value)
    return value


def changed(value: Any, change: Change, kept: Collection[str]) -> Any:
    """Change the texts in plain data, but for those of `kept` keys and data URLs; without any it stays the same.

    What has fields itself is no name: a parameter of a tool may be called `type`.
    """
    if isinstance(value, str):
        if value.startswith("data:") and _MEDIA.fullmatch(value):
            return value
        found: Any = change(value)
        return value if found == value else found
    if isinstance(value, Mapping):
        found = {
            key: item if key in kept and not isinstance(item, Mapping) else changed(item, change, kept)
            for key, item in value.items()
        }
        return value if all(found[key] is value[key] for key in value) else found
    if isinstance(value, list | tuple):
        return _same_or([changed(item, change, kept) for item in value], value)
    return value


def _same_or(found: list[Any], value: list[Any] | tuple[Any, ...]) -> Any:
    return value if all(one is other for one, other in zip(found, value, strict=True)) else found


def in_json(text: str, change: Change) -> str:
    """Change the strings, keys and numbers of a JSON document; what is none is changed as it stands."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return change(text)
    found = _values(read, change)
    return text if found == read else json.dumps(found, ensure_ascii=False)


def _values(value: Any, change: Change) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _values(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_values(item, change) for item in value]
    if type(value) is int and abs(value) >= 10**_DIGITS:
        found = change(str(value))
        return value if found == str(value) else found
    return value
