"""The chunks of a streamed reply, put together again."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    """Puts the chunks of a streamed reply together again."""

    def __init__(self) -> None:
        self._message: Message = {"role": "assistant"}
        self._texts: dict[str, list[str]] = {}
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
                for part in value or ():
                    _merge_tool_call(self._tool_calls, part)
            elif isinstance(value, str) and key != "role":
                self._texts.setdefault(key, []).append(value)
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
        message = {**self._message, "content": None, **{key: "".join(v) for key, v in self._texts.items()}}
        if self._tool_calls:
            calls = [self._tool_calls[index] for index in sorted(self._tool_calls)]
            message["tool_calls"] = [{"id": f"call_{number}", **call} for number, call in enumerate(calls)]
        logprobs = {"content": self._logprobs} if self._logprobs else None
        return Completion(message, self._finish_reason, self._usage or estimate, logprobs)


def _merge_tool_call(calls: dict[int, Message], part: Message) -> None:
    index = part.get("index")
    if index is None:  # some providers leave it out: a call with an id is the next one
        index = max(calls) if calls and not part.get("id") else len(calls)
    call = calls.setdefault(index, {"type": "function", "function": {"name": "", "arguments": ""}})
    call |= {key: value for key, value in part.items() if key not in ("index", "function") and value}
    function = part.get("function") or {}
    for key in ("name", "arguments"):
        call["function"][key] += function.get(key) or ""
