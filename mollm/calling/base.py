"""The interface of LLMs.

An implementation sends a request and returns the reply. It raises whatever its library raises; the rest of this
room retries, limits and prices calls, and turns foreign errors into ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mollm.messages import text_of
from mollm.options import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mollm.types import Message, Usage


@dataclass(frozen=True, slots=True)
class Request:
    """One call to an LLM: messages and settings."""

    messages: Sequence[Message]
    """In OpenAI's format."""
    settings: Settings = Settings()
    is_answer: bool = False
    """The reply is the answer, even if it is a refusal or empty because of a stop text."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Texts in it of which nothing that is said about the call may have any."""
    wants_logprobs: bool = False
    """The log-probabilities of the tokens are asked for, where the LLM tells them."""

    def sample(self, index: int) -> Request:
        """Return the request for one of several samples, with a seed of its own: equal seeds give equal answers."""
        seed = self.settings.seed
        return self if seed is None or not index else replace(self, settings=replace(self.settings, seed=seed + index))


@dataclass(frozen=True, slots=True)
class Completion:
    """The reply of one call."""

    message: Message
    """The assistant message; what `ReliableLLM` returns has the form that `shapes` describes."""
    finish_reason: str | None = "stop"
    """In any provider's words. One that tells of a failure, or that nobody knows, makes the reply a failure."""
    usage: Usage | None = None
    """None if the provider did not report it."""
    logprobs: Any = None

    @property
    def text(self) -> str:
        """The content as a string; empty for a reply that consists of tool calls."""
        return text_of(self.message.get("content"))


@dataclass(slots=True)  # frozen would make it take five times as long to build, and there are many
class Chunk:
    """One piece of a streamed completion."""

    delta: Message = field(default_factory=dict)
    """OpenAI's `delta`: role, content, tool calls, and all other fields; formed as a whole message is."""
    finish_reason: str | None = None
    """Set on the last chunk that carries a choice, in any provider's words."""
    usage: Usage | None = None
    """Set on the chunk in which the provider reports it."""
    logprobs: Any = None

    @property
    def text(self) -> str:
        """Its text."""
        return text_of(self.delta.get("content"))


@runtime_checkable
class LLM(Protocol):
    """A callable language model, at one address.

    Further members are used where there are any: `async context_window() -> int | None`, the tokens that a prompt
    and its answer may have together, `address: str`, host and port as events name them, and `async prepare()`, which
    imports and opens what the first call would otherwise wait for.
    """

    async def complete(self, request: Request) -> Completion:
        """Return the whole reply."""
        ...

    def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Yield the reply in pieces; closing the iterator closes the connection."""
        ...

    async def aclose(self) -> None:
        """Close everything that this LLM opened on the running event loop."""
        ...
