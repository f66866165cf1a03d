"""Whether what came is a reply: text, or calls of tools that were offered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

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
    thought = message.get("reasoning_content")
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
    """Read `chunks` up to the first that is shown; until then a failure can still be made good.

    Where the reply is the answer, a thought is shown as well.

    Args:
        request: What the stream replies to.
        chunks: In the form that `shapes` gives them; read no further than needed.
        until: On the event loop's clock; it takes no longer.
        first_token: Seconds for the first chunk that is shown, or the first thought.
        idle: Seconds from one thought to the next.

    Raises:
        TimeoutError: It did not come in time.
        LLMError: The stream ended without it.
    """
    loop = asyncio.get_running_loop()
    held: list[Chunk] = []
    async with asyncio.timeout_at(min(until, loop.time() + first_token)) as clock:
        async for chunk in chunks:
            held.append(chunk)
            delta = chunk.delta
            if is_reply(request, delta):
                break
            if delta.get("reasoning_content"):
                if request.is_answer:
                    break
                clock.reschedule(min(until, loop.time() + idle))
    return held


def is_reply(request: Request, message: Message) -> bool:
    """Whether a message or delta says something: text, a call of a tool, or a refusal where that is an answer."""
    # A tool call nobody offered a tool for is no answer; small LLMs invent them.
    if message.get("tool_calls") and request.settings.tools:
        return True
    return bool(text_of(message.get("content")).strip()) or bool(message.get("refusal") and request.is_answer)
