"""Texts that are too long for a window: cut so that each keeps its share, and conversations by what tools brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mollm.loops import all_of
from mollm.messages import BYTES_PER_TOKEN_AT_LEAST, IMAGE_TOKENS, RESULTS, question_of
from mollm.transcript import without_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mollm.calling.calls import Facts
    from mollm.types import Message

TOKENS_FOR_TEMPLATE = 64
"""Room left in a window for role marks and separators of a chat template."""
SHORTENED = " [...]"
_ROUNDS = 8
"""Of cutting: what is cut may have fewer bytes than the rest."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who is to read a conversation."""

    name: str
    llm: Facts
    limit: int | None
    """Most tokens of its reply; None: the LLM's own limit."""
    beside: int = 0
    """Tokens that it is sent beside the conversation."""

    async def room(self) -> int | None:
        """Return the tokens that a conversation may have; None if nobody knows."""
        window = await self.llm.known_window()
        return window - self._taken - self.beside if window else None

    async def assumed_room(self) -> int:
        """Like `room`, but in the window that is assumed where nobody knows it.

        A caller whose tools alone would fill that one knows that it is larger, so what is beside does not count there.
        """
        room = await self.room()
        return await self.llm.context_window() - self._taken if room is None else room

    @property
    def _taken(self) -> int:
        return (self.limit or self.llm.defaults.max_tokens or 0) + TOKENS_FOR_TEMPLATE


async def fitted(messages: Sequence[Message], readers: Sequence[Reader]) -> dict[str, tuple[Message, ...]]:
    """Return the conversation as text, shortened, for each reader whose window is known and too small for all of it.

    What tools brought is cut, and what they were called with; what was said stays whole, even if it is too long.
    """
    if all(message.get("role") not in RESULTS for message in messages):
        return {}
    needed, found = _tokens(without_tools(messages)), {}
    rooms = await all_of([reader.room() for reader in readers])
    for reader, room in zip(readers, rooms, strict=True):
        if room is not None and needed > room:
            found[reader.name] = cut_to(messages, room)
    return found


def cut_to(messages: Sequence[Message], room: int) -> tuple[Message, ...]:
    """Return a conversation as text of at most `room` tokens, as far as results and arguments of tools can be cut."""
    plain = without_tools(messages)
    texts: list[str] = []

    def note(text: str) -> str:
        texts.append(text)
        return text

    for message in messages:
        _with_texts(message, note)
    short, allowed = texts, sum(map(len, texts))
    for _ in range(_ROUNDS):
        over, characters = _tokens(plain) - room, sum(map(len, short))
        if over <= 0 or not characters:
            break
        width = sum(len(text.encode("utf-8", "replace")) for text in short) / characters
        # Short texts may grow by what marks them as cut, which is no reason to allow more than before.
        allowed = min(allowed, characters) - int(over * BYTES_PER_TOKEN_AT_LEAST / width) - 1
        short = shorten(texts, allowed)
        left = iter(short)
        plain = without_tools([_with_texts(message, lambda _: next(left)) for message in messages])  # noqa: B023
    return plain


def _tokens(plain: Sequence[Message]) -> int:
    question = question_of(plain)
    return question.tokens + question.images * IMAGE_TOKENS


def _with_texts(message: Message, change: Callable[[str], str]) -> Message:
    """The message with the texts of a tool's result, or the arguments of calls, changed."""
    if message.get("role") in RESULTS:
        content = message.get("content")
        if isinstance(content, str):
            return {**message, "content": change(content)}
        return (
            {**message, "content": [_part(part, change) for part in content]} if isinstance(content, list) else message
        )
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message = {**message, "tool_calls": [_call(call, change) for call in calls]}
    if isinstance(message.get("function_call"), dict):
        message = {**message, "function_call": _function(message["function_call"], change)}
    return message


def _part(part: Any, change: Callable[[str], str]) -> Any:
    if isinstance(part, str):
        return change(part)
    is_text = isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    return {**part, "text": change(part["text"])} if is_text else part


def _call(call: Any, change: Callable[[str], str]) -> Any:
    if not isinstance(call, dict):
        return call
    kinds = [kind for kind in ("function", "custom") if isinstance(call.get(kind), dict)]
    return {**call, **{kind: _function(call[kind], change) for kind in kinds}}


def _function(function: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    names = [name for name in ("arguments", "input") if isinstance(function.get(name), str)]
    return {**function, **{name: change(function[name]) for name in names}}


def shorten(texts: Sequence[str], room: int) -> list[str]:
    """Shorten `texts` to `room` characters together.

    Every text gets the same share; what a short one leaves unused goes to the longer ones; a text that is longer
    than its share is cut at the end and marked with `SHORTENED`.
    """
    shares = dict.fromkeys(range(len(texts)), 0)
    left = max(0, room)
    for place, index in enumerate(sorted(shares, key=lambda i: len(texts[i]))):
        shares[index] = min(len(texts[index]), left // (len(texts) - place))
        left -= shares[index]
    return [
        text if shares[i] >= len(text) else text[: max(0, shares[i] - len(SHORTENED))] + SHORTENED
        for i, text in enumerate(texts)
    ]
