"""JSON as upstreams write it: read strictly, and where that fails, for what it plainly means.

Forgiven are things that change no word of an answer: a byte order mark, control characters inside strings, numbers
that are not finite, halves of characters, another encoding than UTF-8. Anything else is not JSON.
"""

from __future__ import annotations

import codecs
import json
import re
from itertools import pairwise
from typing import Any

LEAST_LOGPROB = -9999.0
"""What OpenAI writes for the logarithm of a probability of zero, which JSON has no number for."""

MOST_BYTES = 1024 * 1024
"""In a document of more, bytes that are no UTF-8 become U+FFFD: to find out what they are takes time for each."""

MOST_STRINGS = 16
"""Strings, each in another, that are taken apart."""

_BYTE = 0x10FF00
"""A byte that is no UTF-8 is read as the private character with this and its own number, until it is known what it
belongs to: half a character in this piece of a stream and half in the next, or a letter in another encoding."""
_TO_BYTES = {0xDC00 + byte: _BYTE + byte for byte in range(128, 256)}
_FIRST, _LAST = chr(_BYTE + 128), chr(_BYTE + 255)
_BYTES = re.compile(f"[{_FIRST}-{_LAST}]+")
_BROKEN = re.compile(f"[{_FIRST}-{_LAST}\ud800-\udfff]+")
_TAIL = re.compile(f"[{_FIRST}-{_LAST}]+\\Z")
_BEGUN = re.compile(b"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\\Z")
"""A character of UTF-8 that is cut off."""
_NOT_FINITE = object()
_BARE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[+-]?\b(?:nan|inf(?:inity)?)\b', re.IGNORECASE | re.DOTALL)
"""A string, which may not end, or a number that is not finite, as C and Python print it. The work is linear: nothing is
tried again."""


def read(raw: bytes, charset: str | None = None) -> Any:
    """Read a JSON document that `orjson.loads` refuses.

    Args:
        raw: The document.
        charset: What its content type says; asked only where the bytes are not UTF-8.

    Returns:
        The document; its strings may hold halves of characters, which `Halves` joins.

    Raises:
        ValueError: It is no JSON document.
    """
    seen: list[str] = []

    def constant(name: str) -> Any:
        seen.append(name)
        return _NOT_FINITE

    def number(text: str) -> Any:
        value = float(text)
        return constant(text) if value in (float("inf"), float("-inf")) else value

    try:
        text = _BARE.sub(_constant, _decoded(raw, charset).rstrip("\0"))
        found = json.loads(text, strict=False, parse_constant=constant, parse_float=number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return _finite(found, None) if seen else found


def nested(text: Any) -> Any:
    """The JSON object or list that a string consists of, also one in a string in a string; None where it does not."""
    for _ in range(MOST_STRINGS):
        if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "[", '"'):
            break
        try:
            text = json.loads(text, strict=False)
        except (ValueError, RecursionError):
            return None
    return text if isinstance(text, dict | list) else None


def _constant(found: re.Match[str]) -> str:
    word = found[0]
    return word if word[0] == '"' else "NaN"


def _decoded(raw: bytes, charset: str | None) -> str:
    encoding = json.detect_encoding(raw)  # UTF-16 and UTF-32 are told by their zeros
    if not encoding.startswith("utf-8"):
        return raw.decode(encoding, "replace").removeprefix("\ufeff")
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _decoded_as(raw, charset)


def _decoded_as(raw: bytes, charset: str | None) -> str:
    try:
        if charset and codecs.lookup(charset).name not in ("utf-8", "ascii", "iso8859-1"):
            return raw.decode(charset)
    except (LookupError, ValueError):
        pass  # a charset that nobody knows, or that it is not in either
    if len(raw) > MOST_BYTES:
        return raw.decode("utf-8", "replace")
    return raw.decode("utf-8", "surrogateescape").translate(_TO_BYTES)


def _finite(value: Any, least: float | None) -> Any:
    """Replace what is no finite number: by null, and below `logprobs`, where clients want a number, by `least`."""
    if value is _NOT_FINITE:
        return least
    if isinstance(value, dict):
        return {key: _finite(v, LEAST_LOGPROB if key == "logprobs" else least) for key, v in value.items()}
    return [_finite(v, least) for v in value] if isinstance(value, list) else value


