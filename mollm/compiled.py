"""A compiled graph that reads its options, and answers one question of a thread at a time."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any, Self

from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from pydantic import BaseModel, WithJsonSchema, create_model

from mollm import flow
from mollm.errors import RequestError, interpreter_ends
from mollm.queues import Queues
from mollm.surrounding import configured_options, own_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.runnables import RunnableConfig
    from langgraph.types import StateSnapshot

    from mollm.config.config import Config
    from mollm.options import Options


_MESSAGE = {
    "type": "object",
    "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": {"type": "string"}},
    "required": ["role", "content"],
}


class MixtureGraph(CompiledStateGraph[Any, Any, Any, Any]):
    """A compiled graph that reads its options, and answers one question of a thread at a time."""

    def __init__(self, *, origin_config: Config, **parts: Any) -> None:
        """Compile the mixtures of a configuration from `parts`."""
        super().__init__(**parts)
        self.origin_config = origin_config

    @property
    def queues(self) -> Queues:
        """Shared with every graph that stores its threads in the same checkpointer."""
        return Queues(self.origin_config.limits.seconds, self.checkpointer)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # What it is made of never changes, except for connections and threads, which cannot be copied.
        return self.copy()

    def stream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        **options: Any,
    ) -> Iterator[Any]:
        """Stream as LangGraph does.

        Raises:
            RequestError: The options in `context` are not valid, the thread is missing, or it is busy for too long.
            RunError: The interpreter ends.
        """
        if sys.is_finalizing():
            raise interpreter_ends()
        parts = super().stream(input, config, context=self._options(context, config), **options)
        thread = self._thread(config)
        return parts if thread is None else self._in_turn(thread, parts)

    def astream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        **options: Any,
    ) -> AsyncIterator[Any]:
        """Stream as LangGraph does. Raises as `stream`."""
        parts = super().astream(input, config, context=self._options(context, config), **options)
        thread = self._thread(config)
        return parts if thread is None else self._in_aturn(thread, parts)

    def _in_turn(self, thread: str, parts: Iterator[Any]) -> Iterator[Any]:
        with self.queues.turn(thread):
            yield from parts

    async def _in_aturn(self, thread: str, parts: Any) -> AsyncIterator[Any]:
        async with self.queues.aturn(thread), aclosing(parts):
            async for part in parts:
                yield part

    def _options(self, context: Any, config: RunnableConfig | None) -> Options | None:
        """The options of the question; without a context they may stand where a LangGraph server takes them, too."""
        if context is not None or not (config or self.config):
            return own_options(context)
        given = merge_configs(self.config, config).get("configurable", {})
        # Inside another graph the context around counts.
        return None if any(name.startswith("__pregel_") for name in given) else configured_options(given)

    def _thread(self, config: RunnableConfig | None) -> str | None:
        """The thread whose state the run reads and writes; None if nothing is stored, or the graph around does it."""
        if not isinstance(self.checkpointer, BaseCheckpointSaver):
            return None
        given = ensure_config(merge_configs(self.config, config)).get("configurable", {})
        if _LENT in given or given.get("checkpoint_ns"):
            return None
        if given.get("thread_id") is None:
            raise RequestError(
                "a graph with a checkpointer has to know the conversation: "
                'pass config={"configurable": {"thread_id": "..."}}, one id for each'
            )
        return str(given["thread_id"])

    def get_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """Return the state of a thread, as LangGraph does. Raises `RequestError` if the thread is missing."""
        self._thread(config)
        return super().get_state(config, subgraphs=subgraphs)

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """Return the state of a thread, as LangGraph does. Raises as `get_state`."""
        self._thread(config)
        return await super().aget_state(config, subgraphs=subgraphs)

    def get_state_history(self, config: RunnableConfig, **options: Any) -> Iterator[StateSnapshot]:
        """Return earlier states of a thread, as LangGraph does. Raises as `get_state`."""
        self._thread(config)
        return super().get_state_history(config, **options)

    def aget_state_history(self, config: RunnableConfig, **options: Any) -> AsyncIterator[StateSnapshot]:
        """Return earlier states of a thread, as LangGraph does. Raises as `get_state`."""
        self._thread(config)
        return super().aget_state_history(config, **options)

    def update_state(
        self, config: RunnableConfig, values: Any, as_node: str | None = None, task_id: str | None = None
    ) -> RunnableConfig:
        """Change the state of a thread, as LangGraph does; a question that was interrupted goes on where it stood."""
        if as_node != END and values is not None:
            values = _going_on(self.get_state(config), values, as_node)
        return super().update_state(config, values, as_node, task_id)

    async def aupdate_state(
        self, config: RunnableConfig, values: Any, as_node: str | None = None, task_id: str | None = None
    ) -> RunnableConfig:
        """Change the state of a thread, as LangGraph does; a question that was interrupted goes on where it stood."""
        if as_node != END and values is not None:
            values = _going_on(await self.aget_state(config), values, as_node)
        return await super().aupdate_state(config, values, as_node, task_id)

    def get_input_schema(
        self,
        config: RunnableConfig | None = None,  # noqa: ARG002 - LangChain passes it
    ) -> type[BaseModel]:
        """Return a model of the input, which `as_tool` shows to LLMs and checks their calls with.

        LangGraph's lists 13 classes of messages, and takes no message as LLMs write it.
        """
        messages = Annotated[Any, WithJsonSchema({"type": "array", "items": _MESSAGE, "minItems": 1})]
        return create_model(self.get_name("Input"), messages=(messages, ...))

    def get_context_jsonschema(self) -> dict[str, Any] | None:
        """Return the schema of the options. It refers to them, instead of listing them on top.

        LangGraph's server drops, without a word, what a context holds beside the properties that it finds on top.
        """
        schema = super().get_context_jsonschema()
        if schema is None:
            return None
        shared = schema.pop("$defs", {})
        return {"$defs": {**shared, "Options": {**schema, "additionalProperties": False}}, "$ref": "#/$defs/Options"}


_LENT = "__pregel_checkpointer"
"""LangGraph's name for the checkpointer that a graph lends those inside it."""


def _going_on(state: StateSnapshot, values: Any, as_node: str | None) -> Any:
    """The update, together with where the question goes on: a node says so when it returns, and this is no node."""
    ahead = [node for node in state.next if node != flow.START]
    if not ahead or as_node in ahead or isinstance(values, Command):
        return values
    return Command(update=values, goto=ahead)
