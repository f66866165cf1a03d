"""An LLM that follows a script: fixed answers, delays and failures, for tests and examples."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mollm.calling.base import Chunk, Completion, Request

if TYPE_CHECKING:
    from mollm.types import Message, Usage


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted reply."""

    text: str = ""
    delay: float = 0.0
    """Seconds of the event loop's clock before the reply (before the first chunk, when streamed)."""
    error: Exception | None = None
    """Raised instead of replying."""
    breaks_after: int | None = None
    """When streamed: raise `error` after so many chunks instead of at once."""
    finish_reason: str | None = "stop"
    usage: Usage | None = None
    message: Message | None = None
    """The whole assistant message, for tool calls and the like; its content wins over `text`."""
    logprobs: Any = None
    """Log-probabilities in OpenAI's form; when streamed, they are left out."""


Script: TypeAlias = str | Exception | Reply


class ScriptedLLM:
    """An LLM that replies from a script.

    Args:
        script: One reply that is given every time; a sequence of replies, given once each in order; or a
            function from the request to a reply.

    Attributes:
        requests: Every request received, in order.
        cancelled: How many calls were cancelled or closed before they were through.
    """

    def __init__(self, script: Script | Sequence[Script] | Callable[[Request], Script]) -> None:
        self._script = script
        self._next = 0
        self.requests: list[Request] = []
        self.cancelled = 0

    async def complete(self, request: Request) -> Completion:
        """Return the next reply of the script."""
        reply = self._reply(request)
        await self._wait(reply)
        if reply.error:
            raise reply.error
        return Completion(reply.message or _message(reply.text), reply.finish_reason, reply.usage, reply.logprobs)

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Yield the next reply of the script word by word."""
        reply = self._reply(request)
        await self._wait(reply)
        if reply.error and reply.breaks_after is None:
            raise reply.error
        message = reply.message or _message(reply.text)
        whole = False
        try:
            yield Chunk({"role": "assistant"})
            for sent, word in enumerate(re.findall(r"\s*\S+\s*$|\s*\S+", message.get("content") or "")):
                if reply.error and sent == reply.breaks_after:
                    whole = True
                    raise reply.error
                yield Chunk({"content": word})
            extra = {key: value for key, value in message.items() if key not in ("role", "content")}
            yield Chunk(extra, finish_reason=reply.finish_reason)
            whole = True
            if reply.usage:
                yield Chunk(usage=reply.usage)
        finally:
            self.cancelled += not whole

    async def aclose(self) -> None:
        """Nothing to close."""

    def _reply(self, request: Request) -> Reply:
        self.requests.append(request)
        script = self._script
        if callable(script):
            script = script(request)
        elif isinstance(script, Sequence) and not isinstance(script, str):
            if self._next >= len(script):
                raise RuntimeError(f"the script of {len(script)} replies is over")
            script = script[self._next]
            self._next += 1
        if isinstance(script, Reply):
            return script
        return Reply(error=script) if isinstance(script, Exception) else Reply(script)

    async def _wait(self, reply: Reply) -> None:
        if reply.delay:
            try:
                await asyncio.sleep(reply.delay)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise


def _message(text: str) -> Message:
    return {"role": "assistant", "content": text}
