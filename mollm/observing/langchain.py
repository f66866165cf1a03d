"""LangChain callbacks as an observer: tracers and token streams see every call, although LangChain makes none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import AsyncCallbackManager
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.runnables.config import ensure_config

from mollm.config.masking import masked
from mollm.conversion import shown_as
from mollm.events import CallEnded, CallStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
    from langchain_core.messages.ai import UsageMetadata
    from langchain_core.runnables import RunnableConfig

    from mollm.events import Event, Token
    from mollm.types import Answer, Message, Usage

SETTLE_SECONDS = 10.0
"""The time that callbacks have at the end of a node; one that hangs does not keep the question."""
HIDDEN = "nostream"
"""LangGraph's tag for a model whose tokens are not the answer."""


def observer_of(config: RunnableConfig, message_id: str) -> CallbackObserver | None:
    """Return an observer for the callbacks of `config`; None, at no cost, if there are none."""
    callbacks = config.get("callbacks")
    handlers = getattr(callbacks, "handlers", callbacks)
    return CallbackObserver(config, message_id) if handlers else None


def wants_tokens(config: RunnableConfig) -> bool:
    """Say whether a callback follows token by token, as `stream_mode="messages"` does."""
    callbacks: Any = config.get("callbacks")
    handlers = getattr(callbacks, "handlers", callbacks) or ()
    # LangChain's mark of such a handler: its base class is private, this method is what makes it one.
    return any(map(is_follower, handlers))


def current_observer(message_id: str) -> CallbackObserver:
    """An observer that tells the callbacks around the code that asks."""
    return CallbackObserver(ensure_config(), message_id)


def is_follower(handler: Any) -> bool:
    """Whether a handler hands tokens to whoever runs the graph, and is none that traces or counts."""
    return hasattr(handler, "tap_output_aiter")


def without_followers(config: RunnableConfig) -> RunnableConfig:
    """The configuration of a run whose callbacks are those that trace and count."""
    return {**config, "callbacks": _only(config, lambda handler: not is_follower(handler))}


def follower_of(config: RunnableConfig, message_id: str) -> CallbackObserver | None:
    """Return an observer for those callbacks that follow token by token; None if there are none."""
    return CallbackObserver(config, message_id, _only(config, is_follower)) if wants_tokens(config) else None


def _only(config: RunnableConfig, which: Callable[[Any], bool]) -> AsyncCallbackManager:
    """The callbacks of a run that are such, as children of the run."""
    callbacks: Any = config.get("callbacks")
    handlers = getattr(callbacks, "handlers", callbacks) or ()
    inherited = getattr(callbacks, "inheritable_handlers", handlers) or ()
    return AsyncCallbackManager(
        [handler for handler in handlers if which(handler)],
        [handler for handler in inherited if which(handler)],
        getattr(callbacks, "parent_run_id", None),
        tags=[*(config.get("tags") or ())],
        inheritable_tags=[*(config.get("tags") or ())],
        metadata=dict(config.get("metadata") or {}),
        inheritable_metadata=dict(config.get("metadata") or {}),
    )


class CallbackObserver:
    """Fires `on_chat_model_start`, `on_llm_new_token`, `on_llm_end` and `on_llm_error` for every call.

    Callbacks are awaited and `tell` is not, so the callbacks of a call are queued in order, and `settle` waits for
    all of them.
    """

    def __init__(self, config: RunnableConfig, message_id: str, callbacks: AsyncCallbackManager | None = None) -> None:
        """Attach to the callbacks of a run.

        Args:
            config: Of the run.
            message_id: The id of the answer's message.
            callbacks: Are told and no others; None: those of the run, and those that LangChain adds to any.
        """
        self._config, self._message_id, self._callbacks = config, message_id, callbacks
        self._calls: dict[int, _ObservedCall] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def tell(self, event: Event) -> None:
        """Receive the start and the end of a call."""
        match event:
            case CallStarted(number):
                call = self._calls[number] = _ObservedCall(self._config, event, self._message_id, self._callbacks)
                self._queue(call, call.start())
            case CallEnded(number):
                call = self._calls[number]
                self._queue(call, call.end(event))

    async def show(self, token: Token) -> None:
        """Receive a token of a streamed reply."""
        call = self._calls.get(token.call)
        if call is not None:
            await asyncio.wait([call.ready])  # not `await call.ready`: cancelling us must not cancel it
            await call.token(token)

    async def settle(self) -> None:
        """Wait until every callback was told, at most `SETTLE_SECONDS`. Raises what one of them asked to raise."""
        if not self._tasks:
            return
        _, pending = await asyncio.wait(self._tasks, timeout=SETTLE_SECONDS)
        for task in self._tasks:
            if task in pending:
                task.cancel()
            elif not task.cancelled():
                task.result()

    def _queue(self, call: _ObservedCall, saying: Coroutine[Any, Any, None]) -> None:
        call.ready = asyncio.create_task(_after(call.ready, saying))
        self._tasks.append(call.ready)