class Halves:
    """Joins the halves of characters that a stream cut in two, field by field.

    Servers that send text token by token cut characters of several bytes, as `\\ud83d` and `\\ude00`, or as bytes
    that are no UTF-8 alone. Half a character that never gets its other half becomes U+FFFD; a single byte that
    cannot be half of one is a letter in an older encoding (Windows-1252).
    """

    def __init__(self) -> None:
        self._held: dict[tuple[Any, ...], str] = {}

    @property
    def are_held(self) -> bool:
        """Whether something waits for its other half."""
        return bool(self._held)

    def join(self, message: dict[str, Any], *, is_last: bool = False) -> dict[str, Any]:
        """Return a piece of a message with whole characters alone; what is cut off at its end waits for the next.

        Args:
            message: A message or a piece of one, its fields at any depth.
            is_last: Nothing more comes: what still waits is added to it.
        """
        joined: dict[str, Any] = self._join(message, (), is_last)
        if is_last:
            for path, half in self._held.items():
                _put(joined, path, whole(half))
            self._held.clear()
        return joined

    def _join(self, value: Any, path: tuple[Any, ...], is_last: bool) -> Any:
        if isinstance(value, str):
            return self._text(value, path, is_last)
        if isinstance(value, dict):
            return {whole(key): self._join(v, (*path, key), is_last) for key, v in value.items()}
        if isinstance(value, list):
            return [self._join(v, (*path, _place(v, i)), is_last) for i, v in enumerate(value)]
        return value

    def _text(self, text: str, path: tuple[Any, ...], is_last: bool) -> str:
        if not text:
            return text
        text = self._held.pop(path, "") + text
        begun = 0 if is_last else _begun(text)
        if begun:
            self._held[path] = text[-begun:]
            text = text[:-begun]
        return whole(text)


def mended(value: Any) -> Any:
    """Return a value whose texts are whole, wherever in it they stand."""
    return Halves().join({"value": value}, is_last=True)["value"]


def whole(text: str) -> str:
    """Put characters together that were sent in halves; a half without its other half becomes U+FFFD."""
    if text.isascii() or not _BROKEN.search(text):
        return text
    text = _BYTES.sub(lambda found: bytes(ord(c) - _BYTE for c in found.group()).decode("utf-8", "mollm.letter"), text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _letter(error: UnicodeError) -> tuple[str, int]:
    """Stand for bytes that are no UTF-8: one is a letter of Windows-1252, several are a character without its end."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    part = error.object[error.start : error.end]
    return part.decode("cp1252", "replace") if len(part) == 1 else "\ufffd", error.end


codecs.register_error("mollm.letter", _letter)


def _begun(text: str) -> int:
    """How much at the end of a text is the beginning of a character, which the next piece may complete."""
    if text[-1] < "\ud800":
        return 0
    if text[-1] < "\udc00":
        return 1
    tail = _TAIL.search(text, max(0, len(text) - 3))
    found = _BEGUN.search(bytes(ord(c) - _BYTE for c in tail.group())) if tail else None
    return len(found.group()) if found else 0


def _place(value: Any, index: int) -> Any:
    """Tool calls and other parts of a list are known by the index they carry."""
    place = value.get("index") if isinstance(value, dict) else None
    return place if isinstance(place, int | str) else index


def _put(message: dict[str, Any], path: tuple[Any, ...], text: str) -> None:
    """Add `text` to the field at `path`, which is made where the piece has none."""
    at: Any = message
    for key, following in pairwise(path):
        missing: Any = {} if isinstance(following, str) else []
        if isinstance(at, list):
            found = next((v for i, v in enumerate(at) if _place(v, i) == key), None)
            if found is None:
                found = {"index": key} if isinstance(key, int) else {}
                at.append(found)
            at = found
        else:
            if not isinstance(at.get(key), type(missing)):
                at[key] = missing
            at = at[key]
    if isinstance(at, dict):
        at[path[-1]] = f"{at.get(path[-1]) or ''}{text}"
