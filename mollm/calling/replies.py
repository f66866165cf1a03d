"""Whether what came is a reply: text, or calls of tools that were offered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mollm.calling.finish import finish_reason
from mollm.errors import EmptyReply, Refused
from mollm.messages import text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mollm.calling.base import Chunk, Request
    from mollm.types import Message


def check_reply(request: Request, reason: str | None, message: Message) -> None:
    """Raise `EmptyReply` or `Refused` where `message`, which ended for `reason`, is no reply to `request`."""
    # A tool call nobody offered a tool for is no answer; small LLMs invent them.
    if message.get("tool_calls") and request.settings.tools:
        return
    if reason == "content_filter":
        raise Refused("the provider's content filter withheld the answer", status=200)
    if text_of(message.get("content")).strip():
        return
    thought = message.get("reasoning_content") or message.get("reasoning")
    if message.get("refusal") and not request.is_answer:
        raise Refused("the LLM refused", status=200)
    is_stopped = bool(request.settings.stop) and reason == "stop" and not thought
    if request.is_answer and (message.get("refusal") or is_stopped):
        return
    what = "it holds reasoning alone" if thought else "it is empty"
    text = f"the reply has no text: {what} (finish_reason {reason!r})"
    raise EmptyReply(text, status=200, code="reasoning_only" if thought else None)


async def up_to_first_token(
    request: Request, chunks: AsyncIterator[Chunk], *, until: float, first_token: float, idle: float
) -> list[Chunk]:
    """Read `chunks` up to the first that can be shown; until then a failure can still be made good.

    Args:
        request: What the stream replies to.
        chunks: Read no further than needed.
        until: On the event loop's clock; it takes no longer.
        first_token: Seconds for the first chunk that can be shown, or the first thought.
        idle: Seconds from one thought to the next.

    Raises:
        TimeoutError: It did not come in time.
        LLMError: The stream ended without it.
    """
    loop = asyncio.get_running_loop()
    held: list[Chunk] = []
    reason, thought = None, False
    async with asyncio.timeout_at(min(until, loop.time() + first_token)) as clock:
        async for chunk in chunks:
            held.append(chunk)
            if chunk.finish_reason is not None:
                reason = chunk.finish_reason = finish_reason(chunk.finish_reason)
            if chunk.text.strip() or (chunk.delta.get("tool_calls") and request.settings.tools):
                return held
            if chunk.delta.get("refusal") and request.is_answer:
                return held
            if chunk.delta.get("reasoning_content") or chunk.delta.get("reasoning"):
                # It is thinking: alive, though nothing can be shown yet.
                thought = True
                clock.reschedule(min(until, loop.time() + idle))
    check_reply(request, reason, {"reasoning": "..."} if thought else {})
    return held
