"""The chunks of a streamed reply, put together again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mollm.calling.base import Chunk, Completion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mollm.types import Message, Usage


async def collected(chunks: AsyncIterator[Chunk]) -> Completion:
    """Read a streamed reply to its end, for a call that wants it whole."""
    reply = StreamedReply()
    async for chunk in chunks:
        reply.add(chunk)
    return reply.completion(None)


class StreamedReply:
    """Puts the chunks of a streamed reply together again, in the form that `shapes` gives them."""

    def __init__(self) -> None:
        self._message: Message = {"role": "assistant"}
        self._texts: dict[str, list[str]] = {}
        self._parts: list[Any] = []
        self._tool_calls: dict[int, Message] = {}
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._logprobs: list[object] = []

    @property
    def text(self) -> str:
        """The content so far."""
        return "".join(self._texts.get("content", ()))

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk."""
        for key, value in chunk.delta.items():
            if key == "tool_calls":
                for part in value:
                    _merge_tool_call(self._tool_calls, part)
            elif isinstance(value, str) and key != "role":
                self._texts.setdefault(key, []).append(value)
            elif key == "content" and isinstance(value, list):
                self._end_text()
                self._parts += value
            elif isinstance(value, list):
                self._message[key] = [*self._message.get(key, ()), *value]
            elif value is not None:
                self._message[key] = value
        self._finish_reason = chunk.finish_reason or self._finish_reason
        self._usage = chunk.usage or self._usage
        if isinstance(chunk.logprobs, dict) and isinstance(chunk.logprobs.get("content"), list):
            self._logprobs.extend(chunk.logprobs["content"])

    def completion(self, estimate: Usage | None) -> Completion:
        """The whole reply; `estimate` stands in for a usage that did not come, if it is wanted."""
        if self._parts:
            self._end_text()
        message = {**self._message, "content": self._parts or None}
        message |= {key: "".join(pieces) for key, pieces in self._texts.items()}
        if self._tool_calls:
            message["tool_calls"] = [self._tool_calls[index] for index in sorted(self._tool_calls)]
        logprobs = {"content": self._logprobs} if self._logprobs else None
        return Completion(message, self._finish_reason, self._usage or estimate, logprobs)

    def _end_text(self) -> None:
        # Text and images stay in their order.
        if text := "".join(self._texts.pop("content", ())):
            self._parts.append({"type": "text", "text": text})


def _merge_tool_call(calls: dict[int, Message], part: Message) -> None:
    call = calls.setdefault(part["index"], {})
    for key, value in part.items():
        if key in ("function", "custom"):
            called = call.setdefault(key, {})
            for name, piece in value.items():
                called[name] = called.get(name, "") + piece
        elif key != "index":
            call[key] = value