async def _after(before: asyncio.Task[None] | None, saying: Coroutine[Any, Any, None]) -> None:
    if before is not None:
        await asyncio.wait([before])
    await saying


class _ObservedCall:
    """One call as the callbacks see it."""

    def __init__(
        self,
        config: RunnableConfig,
        started: CallStarted,
        message_id: str,
        callbacks: AsyncCallbackManager | None,
    ) -> None:
        self._config, self._started, self._callbacks = config, started, callbacks
        self._message_id = message_id if started.is_streamed else None
        self._run: AsyncCallbackManagerForLLMRun | None = None
        self.ready: Any = None

    async def start(self) -> None:
        started = self._started
        llm, request = started.llm, started.request
        tags, metadata = [] if started.is_streamed else [HIDDEN], self._metadata()
        if self._callbacks is None:
            manager = AsyncCallbackManager.configure(
                inheritable_callbacks=self._config.get("callbacks"),
                inheritable_tags=self._config.get("tags"),
                inheritable_metadata=self._config.get("metadata"),
                local_tags=tags or None,
                local_metadata=metadata,
            )
        else:
            manager = self._callbacks.copy()
            manager.add_tags(tags, inherit=False)
            manager.add_metadata(metadata, inherit=False)
        runs = await manager.on_chat_model_start(
            {"name": llm},
            [[shown_as(message) for message in request.messages]],
            name=llm,
            invocation_params={"model": llm, **masked(request.settings.payload())},  # tracers send it elsewhere
        )
        self._run = runs[0]

    def _metadata(self) -> dict[str, str]:
        return {"mollm_role": self._started.role, "ls_model_name": self._started.llm, "ls_model_type": "chat"}

    async def token(self, token: Token) -> None:
        if self._run is None or not token.delta:
            return
        thought = token.delta.get("reasoning_content")
        message = AIMessageChunk(
            content=token.text,
            id=self._message_id,
            additional_kwargs={"reasoning_content": thought} if thought else {},
            tool_call_chunks=[_tool_call_chunk(call) for call in token.delta.get("tool_calls") or ()],
        )
        await self._run.on_llm_new_token(token.text, chunk=ChatGenerationChunk(message=message))

    async def end(self, event: CallEnded) -> None:
        if self._run is None:
            return
        if event.completion is None:
            await self._run.on_llm_error(event.error or RuntimeError("the call failed"))
            return
        completion, llm = event.completion, self._started.llm
        metadata = {"model_name": llm, "finish_reason": completion.finish_reason}
        update = {
            "id": self._message_id,
            "usage_metadata": usage_metadata(completion.usage) if completion.usage else None,
            "response_metadata": metadata,
        }
        message = shown_as(completion.message).model_copy(update=update)
        generation = ChatGeneration(message=message, generation_info={"finish_reason": completion.finish_reason})
        await self._run.on_llm_end(LLMResult(generations=[[generation]], llm_output={"model_name": llm}))


def _tool_call_chunk(call: Message) -> ToolCallChunk:
    function = call.get("function") or {}
    return tool_call_chunk(
        name=function.get("name"), args=function.get("arguments"), id=call.get("id"), index=call.get("index")
    )


def answer_message(answer: Answer, *, name: str | None = None) -> AIMessage:
    """Return the answer of the agent `name` as a LangChain message, with the id of its streamed tokens."""
    extra = [value for key, value in answer.message.items() if key not in ("role", "content") and value]
    message = shown_as(answer.message) if extra else AIMessage(content=answer.text)
    metadata = {"model_name": answer.mixture, "finish_reason": answer.finish_reason}
    usage = usage_metadata(answer.usage)
    update = {"id": answer.id, "name": name or message.name, "usage_metadata": usage, "response_metadata": metadata}
    return cast("AIMessage", message.model_copy(update=update))


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Return the usage with LangChain's names."""
    found: UsageMetadata = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens:
        found["input_token_details"] = {"cache_read": usage.cached_tokens}
    if usage.reasoning_tokens:
        found["output_token_details"] = {"reasoning": usage.reasoning_tokens}
    return found
