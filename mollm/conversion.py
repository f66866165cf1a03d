"""Conversion between OpenAI's messages and LangChain's.

LangChain's messages cannot hold everything that OpenAI's can: unknown fields, the order of parts, malformed tool
calls. `to_langchain` returns what would be lost, as plain data by message id, and `to_openai` restores it, so that
watching through LangChain or LangGraph never changes what an LLM receives.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    RemoveMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.utils import convert_to_messages, convert_to_openai_messages

from mollm.errors import RequestError
from mollm.messages import ROLES, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mollm.types import Message

T = TypeVar("T")

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

KEPT = ("reasoning_content", "reasoning", "provider_specific_fields", "function_call", "audio")
"""Fields of an assistant's message that LangChain keeps under `additional_kwargs`."""

_THINKING = frozenset({"thinking", "redacted_thinking"})
"""Blocks that Anthropic wants back with the tool calls they led to; LiteLLM's name for them is kept."""

_BESIDE_TEXT = _THINKING | {
    "reasoning", "reasoning_content", "tool_use", "input_json_delta", "tool_call", "tool_call_chunk",
    "function_call",
}  # fmt: skip
"""Blocks of an assistant's content that have a field of their own in OpenAI's form."""


def to_langchain(messages: Sequence[Message]) -> tuple[list[BaseMessage], dict[str, Message]]:
    """Make LangChain messages, each with an id, and keep beside them what they cannot hold.

    Returns:
        The messages, and by id the OpenAI message of each that would not come back as it is.
    """
    converted = [shown_as(message) for message in messages]
    beside = {}
    for message, found in zip(messages, converted, strict=True):
        found.id = f"mollm-{uuid.uuid4().hex}"
        if not comes_back(found, message):
            beside[found.id] = message
    return converted, beside


def shown_as(message: Message) -> BaseMessage:
    """The LangChain message that stands for `message`; whatever LangChain has no form for is text."""
    # What LangChain has no form for, it is shown as text: it only looks on.
    try:
        found = from_openai([message])[0]
    except RequestError:
        return HumanMessage(content=text_of(message.get("content")))
    # One that asks LangGraph to forget a message would not be kept by it.
    return HumanMessage(content=text_of(message.get("content"))) if isinstance(found, RemoveMessage) else found


def comes_back(converted: BaseMessage, message: Message) -> bool:
    """`converted` is turned back into `message` and nothing else, except for the name of who said it."""
    if converted.name and not message.get("name"):
        converted = converted.model_copy(update={"name": None})
    try:
        # In the same order too: servers reuse the beginning of a prompt that is byte for byte the same.
        return repr(to_openai([converted])) == repr([message])
    except RequestError:
        return False


def from_state(messages: Iterable[Any], beside: Mapping[str, Message]) -> list[Message]:
    """Undo `to_langchain`; a message that was edited meanwhile counts as it stands now.

    Raises:
        RequestError: Something is not a message.
    """
    found: list[Message] = []
    for number, message in enumerate(messages, 1):
        plain = beside.get(getattr(message, "id", None) or "")
        if plain is not None and _is_unedited(message, shown_as(plain)):
            found.append(plain)
        else:
            found += _read(_to_openai, message, number)
    return found


_ADDED = {"id", "name", "usage_metadata", "response_metadata"}
"""Fields that say something about a message, and that an answer gets on top of what its LLM wrote."""


def _is_unedited(message: BaseMessage, shown: BaseMessage) -> bool:
    return bool(message.model_dump(exclude=_ADDED) == shown.model_dump(exclude=_ADDED))


def to_openai(messages: Iterable[Any]) -> list[Message]:
    """Bring LangChain messages, `("user", "hi")` pairs, strings and dictionaries into OpenAI's form.

    What is a dictionary in that form already comes back as it is.

    Raises:
        RequestError: Something is not a message.
    """
    read = [_read(_to_openai, message, number) for number, message in enumerate(messages, 1)]
    return [plain for one in read for plain in one]  # tool results in an Anthropic message become their own


def from_openai(messages: Iterable[Message]) -> list[BaseMessage]:
    """Make LangChain messages of OpenAI's; fields LangChain has no place for go to `additional_kwargs`.

    Raises:
        RequestError: Something is not a message.
    """
    return [_read(_from_openai, message, number) for number, message in enumerate(messages, 1)]


