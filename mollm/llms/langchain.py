"""Any LangChain chat model as an LLM, and LangChain messages to OpenAI's form and back."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import WeakKeyDictionary

from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall, ToolCall
from langchain_core.messages.utils import convert_to_messages, convert_to_openai_messages
from langchain_core.runnables import RunnableBinding
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import _configure_hooks, tracing_v2_callback_var

from mollm.calling.base import Chunk, Completion, Request, text_of
from mollm.errors import BadRequest, ProviderFailed, RequestError
from mollm.types import Message, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

    from langchain_core.messages import AIMessageChunk
    from langchain_core.runnables import Runnable

    Model = Runnable[Any, Any]
    """A chat model, or one that was bound, given fallbacks, and the like."""

T = TypeVar("T")

_OPENAI_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})

_KEPT = ("reasoning_content", "reasoning", "provider_specific_fields", "function_call", "audio")
"""Fields of an assistant's message that LangChain keeps under `additional_kwargs`."""

_THINKING = frozenset({"thinking", "redacted_thinking"})
"""Blocks that Anthropic wants back with the tool calls they led to; LiteLLM's name for them is kept."""

_BESIDE_TEXT = _THINKING | {
    "reasoning", "reasoning_content", "tool_use", "input_json_delta", "tool_call", "tool_call_chunk",
    "function_call",
}  # fmt: skip
"""Blocks of an assistant's content that have a field of their own in OpenAI's form."""

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "safety": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "refusal": "content_filter",
}
"""What Anthropic, Bedrock, Gemini and Mistral call OpenAI's finish reasons, in lower case."""


class LangChainLLM:
    """An LLM behind LangChain's chat model interface; its retries, caches and callbacks stay as its maker set them."""

    def __init__(self, llm: Model | _ChatOpenAIPerLoop) -> None:
        self._llm = llm

    async def complete(self, request: Request) -> Completion:
        """Return the whole reply."""
        model, settings = _prepare(await self._model(), request)
        with _alone():
            reply = await model.ainvoke(from_openai(request.messages), {"callbacks": []}, **settings)
        if not isinstance(reply, AIMessage):
            raise ProviderFailed(f"the LangChain model returned {type(reply).__name__}, not a message")
        message = _assistant(reply)
        return Completion(
            message=message,
            finish_reason=_finish_reason(reply) or ("tool_calls" if message.get("tool_calls") else "stop"),
            usage=_usage(reply),
            logprobs=reply.response_metadata.get("logprobs"),
        )

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Yield the reply piece by piece; closing the iterator closes the connection.

        Raises:
            ProviderFailed: The reply of an OpenAI model ended without a finish reason, which its SDK lets pass.
        """
        model, settings = _prepare(await self._model(), request)
        pieces = model.astream(from_openai(request.messages), {"callbacks": []}, **settings)
        delta = _Delta()
        async with aclosing(pieces):  # type: ignore[type-var] # every astream is a generator
            while True:
                with _alone():
                    piece = await anext(pieces, None)
                if piece is None:
                    break
                chunk = delta.chunk(piece)
                if chunk != Chunk():
                    yield chunk
        if not delta.finished and _says_finish(model):
            raise ProviderFailed("the stream ended in the middle of the answer", status=200)

    async def aclose(self) -> None:
        """Close what was built here for the running event loop; a model that was brought is its owner's."""
        if isinstance(self._llm, _ChatOpenAIPerLoop):
            await self._llm.aclose()

    async def _model(self) -> Model:
        return await self._llm.open() if isinstance(self._llm, _ChatOpenAIPerLoop) else self._llm


def chat_openai(
    model: str,
    *,
    api_base: str | None = None,
    api_key: str | None = None,
    timeout_seconds: float = 120,
) -> LangChainLLM:
    """Build an LLM on `ChatOpenAI`, without its retries; fields that OpenAI does not know are lost by it."""
    options: dict[str, Any] = {"model": model, "timeout": timeout_seconds}
    if api_base:
        options["base_url"] = api_base
    if api_key or api_base:
        # Without a key `OPENAI_API_KEY` would be taken from the environment, and sent to whatever the address is.
        options["api_key"] = api_key or "none"
    return LangChainLLM(_ChatOpenAIPerLoop(options))


class _ChatOpenAIPerLoop:
    """A ChatOpenAI for each event loop, since its connections belong to one, and langchain-openai shares them all."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Model, Any]] = WeakKeyDictionary()

    async def open(self) -> Model:
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            built = await asyncio.to_thread(self._build)  # the import takes a second
            self._open.setdefault(loop, built)
        return self._open[loop][0]

    async def aclose(self) -> None:
        _, client = self._open.pop(asyncio.get_running_loop(), (None, None))
        if client is not None:
            await client.aclose()

    def _build(self) -> tuple[Model, Any]:
        from langchain_openai import ChatOpenAI
        from openai import DefaultAsyncHttpxClient

        client = DefaultAsyncHttpxClient(timeout=self._options["timeout"])
        # Ours are the only retries and the only timeout between chunks; without `stream_usage` usage is lost.
        fixed = {"max_retries": 0, "stream_usage": True, "stream_chunk_timeout": None}
        return ChatOpenAI(**self._options, **fixed, http_async_client=client), client


# Calls


def _prepare(model: Model, request: Request) -> tuple[Model, dict[str, Any]]:
    """Give the model what is set: tools through `bind_tools`, which turns them into each provider's own form."""
    settings = request.settings.payload()
    extra = {name: settings.pop(name) for name in request.settings.extra_body if name in settings}
    if extra:
        settings["extra_body"] = {**(getattr(model, "extra_body", None) or {}), **extra}
    tools = settings.pop("tools", None)
    if not tools:
        return model, settings
    choice = {"tool_choice": settings.pop("tool_choice")} if "tool_choice" in settings else {}
    try:
        equipped = model.bind_tools(tools, **choice)  # type: ignore[attr-defined] # chat models have it
    except (NotImplementedError, AttributeError) as error:
        raise BadRequest(f"{type(model).__name__} takes no tools") from error
    if isinstance(model, RunnableBinding):  # its `bind_tools` is that of the model inside, and forgets what was bound
        bound = {name: value for name, value in model.kwargs.items() if name not in ("tools", "tool_choice")}
        settings = {**bound, **settings}
    return equipped, settings


