"""Thoughts apart from the text: an LLM's reasoning between tags, and in the fields that providers have for it."""

from __future__ import annotations

import re
from typing import Any

_TAGS = {
    **{
        f"<{name}>": f"</{name}>"
        for name in ("think", "thinking", "thought", "reasoning", "seed:think", "longcat_think")
    },
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|start_thinking|>": "<|end_thinking|>",
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
}
"""Opening tag to closing tag, in lower case, as the templates of reasoning models have them."""
_STRAY = "</think>"
"""The tag that closes what a template opened in the prompt, as those of DeepSeek and Qwen do."""
_LONGEST = max(map(len, _TAGS))
# Not by lower case, which changes the length of some texts.
_ANY_OPENING = re.compile("|".join(map(re.escape, _TAGS)), re.IGNORECASE)
_CLOSINGS = {tag: re.compile(re.escape(tag), re.IGNORECASE) for tag in _TAGS.values()}
_MAY_BEGIN = re.compile(r"\s*[<\[◁]")
_QUOTES = frozenset("`'\"\u2018\u2019\u201c\u201d«»")

_MOST_BLANK = 1024
"""Characters of white space that wait for what follows; each piece that comes is looked at with what waits."""

PLAIN_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_text", "thinking_content")
FIELDS = (*PLAIN_FIELDS, "reasoning_details", "thinking_blocks")
"""Where providers put thoughts, the most usual first; the last two hold signatures, which they want back."""
_TEXTS = ("thinking", "text", "reasoning", "summary", "content", "reasoning_content")


def may_hold_tags(text: str) -> bool:
    """Say cheaply whether a whole reply may have thoughts in it."""
    return _MAY_BEGIN.match(text) is not None or ("</" in text and _CLOSINGS[_STRAY].search(text) is not None)


def thought_in(value: Any) -> str:
    """The text of a thought: a string, a block, or a list of them; what is encrypted has none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(thought_in, value))
    if isinstance(value, dict):
        return next((thought for key in _TEXTS if (thought := thought_in(value.get(key)))), "")
    return ""


class ThinkTags:
    """Takes thoughts between tags out of a text that comes in pieces, cut anywhere.

    They count only at the beginning of a reply, one block after another: further on, tags are something that the
    text speaks of. What is not closed is thought to its end. In a whole reply, a closing tag alone ends a thought
    that began in the prompt, unless it stands in code or quotes. In a stream that cannot be known in time, so a text
    that has begun stays one.

    Attributes:
        is_over: The text has begun; all that follows is text.
    """

    def __init__(self, *, is_whole: bool = False) -> None:
        """Begin; `is_whole`: the reply comes in one piece."""
        self.is_over = False
        self._is_whole = is_whole
        self._held = ""
        self._closing: str | None = None
        self._is_after_thought = False
        self._has_thought = False

    def feed(self, piece: str) -> tuple[str, str]:
        """Take the next piece; returns what is certain by now of the thought, and of the text."""
        if self.is_over:
            return "", piece
        text = self._held + piece
        self._held = ""
        if self._is_whole and (place := _stray_tag(text)) is not None:
            self._is_after_thought = self.is_over = True
            return text[:place].strip(), text[place + len(_STRAY) :].lstrip()
        thought = ""
        while not self.is_over:
            if self._closing is None:
                opened = self._open(text)
                if opened is None:
                    break
                text = opened
            else:
                found, rest = self._think(text)
                thought += found
                if rest is None:
                    return thought, ""
                text = rest
        return thought, text if self.is_over else ""

    def rest(self) -> tuple[str, str]:
        """What was held back, at the end of the reply."""
        held, self._held, self.is_over = self._held, "", True
        if self._closing is None:
            return "", "" if self._is_after_thought and not held.strip() else held
        return (held.rstrip() if self._has_thought else held.strip()), ""

    def _open(self, text: str) -> str | None:
        """Look for an opening tag at the beginning; None: more has to come first."""
        start = text.lstrip()
        lower = start[:_LONGEST].lower()
        for opening, closing in _TAGS.items():
            if lower.startswith(opening):
                self._closing, self._has_thought = closing, False
                return start[len(opening) :]
        if lower.startswith(_STRAY):  # of a thought that was empty, or came in a field of its own
            self._is_after_thought = True
            return start[len(_STRAY) :]
        is_blank_for_long = not lower and len(text) > _MOST_BLANK
        if not is_blank_for_long and any(tag.startswith(lower) for tag in (*_TAGS, _STRAY)):  # also where it is empty
            self._held = start if self._is_after_thought else text
            return None
        self.is_over = True
        return start if self._is_after_thought else text

    def _think(self, text: str) -> tuple[str, str | None]:
        """Look for the closing tag; returns the thought up to it, and the text after it, or None without one."""
        closing = self._closing or ""
        if not self._has_thought:
            text = text.lstrip()
        if end := _CLOSINGS[closing].search(text):
            self._closing, self._is_after_thought = None, True
            return text[: end.start()].rstrip(), text[end.end() :]
        # White space and what may be the beginning of the tag wait for what follows.
        tail = text[-len(closing) :].lower()
        cut = next((n for n in range(min(len(tail), len(closing) - 1), 0, -1) if closing.startswith(tail[-n:])), 0)
        thought = text[: len(text) - cut].rstrip()
        if len(text) - len(thought) > _MOST_BLANK:
            thought = text[: len(text) - cut]
        self._held = text[len(thought) :]
        self._has_thought = self._has_thought or bool(thought)
        return thought, None


def _stray_tag(text: str) -> int | None:
    """Where a closing tag stands that nothing opened; None where there is none, or it is spoken of."""
    found = list(_CLOSINGS[_STRAY].finditer(text))
    if len(found) != 1 or _ANY_OPENING.search(text):
        return None
    before, after = text[: found[0].start()], text[found[0].end() :]
    is_spoken_of = not _QUOTES.isdisjoint(before[-1:] + after[:1]) or before.count("```") % 2
    return None if is_spoken_of else len(before)
