"""The openai SDK's two clients, blocking and not, behind one set of methods."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI, OpenAI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Caller:
    """Asks `model` through one of the two clients.

    Attributes:
        sdk: The client.
        model: What is asked, unless a call says otherwise.
    """

    def __init__(self, sdk: OpenAI | AsyncOpenAI, model: str) -> None:
        self.sdk, self.model = sdk, model

    async def ask(self, question: Any, **options: Any) -> Any:
        """Return the whole completion; `question` is a text, content parts, or messages."""
        create = self.sdk.chat.completions.create
        return await done(create(model=options.pop("model", self.model), messages=_messages(question), **options))

    async def each(self, question: Any, **options: Any) -> AsyncIterator[Any]:
        """Yield the chunks of a stream as they come."""
        stream = await self.ask(question, stream=True, **options)
        if isinstance(self.sdk, AsyncOpenAI):
            async for chunk in stream:
                yield chunk
        else:
            for chunk in stream:
                yield chunk

    async def chunks(self, question: Any, **options: Any) -> list[Any]:
        """Return what a stream gives."""
        return [chunk async for chunk in self.each(question, **options)]

    async def parse(self, question: Any, **options: Any) -> Any:
        """Return a completion whose content or tool calls are parsed."""
        return await done(self.sdk.chat.completions.parse(model=self.model, messages=_messages(question), **options))

    async def raw(self, question: Any, **options: Any) -> Any:
        """Return the response with its headers."""
        create = self.sdk.chat.completions.with_raw_response.create
        return await done(create(model=options.pop("model", self.model), messages=_messages(question), **options))

    async def run(self, question: Any, **options: Any) -> tuple[list[Any], Any]:
        """Stream through the SDK's own accumulator; return its events and the completion made of them."""
        manager = self.sdk.chat.completions.stream(model=self.model, messages=_messages(question), **options)
        if isinstance(self.sdk, OpenAI):
            with manager as stream:
                return list(stream), stream.get_final_completion()
        async with manager as stream:
            return [event async for event in stream], await stream.get_final_completion()


async def done(result: Any) -> Any:
    """Wait for what has to be waited for."""
    return await result if inspect.isawaitable(result) else result


async def all_of(stream: Any) -> list[Any]:
    """Read a stream to its end."""
    return [item async for item in stream] if hasattr(stream, "__aiter__") else list(stream)


def text_of(chunks: list[Any], index: int = 0) -> str:
    """Put together what the chunks of one choice say."""
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


def _messages(question: Any) -> Any:
    is_messages = isinstance(question, list) and all(isinstance(item, dict) and "role" in item for item in question)
    return question if is_messages else [{"role": "user", "content": question}]
