"""Any LangChain chat model as an LLM."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import _configure_hooks, tracing_v2_callback_var

from mollm.calling.base import Chunk, Completion, Request
from mollm.calling.finish import finish_reason
from mollm.calling.inband import error_beside
from mollm.calling.lenient import Halves, mended
from mollm.calling.usage import usage_of
from mollm.config.addresses import BaseURL
from mollm.conversion import KEPT, assistant_message, from_openai, reasoning_of
from mollm.errors import BadRequest, ProviderFailed, missing
from mollm.messages import text_of
from mollm.types import Message, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

    from langchain_core.messages import AIMessageChunk
    from langchain_core.runnables import Runnable

    Model = Runnable[Any, Any]
    """A chat model, or one that was bound, given fallbacks, and the like."""


class LangChainLLM:
    """An LLM behind LangChain's chat model interface; its retries, caches and callbacks stay as its maker set them."""

    def __init__(self, llm: Model | _ChatOpenAIPerLoop) -> None:
        self._llm = llm

    async def complete(self, request: Request) -> Completion:
        model, settings = _prepare(await self._model(), request)
        with _alone():
            reply = await model.ainvoke(from_openai(request.messages), {"callbacks": []}, **settings)
        if not isinstance(reply, AIMessage):
            raise ProviderFailed(f"the LangChain model returned {type(reply).__name__}, not a message")
        message = assistant_message(reply)
        return Completion(
            message=mended(message),
            finish_reason=_finish_reason(reply) or ("tool_calls" if message.get("tool_calls") else "stop"),
            usage=_usage(reply),
            logprobs=mended(reply.response_metadata.get("logprobs")),
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
    headers: Mapping[str, str] | None = None,
    proxy: str | None = None,
    timeout_seconds: float = 120,
) -> LangChainLLM:
    """Build an LLM on `ChatOpenAI`, without its retries; fields that OpenAI does not know are lost by it.

    Raises:
        ConfigError: langchain-openai is not installed.
        ValueError: `api_base` is no address.
    """
    if find_spec("langchain_openai") is None:
        raise missing("langchain-openai", f"langchain-openai, which calls {model}, is not installed")
    options: dict[str, Any] = {"model": model, "timeout": timeout_seconds}
    if api_base:
        base = BaseURL.parse(api_base)
        options |= {"base_url": base.base, "default_query": dict(parse_qsl(base.query, keep_blank_values=True))}
    if headers:
        options["default_headers"] = dict(headers)
    if api_key or api_base:
        # Without a key `OPENAI_API_KEY` would be taken from the environment, and sent to whatever the address is.
        options["api_key"] = api_key or "none"
    return LangChainLLM(_ChatOpenAIPerLoop(options, proxy))


class _ChatOpenAIPerLoop:
    """A ChatOpenAI for each event loop, since its connections belong to one, and langchain-openai shares them all."""

    def __init__(self, options: dict[str, Any], proxy: str | None) -> None:
        self._options, self._proxy = options, proxy
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

        # Proxies of the environment are left out: keys go where the configuration says and nowhere else.
        route: Any = {"proxy": self._proxy} if self._proxy else {"mounts": {"http://": None, "https://": None}}
        client = DefaultAsyncHttpxClient(timeout=self._options["timeout"], **route)
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
        self._halves = Halves()
        self._usage = Usage()

    def chunk(self, piece: AIMessageChunk) -> Chunk:
        reason = _finish_reason(piece)
        self.finished = self.finished or reason is not None
        usage = _usage(piece)
        if usage is not None:
            usage = self._usage = self._usage + usage  # LangChain's pieces of usage add up
        delta = self._halves.join(self._delta(piece), is_last=reason is not None)
        return Chunk(delta, reason, usage, mended(piece.response_metadata.get("logprobs")))

    def _delta(self, piece: AIMessageChunk) -> Message:
        delta = {name: piece.additional_kwargs[name] for name in KEPT if piece.additional_kwargs.get(name)}
        text, reasoning = text_of(piece.content), reasoning_of(piece.content)
        if text:
            delta["content"] = text
        if reasoning:
            delta.setdefault("reasoning_content", reasoning)
        if piece.tool_call_chunks:
            delta["tool_calls"] = [
                {
                    "index": call["index"],
                    "id": call["id"],
                    "function": {"name": call["name"], "arguments": call["args"]},
                }
                for call in piece.tool_call_chunks
            ]
        return delta


def _finish_reason(message: BaseMessage) -> str | None:
    """Read why a reply ended. Raises `LLMError` where the metadata tell of a failure."""
    metadata = message.response_metadata
    for said in (metadata, message.additional_kwargs):
        if said and (error := error_beside(said, {})):
            raise error
    for name in ("finish_reason", "stop_reason", "stopReason", "done_reason"):
        if reason := metadata.get(name):
            return finish_reason(reason if isinstance(reason, dict) else str(reason))
    return None


def _usage(message: AIMessage) -> Usage | None:
    return usage_of(message.usage_metadata)
