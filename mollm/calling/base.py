"""The one interface every LLM satisfies.

An implementation does one thing: send a request and bring back what came. It raises whatever its library
raises; `reliable.py` retries, bounds and prices calls, and `translate.py` turns foreign errors into ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mollm.messages import text_of
from mollm.types import Message, Settings, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


@dataclass(frozen=True, slots=True)
class Request:
    """What one call asks."""

    messages: Sequence[Message]
    settings: Settings = Settings()
    is_answer: bool = False
    """The reply is the answer as it stands: also a refusal, and one that a stop text ended before its first word."""

    def sample(self, index: int) -> Request:
        """The request for one of several samples: a seed of its own, or equal seeds would make equal answers."""
        seed = self.settings.seed
        return self if seed is None or not index else replace(self, settings=replace(self.settings, seed=seed + index))


@dataclass(frozen=True, slots=True)
class Completion:
    """What one call brought."""

    message: Message
    """The assistant message as the provider gave it."""
    finish_reason: str | None = "stop"
    usage: Usage | None = None
    """None where the provider said nothing."""
    logprobs: Any = None

    @property
    def text(self) -> str:
        """The content as a string; empty for a reply of tool calls alone."""
        return text_of(self.message.get("content"))


@dataclass(slots=True)  # frozen would make it take five times as long to build, and there are many
class Chunk:
    """One piece of a streamed completion."""

    delta: Message = field(default_factory=dict)
    """OpenAI's `delta`: role, content, tool calls, whatever else came."""
    finish_reason: str | None = None
    """Set on the last chunk that carries a choice."""
    usage: Usage | None = None
    """On the chunk with which the provider reports it."""
    logprobs: Any = None

    @property
    def text(self) -> str:
        """The piece of text it carries."""
        return text_of(self.delta.get("content"))


@runtime_checkable
class LLM(Protocol):
    """A callable language model."""

    async def complete(self, request: Request) -> Completion:
        """Return the whole reply."""
        ...

    def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Yield the reply piece by piece; closing the iterator closes the connection."""
        ...

    async def aclose(self) -> None:
        """Close what this LLM opened on the running event loop."""
        ...
