"""LangChain callbacks for calls that do not go through LangChain: tracers and token streams see them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import AsyncCallbackManager
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult

from mollm.calling.base import text_of
from mollm.errors import UserError
from mollm.llms.langchain import from_openai

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
    from langchain_core.messages.ai import UsageMetadata
    from langchain_core.runnables import RunnableConfig

    from mollm.calling.base import Chunk, Completion, Request
    from mollm.types import Answer, Message, Role, Usage

HIDDEN = "nostream"
"""LangGraph's tag for a model whose tokens are not the answer."""


def watch(config: RunnableConfig, message_id: str) -> CallbackWatch | None:
    """Return what tells the callbacks of `config` of every call; None, at no cost, where there are none."""
    callbacks = config.get("callbacks")
    handlers = getattr(callbacks, "handlers", callbacks)
    return CallbackWatch(config, message_id) if handlers else None


def wants_tokens(config: RunnableConfig) -> bool:
    """Say whether a callback follows token by token, as `stream_mode="messages"` does."""
    callbacks: Any = config.get("callbacks")
    handlers = getattr(callbacks, "handlers", callbacks) or ()
    # LangChain's mark of such a handler: its base class is private, this method is what makes it one.
    return any(hasattr(handler, "tap_output_aiter") for handler in handlers)


class CallbackWatch:
    """Fires `on_chat_model_start`, `on_llm_new_token`, `on_llm_end` and `on_llm_error` for every call."""

    def __init__(self, config: RunnableConfig, message_id: str) -> None:
        """Attach to the callbacks of a run; `message_id` is the id of the answer's message."""
        self._config, self._message_id = config, message_id

    async def on_start(self, role: Role, llm: str, request: Request, *, is_answer: bool) -> CallbackCall:
        """A call begins."""
        manager = AsyncCallbackManager.configure(
            inheritable_callbacks=self._config.get("callbacks"),
            inheritable_tags=self._config.get("tags"),
            inheritable_metadata=self._config.get("metadata"),
            local_tags=None if is_answer else [HIDDEN],
            local_metadata={"mollm_role": role, "ls_model_name": llm, "ls_model_type": "chat"},
        )
        runs = await manager.on_chat_model_start(
            {"name": llm},
            [_for_watching(request.messages)],
            name=llm,
            invocation_params={"model": llm, **request.settings.payload()},
        )
        return CallbackCall(runs[0], llm, self._message_id if is_answer else None)


class CallbackCall:
    """One call as the callbacks see it."""

    def __init__(self, run: AsyncCallbackManagerForLLMRun, llm: str, message_id: str | None) -> None:
        """Follow one run; `message_id` is set where its text is the answer."""
        self._run, self._llm, self._message_id = run, llm, message_id

    async def on_chunk(self, chunk: Chunk) -> None:
        """A piece of a streamed reply came."""
        if chunk.delta:
            message = AIMessageChunk(
                content=chunk.text,
                id=self._message_id,
                tool_call_chunks=[_tool_call_chunk(call) for call in chunk.delta.get("tool_calls") or ()],
            )
            await self._run.on_llm_new_token(chunk.text, chunk=ChatGenerationChunk(message=message))

    async def on_end(self, completion: Completion) -> None:
        """The call brought a reply."""
        metadata = {"model_name": self._llm, "finish_reason": completion.finish_reason}
        update = {
            "id": self._message_id,
            "usage_metadata": usage_metadata(completion.usage) if completion.usage else None,
            "response_metadata": metadata,
        }
        message = _for_watching([completion.message])[0].model_copy(update=update)
        generation = ChatGeneration(message=message, generation_info={"finish_reason": completion.finish_reason})
        await self._run.on_llm_end(LLMResult(generations=[[generation]], llm_output={"model_name": self._llm}))

    async def on_error(self, error: BaseException) -> None:
        """The call failed, or was cancelled."""
        await self._run.on_llm_error(error)


def _for_watching(messages: Sequence[Message]) -> list[BaseMessage]:
    # What a tracer cannot be shown as it is, it is shown as text: watching never fails a request.
    try:
        return from_openai(messages)
    except UserError:
        return [HumanMessage(content=text_of(message.get("content"))) for message in messages]


def _tool_call_chunk(call: Message) -> ToolCallChunk:
    function = call.get("function") or {}
    return tool_call_chunk(
        name=function.get("name"), args=function.get("arguments"), id=call.get("id"), index=call.get("index")
    )


def answer_message(answer: Answer) -> AIMessage:
    """Return the answer as LangChain's message, under the id its tokens were streamed with."""
    extra = [value for key, value in answer.message.items() if key not in ("role", "content") and value]
    message = from_openai([answer.message])[0] if extra else AIMessage(content=answer.text)
    metadata = {"model_name": answer.mixture, "finish_reason": answer.finish_reason}
    update = {"id": answer.id, "usage_metadata": usage_metadata(answer.usage), "response_metadata": metadata}
    return cast("AIMessage", message.model_copy(update=update))


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Our usage in LangChain's names."""
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
