"""The one interface every LLM satisfies.

An implementation does one thing: send a request and bring back what came. It raises whatever its library
raises; `reliable.py` retries, bounds and prices calls, and `translate.py` turns foreign errors into ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mollm.types import Message, Settings, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


CHARACTERS_PER_TOKEN = 4
"""For estimates only; English text in the tokenizers in use has 3.5 to 4.5."""
BYTES_PER_TOKEN_AT_LEAST = 3
"""For bounds: code has fewer a token than prose, and a Chinese letter, about one token, has three bytes."""


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


def text_of(content: Any) -> str:
    """Return the text of a message's `content`: a string, a list of parts, or None."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(
            part if isinstance(part, str) else str(part.get("text") or "")
            for part in content
            if isinstance(part, str) or (isinstance(part, dict) and part.get("type") == "text")
        )
    return ""


def tokens_at_most(text: str) -> int:
    """Bound the tokens of `text` from above."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN_AT_LEAST)
