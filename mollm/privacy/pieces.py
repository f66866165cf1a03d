"""A reply as it comes: nothing is passed on that is cut in the middle of a placeholder, or of a value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mollm.calling.base import Chunk
from mollm.privacy.placeholders import complete

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.privacy.conversations import Change
    from mollm.types import Message

_PLAIN = re.compile(r"(?=[^\W\d_])[^\s\d@:=+_\\-]{1,64}")
"""A word that is part of no value, however it goes on."""
_INTRODUCE = re.compile(r"[A-Z]{1,4}|(?i:.*(?:bearer|basic|key|token|secret|passw|passphrase).*)")
"""Words behind which a value may stand, and groups of letters in an IBAN."""
_BEGIN, _END = "-----BEGIN ", re.compile(r"-----END [^\n-]{0,60}-----")
_LONGEST_WORD = 80


class Tail:
    """One text of a reply: what may still turn out to be part of something is held back."""

    __slots__ = ("_change", "_cut", "_held")

    def __init__(self, cut: Callable[[str, int], int], change: Change | None = None) -> None:
        """Begin a text.

        Args:
            cut: How much of the beginning of a text may be passed on, given how long its last piece is.
            change: Is made to what is passed on.
        """
        self._cut, self._change = cut, change
        self._held = ""

    def feed(self, piece: str) -> str:
        """Take the next piece, and return what may be passed on."""
        text = self._held + piece
        at = self._cut(text, len(piece))
        self._held = text[at:]
        return self._changed(text[:at])

    def rest(self) -> str:
        """What was held back, at the end."""
        text, self._held = self._held, ""
        return self._changed(text)

    def _changed(self, text: str) -> str:
        return self._change(text) if self._change and text else text


def to_the_end(_: str, __: int) -> int:
    """A cut that holds a text back to its end."""
    return 0


def whole_placeholders(text: str, _: int) -> int:
    """A cut behind which no placeholder goes on."""
    return complete(text)


def whole_values(text: str, fresh: int) -> int:
    """A cut behind which no value goes on: at the end of a line, or behind a plain word and a space."""
    over = 0
    while (begun := text.find(_BEGIN, over)) >= 0:
        ended = _END.search(text, begun)
        if ended is None:
            text = text[:begun]
            break
        over = ended.end()
    line = max(over, text.rfind("\n") + 1)
    least = max(line, len(text) - fresh - _LONGEST_WORD)  # what stands before it was looked at when it came
    at = len(text)
    while (at := _space(text, line, at)) > least:
        word = text[max(_space(text, line, at), line - 1) + 1 : at]
        if _PLAIN.fullmatch(word) and not _INTRODUCE.fullmatch(word):
            return at + 1
    return line


def _space(text: str, start: int, end: int) -> int:
    return max(text.rfind(" ", start, end), text.rfind("\t", start, end))


class Pieces:
    """The chunks of one reply, each brought into a form that can be read by itself."""

    def __init__(
        self, text: Callable[[], Tail], json: Callable[[], Tail], whole: Callable[[Message], Message] = dict
    ) -> None:
        """Begin a reply; `text` and `json` begin a text of it, and `whole` changes what does not come in pieces."""
        self._text, self._json, self._whole = text, json, whole
        self._texts: dict[str, Tail] = {}
        self._called: dict[tuple[int, str, str], Tail] = {}

    def piece(self, chunk: Chunk) -> Chunk:
        """Take the next chunk."""
        delta: Message = {}
        for key, value in chunk.delta.items():
            if key == "tool_calls":
                delta[key] = [self._call(call) for call in value]
            elif isinstance(value, str) and key != "role":
                tail = self._texts.get(key) or self._texts.setdefault(key, self._text())
                if (found := tail.feed(value)) or not value:
                    delta[key] = found
            else:
                delta |= self._whole({key: value})
        return Chunk(delta, chunk.finish_reason, chunk.usage, chunk.logprobs)

    def rest(self) -> Chunk | None:
        """What was held back, at the end."""
        delta: Message = {key: rest for key, tail in self._texts.items() if (rest := tail.rest())}
        calls = [
            {"index": index, holder: {name: rest}}
            for (index, holder, name), tail in self._called.items()
            if (rest := tail.rest())
        ]
        if calls:
            delta["tool_calls"] = calls
        return Chunk(delta) if delta else None

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        found = dict(call)
        for holder, name, begin in (("function", "arguments", self._json), ("custom", "input", self._text)):
            value = call.get(holder)
            if isinstance(value, dict) and isinstance(value.get(name), str):
                key = call["index"], holder, name
                tail = self._called.get(key) or self._called.setdefault(key, begin())
                found[holder] = {**value, name: tail.feed(value[name])}
        return found