def _read(convert: Callable[[Any], T], message: Any, number: int) -> T:
    try:
        return convert(message)
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise RequestError(f"message {number} is not a chat message in any known form") from error


def _to_openai(message: Any) -> list[Message]:
    if isinstance(message, dict) and message.get("role") in ROLES:
        return [dict(message)]
    if type(message) is HumanMessage and not message.name and not message.additional_kwargs:
        content = message.content
        if isinstance(content, str):  # most messages; LangChain takes 30 times as long
            return [{"role": "user", "content": content}]
    (converted,) = convert_to_messages([message])
    if isinstance(converted, AIMessage):
        return [assistant_message(converted)]
    if converted.name and not isinstance(converted, ToolMessage):
        converted = converted.model_copy(update={"name": sent_name(converted.name)})
    return _written([converted], "block" if isinstance(converted.content, list) else "string")


def sent_name(name: str | None) -> str | None:
    """Write the name of who speaks with the characters that every provider takes; None if none is left."""
    if not name or _NAME.fullmatch(name):
        return name or None
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", name).strip("_")[:64] or None


def _written(messages: list[BaseMessage], text_format: Literal["string", "block"]) -> list[Message]:
    written = convert_to_openai_messages(messages, text_format=text_format)
    return written if isinstance(written, list) else [written]


def assistant_message(message: AIMessage) -> Message:
    """Write an assistant's message in OpenAI's form, with everything LangChain keeps elsewhere."""
    plain: Message = {"role": "assistant", "content": _content(message.content)}
    calls = [
        _call(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False)) for call in message.tool_calls
    ]
    calls += [_call(call["id"], call["name"], call["args"] or "") for call in message.invalid_tool_calls]
    if calls:
        plain["tool_calls"] = calls
        plain["content"] = plain["content"] or None
    if name := sent_name(message.name):
        plain["name"] = name
    if reasoning := reasoning_of(message.content):
        plain["reasoning_content"] = reasoning
    if thinking := [block for block in _blocks(message.content) if block.get("type") in _THINKING]:
        plain["thinking_blocks"] = thinking
    kept = (*KEPT, "refusal")
    return {**plain, **{name: message.additional_kwargs[name] for name in kept if message.additional_kwargs.get(name)}}


def _call(call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _content(content: Any) -> Any:
    """Join the text; keep a list only where something else than text is in it."""
    rest = [block for block in _blocks(content) if block.get("type") not in _BESIDE_TEXT | {"text"}]
    if not rest:
        return text_of(content)
    shown = [block for block in content if isinstance(block, str) or block.get("type") not in _BESIDE_TEXT]
    return _written([AIMessage(shown)], "block")[0]["content"]


def reasoning_of(content: Any) -> str:
    """Join the reasoning in blocks as OpenAI's Responses API, LangChain, Anthropic and Bedrock write it."""
    pieces: list[Any] = []
    for block in _blocks(content):
        match block:
            case {"type": "reasoning", "summary": [*summary]}:
                pieces += [part.get("text") for part in summary]
            case {"type": "reasoning", "reasoning": piece} | {"type": "thinking", "thinking": piece}:
                pieces.append(piece)
            case {"type": "reasoning_content", "reasoning_content": {"text": piece}}:
                pieces.append(piece)
    return "".join(piece for piece in pieces if piece)


def _from_openai(message: Message) -> BaseMessage:
    given = {name: value for name, value in message.items() if value is not None}
    given.setdefault("content", "")
    calls = given.pop("tool_calls", [])
    if thinking := given.pop("thinking_blocks", None):
        text = given["content"]
        given["content"] = [*thinking, *([{"type": "text", "text": text}] if isinstance(text, str) else text)]
    (converted,) = convert_to_messages([given])
    if isinstance(converted, AIMessage):
        # Not by `convert_to_messages`, which fails for a call that an LLM wrote badly.
        for call in calls:
            _add_call(converted, call["id"], call["function"]["name"], call["function"].get("arguments") or "{}")
    return converted


def _add_call(message: AIMessage, call_id: str, name: str, arguments: str) -> None:
    try:
        parsed = json.loads(arguments, strict=False)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        message.tool_calls.append(ToolCall(name=name, args=parsed, id=call_id, type="tool_call"))
        return
    bad = InvalidToolCall(name=name, args=arguments, id=call_id, error=None, type="invalid_tool_call")
    message.invalid_tool_calls.append(bad)
