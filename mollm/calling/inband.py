"""Errors that come inside a success: in the body of a 200, in a choice or a message, in an event of a stream.

Providers and the gateways before them have many ways to write one. What they have in common is found here and put
into the one form that `said_in` reads; what the words in it mean is decided there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mollm.calling.lenient import nested
from mollm.calling.said import said_in
from mollm.calling.statuses import status_given
from mollm.calling.translate import from_said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mollm.errors import LLMError

BESIDE = ("error", "errors", "err", "exception", "fault", "Error")
"""Keys that hold an error wherever they stand, unless what they hold says that there is none."""
_HOLDERS = (*BESIDE, "base_resp", "detail")
_ERROR_CODES = ("error_code", "errorCode", "err_code", "errcode")
_CODES = (
    *("code", "status", "status_code", "statusCode", "http_status", "http_code", "httpStatus", "httpCode", "Code"),
    *_ERROR_CODES,
)
_TYPES = ("type", "error_type", "reason", "name", "kind", "__type", "Type")
_ERROR_TEXTS = ("error_msg", "errorMsg", "error_message", "errorMessage", "errmsg", "err_msg")
_TEXTS = ("message", "msg", "detail", "status_msg", "description", "Message", "text", *_ERROR_TEXTS)
_INNER = ("metadata", "raw", "body", "data", "details", "response", "innererror", "inner_error", "cause")
"""Keys under which an error hands on another one."""
_EXTENSION = "x_groq"
"""Where Groq puts the error of a stream."""
SUSPECT = frozenset({*_HOLDERS, *_CODES, *_TEXTS, "type", "success", _EXTENSION})
"""Keys that a body or an event with an answer rarely has: most are cleared by having none of them."""

_FINE = frozenset({"", "0", "200", "ok", "success", "succeeded", "completed", "null", "none"})
_BAD = re.compile(
    r"(^|[._\s-])(err|error|exception|fail|failed|failure|fatal)([._\s-]|$)|(error|exception)$", re.IGNORECASE
)
_NOTHING = frozenset({"", "null", "none", "false", "ok", "success", "0", "{}", "[]"})

_MINIMAX: dict[int, Any] = {
    1001: 408,
    1002: 429,
    1004: 401,
    1008: 402,
    1039: 429,
    1041: 429,
    2013: 400,
    2049: 401,
    2056: 429,
    **dict.fromkeys((1026, 1027), "content_filter"),
}
"""What the `status_code` of MiniMax stands for."""
_ALIVE = ("ping", "pong", "heartbeat", "keepalive", "keep_alive")
_VAGUE = (500, 502)
"""Statuses that a gateway puts around an error of any class."""
_DEEPEST = 16
_LONGEST_TEXT = 8 * 1024


def error_in(document: Mapping[str, Any], headers: Mapping[str, str]) -> LLMError | None:
    """Find the error that a body or an event of a successful reply holds.

    Args:
        document: The body or event.
        headers: Of the reply.

    Returns:
        The error, of the class that its code and words say; None where there is none.
    """
    return error_of(document, headers) if _is_error(document) else None


def error_beside(part: Mapping[str, Any], headers: Mapping[str, str]) -> LLMError | None:
    """Find the error that a choice or a message holds in a field of its own; None where there is none."""
    said = {key: part[key] for key in BESIDE if key in part and _is_said(part[key])}
    return error_of(said, headers) if said else None


def error_of(said: Any, headers: Mapping[str, str]) -> LLMError:
    """Make an error of what an upstream said about one, in whatever form."""
    found = _Found()
    for part in _parts(said, 0):
        found.note(part)
    return from_said(200, headers, said_in(found.plain(), ""), "")


def _is_error(document: Mapping[str, Any]) -> bool:
    if any(_is_said(document[key]) for key in (*BESIDE, *_ERROR_TEXTS) if key in document):
        return True
    if any(_is_bad(document.get(key)) for key in ("object", "type", "status")) or document.get("success") is False:
        return True
    base, extension = document.get("base_resp"), document.get(_EXTENSION)
    if isinstance(base, dict) and not _is_fine(base.get("status_code")):
        return True
    if isinstance(extension, dict) and _is_said(extension.get("error")):
        return True
    if any(not _is_fine(document[key]) for key in _ERROR_CODES if key in document):
        return True
    return any(status_given(document.get(key)) for key in _CODES) or _is_message(document)


def _is_message(document: Mapping[str, Any]) -> bool:
    """Whether it says something of its own: beside a code that is not fine, or where there is no answer."""
    if not any(document.get(key) and not isinstance(document[key], dict) for key in _TEXTS):
        return False
    if not _is_fine(document.get("code")):
        return True
    if document.get("choices") or document.get("usage") or document.get("object"):
        return False
    says_fine = any(document.get(key) is not None and _is_fine(document[key]) for key in ("code", "status"))
    return not says_fine and not is_alive(document)


def _is_said(error: Any, depth: int = 0) -> bool:
    """Tell an error from `null`, an empty one, and one that says that there is none."""
    if depth > _DEEPEST:
        return True
    if isinstance(error, dict):
        said = (v for key, v in error.items() if not (key in _CODES and _is_fine(v)))
        return any(_is_said(value, depth + 1) for value in said)
    if isinstance(error, list):
        return any(_is_said(value, depth + 1) for value in error)
    return bool(error) and str(error).strip().lower() not in _NOTHING


def _is_fine(code: Any) -> bool:
    return code is None or code is True or str(code).strip().lower() in _FINE


def _is_bad(word: Any) -> bool:
    return isinstance(word, str) and bool(_BAD.search(word[:200]))


def is_alive(document: Mapping[str, Any]) -> bool:
    """Whether an event only keeps the connection open."""
    kind = document.get("type") or document.get("event") or document.get("object")
    return isinstance(kind, str) and kind.lower().replace("-", "_") in _ALIVE


def _parts(said: Any, depth: int) -> Iterator[Mapping[str, Any] | str]:
    """Yield what says something about an error, the outermost first, also what is JSON inside a string."""
    if isinstance(said, str):
        parsed = nested(said)
        if parsed is None or depth >= _DEEPEST:
            yield said
        else:
            yield from _parts(parsed, depth + 1)
    elif isinstance(said, list):
        for part in said[:4]:
            yield from _parts(part, depth + 1)
    elif isinstance(said, dict) and depth < _DEEPEST:
        yield said
        for key in (*_HOLDERS, *_TEXTS, _EXTENSION, *_INNER):
            if said.get(key) and (isinstance(said[key], dict | list) or nested(said[key]) is not None):
                yield from _parts(said[key], depth + 1)


class _Found:
    """What the parts of an error say about it, taken together."""

    def __init__(self) -> None:
        self._status: int | None = None
        self._code: str | None = None
        self._type: str | None = None
        self._param: str | None = None
        self._texts: list[str] = []

    def note(self, part: Mapping[str, Any] | str) -> None:
        """Take the next part; outer ones come first."""
        if isinstance(part, str):
            self._texts.append(part)
            return
        for key in _CODES:
            code = part.get(key)
            if key == "status_code" and type(code) is int:
                code = _MINIMAX.get(code, code)
            if status := status_given(code):
                self._status = status if self._status in (None, *_VAGUE) else self._status
            elif isinstance(code, str) and not _is_fine(code):
                self._code = self._code or code
        if isinstance(part.get("param"), str):
            self._param = self._param or part["param"]
        for key in _TYPES:
            if isinstance(part.get(key), str) and part[key] not in ("", "error"):
                self._type = self._type or part[key]
        self._texts += [
            text for key in (*_TEXTS, *BESIDE) if isinstance(text := part.get(key), str) and nested(text) is None
        ]

    def plain(self) -> dict[str, Any]:
        """It in the form of OpenAI's error object."""
        names = [name for name in (self._code, self._type) if name]
        return {
            "code": self._status or self._code,
            "type": (self._code or self._type) if self._status else self._type,
            "param": self._param,
            "message": " ".join([*self._texts, *names])[:_LONGEST_TEXT],
        }
