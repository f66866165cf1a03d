"""Replies in one form, whoever sent them: what stands behind this module needs no special cases.

- `content` is text. It is a list only where something else than text is in it, such as an image.
- Thoughts are `reasoning_content`, whether they came in another field, in parts or between tags.
- `tool_calls` are OpenAI's, whole or as deltas that every reader puts together rightly.
- The finish reason is OpenAI's; where a reply calls tools and says that it stopped, it is `tool_calls`.
- Null stands nowhere. What has no place here stays as it is.

What cannot be understood is a failure, never an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mollm.calling.base import Chunk, Completion
from mollm.calling.finish import finish_reason
from mollm.calling.parts import Parts
from mollm.calling.replies import check_reply
from mollm.calling.streamed import StreamedReply
from mollm.calling.thoughts import FIELDS, PLAIN_FIELDS, ThinkTags, may_hold_tags, thought_in
from mollm.calling.toolcalls import ToolCalls, is_sound
from mollm.messages import text_of
from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from mollm.calling.base import Request
    from mollm.types import Message

_THOUGHTS = frozenset(FIELDS)
_REPLACED = frozenset(("content", "tool_calls", "function_call"))
_ODD = _THOUGHTS | {"tool_calls", "function_call"}
_LEGACY = "function_call"
_STOPPED = frozenset((None, "stop", "function_call"))


def whole(request: Request, completion: Completion, *, moves_thoughts: bool = True) -> Completion:
    """Bring a whole reply into one form.

    Args:
        request: What it replies to.
        completion: As a client of an LLM returns it.
        moves_thoughts: Thoughts between tags are taken out of the text.

    Raises:
        LLMError: It cannot be understood, or its finish reason tells of a failure.
    """
    message, reason = completion.message, finish_reason(completion.finish_reason)
    content = message.get("content")
    is_plain = type(content) is str and not (moves_thoughts and may_hold_tags(content))
    if is_plain and reason == completion.finish_reason and _ODD.isdisjoint(message):
        return completion
    if not ((is_plain or content is None) and _is_sound(message)):
        shapes = Shapes(request, moves_thoughts=moves_thoughts, is_whole=True)
        reply = StreamedReply()
        reply.add(shapes.piece(Chunk(message)))
        reply.add(shapes.rest())
        message = reply.completion(Usage()).message
    if message.get("tool_calls") and request.settings.tools and reason in _STOPPED:
        reason = "tool_calls"
    return Completion(message, reason, completion.usage, completion.logprobs)


async def streamed(
    request: Request, chunks: AsyncIterator[Chunk], *, moves_thoughts: bool = True
) -> AsyncGenerator[Chunk, None]:
    """Bring a streamed reply into one form: one chunk for each that comes, some of them empty, and what is left.

    Raises:
        ProviderFailed: It cannot be understood.
        EmptyReply: It ended without text or tool calls.
        Refused: It ended with a refusal alone.
    """
    shapes = Shapes(request, moves_thoughts=moves_thoughts)
    try:
        async for chunk in chunks:
            # A plain piece of text, as nearly all are, costs these looks at it and nothing else.
            delta = chunk.delta
            is_text = shapes.has_text and type(delta.get("content")) is str and not chunk.finish_reason
            if is_text and (len(delta) == 1 or (len(delta) == 2 and "role" in delta)):
                yield chunk
            else:
                yield shapes.piece(chunk)
    finally:
        if close := getattr(chunks, "aclose", None):
            await close()
    rest = shapes.rest()
    if rest.delta or rest.finish_reason:
        yield rest
    shapes.check()


class Shapes:
    """Brings the pieces of one reply into one form.

    Attributes:
        has_text: Text has begun; a piece of text needs no further look.
    """

    def __init__(self, request: Request, *, moves_thoughts: bool = True, is_whole: bool = False) -> None:
        """Begin a reply to `request`; `is_whole`: it comes in one piece."""
        self.has_text = False
        self._request = request
        self._tags = ThinkTags(is_whole=is_whole) if moves_thoughts else None
        self._calls: ToolCalls | None = None
        self._calls_tools = False
        self._thoughts_in: str | None = None
        self._has_thought = False
        self._is_refused = False
        self._finish_reason: str | None = None

    def piece(self, chunk: Chunk) -> Chunk:
        """Take the next piece; what cannot be told yet is held back. Raises `ProviderFailed`."""
        if self._is_next_thought(chunk):
            return chunk
        delta = self._delta(chunk.delta)
        if chunk.logprobs is not None and not delta:
            delta["content"] = ""  # what is empty is shown to nobody
        reason: str | None = finish_reason(chunk.finish_reason)
        if reason is not None:
            reason = self._finish_reason = self._reason(reason)
        return Chunk(delta, reason, chunk.usage, chunk.logprobs)

    def rest(self) -> Chunk:
        """What was held back, at the end. Raises `ProviderFailed`."""
        delta: Message = {}
        if self._tags and not self._tags.is_over:
            self._put(delta, *self._tags.rest())
        if not self._calls:
            return Chunk(delta)
        if calls := self._calls.rest():
            delta["tool_calls"] = calls
        reason = self._reason(self._finish_reason)
        return Chunk(delta, None if reason == self._finish_reason else reason)

    def check(self) -> None:
        """Raise `EmptyReply` or `Refused` where all that came is no reply."""
        if not self.has_text:
            message: Message = {"tool_calls": bool(self._calls), "refusal": self._is_refused}
            check_reply(self._request, self._finish_reason, message | {"reasoning_content": self._has_thought})

    def _is_next_thought(self, chunk: Chunk) -> bool:
        """Whether a chunk goes on with a thought in the usual field and holds nothing else; there may be thousands."""
        delta = chunk.delta
        is_alone = self._thoughts_in == FIELDS[0] and len(delta) == 1 and chunk.finish_reason is None
        return is_alone and type(delta.get(FIELDS[0])) is str

    def _delta(self, given: Message) -> Message:
        delta = {key: value for key, value in given.items() if value is not None and key not in _REPLACED}
        content, calls = given.get("content"), given.get("tool_calls") or []
        thought = text = ""
        if not _THOUGHTS.isdisjoint(given):
            thought = self._thought(given, delta)
        if isinstance(content, str):
            text = content
        elif content is not None:
            parts = Parts.read(content)
            thought, text = thought + parts.thought, parts.text
            delta |= parts.fields
            self.has_text = self.has_text or bool(text_of(parts.fields.get("content")).strip())
            if parts.calls:
                calls = [*calls, *parts.calls] if isinstance(calls, list) else calls
        if text:
            if self._tags and not self._tags.is_over:
                more, text = self._tags.feed(text)
                thought += more
        elif content == "":
            delta["content"] = content
        self._put(delta, thought, text)
        if not calls and (call := given.get("function_call")) and not self._calls_tools:
            calls = [{"index": _LEGACY, "function": call}]
        elif calls:
            self._calls_tools = True
        if calls:
            self._call(delta, calls)
        self._is_refused = self._is_refused or bool(delta.get("refusal"))
        return delta

    def _thought(self, given: Message, delta: Message) -> str:
        """The thought in a delta, once, however many fields hold it; fields that hold nothing else are left out."""
        found = ""
        for name in FIELDS:
            value = given.get(name)
            thought = thought_in(value)
            if name in PLAIN_FIELDS and (thought or value in ("", [])):
                delta.pop(name, None)
            if thought and not found and self._thoughts_in in (None, name):
                found, self._thoughts_in = thought, name
        return found

    def _put(self, delta: Message, thought: str, text: str) -> None:
        if thought:
            delta["reasoning_content"] = thought
            self._has_thought = True
        if text:
            shown = delta.get("content")
            delta["content"] = text if shown is None else shown
            self.has_text = self.has_text or not text.isspace()

    def _call(self, delta: Message, calls: Any) -> None:
        if self._calls is None:
            tools = self._request.settings.tools or ()
            self._calls = ToolCalls({_name_of(tool) for tool in tools} - {""})
        if found := self._calls.add(calls):
            delta["tool_calls"] = found

    def _reason(self, reason: str | None) -> str | None:
        is_calling = bool(self._calls) and bool(self._request.settings.tools)
        return "tool_calls" if is_calling and reason in _STOPPED else reason


def _is_sound(message: Message) -> bool:
    """Whether nothing is odd about it but thoughts and tool calls, and these are as they should be."""
    calls, thought = message.get("tool_calls"), message.get("reasoning_content")
    if _ODD & message.keys() - {"tool_calls", "reasoning_content"}:
        return False
    if "reasoning_content" in message and not (thought and isinstance(thought, str)):
        return False
    return "tool_calls" not in message or (bool(calls) and is_sound(calls))


def _name_of(tool: Any) -> str:
    function = tool.get("function") or tool.get("custom") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""
