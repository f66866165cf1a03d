"""LangChain chat models for tests. Imported inside a test, since LangChain takes a second to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.graph import START, MessagesState, StateGraph

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Recorded(BaseChatModel):
    """A chat model that plays chunks and records what it was asked."""

    pieces: list[AIMessageChunk]
    asked: list[tuple[list[BaseMessage], dict[str, Any]]] = []  # noqa: RUF012 - pydantic copies it
    look: Any = None
    """Called inside the model, to see what the model sees."""

    @property
    def _llm_type(self) -> str:
        return "recorded"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, messages: list[BaseMessage], stop: Any = None, **options: Any) -> ChatResult:  # type: ignore[override] # without the run manager
        self._record(messages, {**options, **({"stop": stop} if stop else {})})
        whole = self.pieces[0]
        for piece in self.pieces[1:]:
            whole = whole + piece
        reply = AIMessage(**whole.model_dump(exclude={"type", "tool_call_chunks", "chunk_position"}))
        return ChatResult(generations=[ChatGeneration(message=reply)])

    async def _astream(  # type: ignore[override] # without the run manager
        self, messages: list[BaseMessage], stop: Any = None, **options: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self._record(messages, {**options, **({"stop": stop} if stop else {})})
        for piece in self.pieces:
            yield ChatGenerationChunk(message=piece)

    def _record(self, messages: list[BaseMessage], options: dict[str, Any]) -> None:
        self.asked.append((messages, options))
        if self.look:
            self.look()


class Deciding(BaseChatModel):
    """A chat model that calls tools by a script: each turn makes a message of the conversation."""

    turns: list[Any]

    @property
    def _llm_type(self) -> str:
        return "deciding"

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.turns.pop(0)(messages))])


def listed(*texts: str) -> FakeListChatModel:
    """A chat model that gives these texts, and knows no settings."""
    return FakeListChatModel(responses=list(texts))


def generic(*texts: str) -> GenericFakeChatModel:
    """A chat model that streams these texts word by word."""
    return GenericFakeChatModel(messages=iter([AIMessage(text) for text in texts]))


def graph_of(node: Any) -> Any:
    """A graph with one node."""
    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()
