"""What an upstream said about an error: its words, its sentence, code and status, in whatever shape they came."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mollm.calling.quoting import clean
from mollm.calling.statuses import status_given, status_said

READ_AT_MOST = 64 * 1024
"""Bytes of a body that are looked at: error objects are far smaller, and HTML need not be read to its end."""

_DEEPEST, _MOST_LINES, _LONGEST_LINE, _LONGEST = 8, 200, 2000, 8000
"""Of what is said only so much is looked through for its meaning: the event loop waits meanwhile."""

_ECHOED = frozenset(
    (
        *("input", "inputs", "input_value", "messages", "prompt", "request", "request_body", "value"),
        *("failed_generation", "partial_response"),
    )
)
"""Keys under which an error holds what was sent or written, which says nothing about what went wrong."""

_SENTENCES = ("message", "msg", "detail", "details", "error_description", "error", "errors", "title", "reason")
"""Keys under which an error object says in words what went wrong, the best first."""

_SAFE_CODE = re.compile(r"[a-z0-9_.-]{1,64}")
_TAGS = re.compile(r"(?s)<(script|style)\b.{0,20000}?</\1>|<[^<>]{0,2000}>")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an upstream said about an error."""

    text: str
    """All of it in lower case, a line for each field; tells what the error means and goes no further."""
    quote: str = ""
    """Its sentence, as `clean` leaves it, for whoever runs this."""
    code: str | None = None
    status: int | None = None
    param: str | None = None
    """The request field that it names."""


def read(body: bytes) -> Complaint:
    """Read a body leniently: OpenAI's and vLLM's error objects, plain text, HTML, nothing."""
    raw = body[:READ_AT_MOST].decode("utf-8", "replace")
    return said_in(_parsed(body), raw)


def said_in(parsed: Any, text: str) -> Complaint:
    """Find words, code and status in an error object, wrapped in `error` or not, or in a list of one (Gemini).

    Args:
        parsed: The object; anything else is no error object, and `text` is all there is.
        text: What was said where there is no object.
    """
    if isinstance(parsed, list) and parsed and isinstance(parsed[0], Mapping) and "loc" not in parsed[0]:
        parsed = parsed[0]
    if not isinstance(parsed, Mapping | list):
        text = " ".join(_TAGS.sub(" ", text).split())
        return Complaint(text[:_LONGEST].lower(), clean(text))
    words = "\n".join(_words(parsed))[:_LONGEST]
    quote = clean(_sentence(parsed) or words)
    inner = parsed.get("error") if isinstance(parsed, Mapping) else None
    error = inner if isinstance(inner, Mapping) else parsed
    if not isinstance(error, Mapping):
        return Complaint(words.lower(), quote)
    names = [value for value in (error.get("code"), error.get("type")) if isinstance(value, str)]
    code = next((name for name in names if _SAFE_CODE.fullmatch(name)), None)
    param = error.get("param")
    status = status_given(error.get("code")) or status_said(names, words.lower())
    return Complaint(words.lower(), quote, code, status, param.lower() if isinstance(param, str) else None)


def _words(value: Any, key: str = "", depth: int = 0) -> list[str]:
    """Lay an error object out as lines `key: value`, without what it only repeats of the request."""
    if depth > _DEEPEST or value is None or isinstance(value, bool):
        return []
    if isinstance(value, Mapping):
        if "loc" in value and "msg" in value:  # pydantic: the field and what is wrong with it belong together
            return [f"{value.get('type', '')}: {_located(value)}"]
        parts = [_words(item, str(name), depth + 1) for name, item in value.items() if name not in _ECHOED]
    elif isinstance(value, list | tuple):
        parts = [_words(item, key, depth + 1) for item in value[:_MOST_LINES]]
    elif isinstance(value, str) and value[:1] in ("{", "[") and (inner := _parsed(value)) is not None:
        return _words(inner, key, depth + 1)  # what another provider said, handed on as it was
    else:
        line = " ".join(str(value)[:_LONGEST_LINE].split())
        return [f"{key}: {line}" if key else line]
    return [line for lines in parts for line in lines][:_MOST_LINES]


def _sentence(value: Any, depth: int = 0) -> str:
    """Find what an error object says in words; empty where it says nothing."""
    if isinstance(value, str):
        return value
    if depth > _DEEPEST:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_sentence(item, depth + 1) for item in value[:5])))
    if not isinstance(value, Mapping):
        return ""
    if "loc" in value and "msg" in value:
        return _located(value)
    inner = value.get("error")
    if isinstance(inner, Mapping) and (found := _sentence(inner, depth + 1)):
        return found
    found = next(filter(None, (_sentence(value.get(key), depth + 1) for key in _SENTENCES)), "")
    return f"{found} {_of_another(value.get('metadata'))}".strip()


def _of_another(metadata: Any) -> str:
    """What the provider behind a router such as OpenRouter said."""
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    return f"({_sentence(_parsed(raw)) or raw})" if isinstance(raw, str) else ""


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text) if len(text) <= READ_AT_MOST else None
    except (ValueError, RecursionError):
        return None


def _located(entry: Mapping[str, Any]) -> str:
    place = entry["loc"]
    names = place if isinstance(place, list | tuple) else [place]
    return f"{'.'.join(map(str, names))}: {entry['msg']}"