@contextmanager
def _alone() -> Iterator[None]:
    """Hide the run around the call from the model.

    The model would find that run in context variables and report to its callbacks: its tokens would leak out of
    a LangGraph node as the answer's own, and every call would be counted and traced twice, since mollm reports
    each of its calls itself. An empty list of callbacks alone hides neither `get_usage_metadata_callback` nor
    LangSmith. Callbacks that the model's maker gave to the model itself still hear everything.
    """
    from langsmith.run_helpers import tracing_context  # 0.1 s, which whoever only converts messages need not wait

    hidden: list[Any] = [var_child_runnable_config, tracing_v2_callback_var]
    hidden += [hook[0] for hook in _configure_hooks]
    kept = [(variable, value) for variable in hidden if (value := variable.get(None)) is not None]
    for variable, _ in kept:
        variable.set(None)
    try:
        with tracing_context(enabled=False, parent=False):
            yield
    finally:
        # Not by token: the next piece of a stream may be asked for in another context.
        for variable, value in kept:
            variable.set(value)


def _says_finish(model: Any) -> bool:
    model = getattr(model, "bound", model)
    return any(cls.__module__.startswith("langchain_openai.") for cls in type(model).__mro__)


# Replies


class _Delta:
    """Turns the pieces of one stream into chunks; keeps what runs across them."""

    def __init__(self) -> None:
        self.finished = False
        self._usage = Usage()
        self._indexes: dict[Any, int] = {}

    def chunk(self, piece: AIMessageChunk) -> Chunk:
        reason = _finish_reason(piece)
        self.finished = self.finished or reason is not None
        usage = _usage(piece)
        if usage is not None:
            usage = self._usage = self._usage + usage  # LangChain's pieces of usage add up
        return Chunk(self._delta(piece), reason, usage, piece.response_metadata.get("logprobs"))

    def _delta(self, piece: AIMessageChunk) -> Message:
        delta = {name: piece.additional_kwargs[name] for name in _KEPT if piece.additional_kwargs.get(name)}
        text, reasoning = text_of(piece.content), _reasoning(piece.content)
        if text:
            delta["content"] = text
        if reasoning:
            delta.setdefault("reasoning_content", reasoning)
        if piece.tool_call_chunks:
            delta["tool_calls"] = [self._call(call) for call in piece.tool_call_chunks]
        return delta

    def _call(self, call: Any) -> dict[str, Any]:
        """Number calls from 0: LangChain's index counts other blocks too, or is missing."""
        key = call["index"] if call["index"] is not None else call["id"]
        function = {"name": call["name"], "arguments": call["args"] or ""}
        whole = {
            "index": self._indexes.setdefault(key, len(self._indexes)),
            "id": call["id"],
            "type": "function" if call["id"] else None,
            "function": {name: value for name, value in function.items() if value is not None},
        }
        return {name: value for name, value in whole.items() if value is not None}


def _finish_reason(message: BaseMessage) -> str | None:
    metadata = message.response_metadata
    for name in ("finish_reason", "stop_reason", "stopReason", "done_reason"):
        if reason := metadata.get(name):
            lower = str(reason).lower()
            return _FINISH_REASONS.get(lower, lower)
    return None


def _usage(message: AIMessage) -> Usage | None:
    usage = message.usage_metadata
    if usage is None:
        return None
    return Usage(usage["input_tokens"], usage["output_tokens"], usage["total_tokens"])


# Messages


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
    if isinstance(message, dict) and message.get("role") in _OPENAI_ROLES:
        return [dict(message)]
    (converted,) = convert_to_messages([message])
    if isinstance(converted, AIMessage):
        return [_assistant(converted)]
    return _written([converted], "block" if isinstance(converted.content, list) else "string")


def _written(messages: list[BaseMessage], text_format: Literal["string", "block"]) -> list[Message]:
    written = convert_to_openai_messages(messages, text_format=text_format)
    return written if isinstance(written, list) else [written]


def _assistant(message: AIMessage) -> Message:
    """Write an assistant's message in OpenAI's form, with everything LangChain keeps elsewhere."""
    plain: Message = {"role": "assistant", "content": _content(message.content)}
    calls = [
        _call(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False)) for call in message.tool_calls
    ]
    calls += [_call(call["id"], call["name"], call["args"] or "") for call in message.invalid_tool_calls]
    if calls:
        plain["tool_calls"] = calls
        plain["content"] = plain["content"] or None
    if message.name:
        plain["name"] = message.name
    if reasoning := _reasoning(message.content):
        plain["reasoning_content"] = reasoning
    if thinking := [block for block in _blocks(message.content) if block.get("type") in _THINKING]:
        plain["thinking_blocks"] = thinking
    kept = (*_KEPT, "refusal")
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


def _reasoning(content: Any) -> str:
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
