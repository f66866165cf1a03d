"""`MoLLM`: ask, stream and batch, with and without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

from mollm.catalog import Catalog
from mollm.config.load import load_config
from mollm.errors import RequestError
from mollm.graph import compile_graph
from mollm.tasks import all_of
from mollm.types import Done, Options, RequestOptions, Token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping
    from pathlib import Path

    from mollm.config.schema import Config
    from mollm.routing.base import Router
    from mollm.types import Answer, Call, Event, Listener, Message

MAX_TOKENS_WAITING = 256
"""Tokens a slow reader may leave unread before the upstream is no longer read."""


class MoLLM:
    """A configuration, ready to answer.

    Safe to use from many tasks and threads at once. HTTP connections are kept per event loop; the calls
    without `a` in front run on a background loop of this object, so they also work in a notebook.
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | Config | None = None,
        *,
        llms: Mapping[str, Any] | None = None,
        router: Router | None = None,
    ) -> None:
        """Build everything the configuration describes; nothing is asked yet.

        Args:
            config: A YAML file, a dictionary of the same shape, or a `Config`; None as for the command.
            llms: LLMs to use instead of configured ones, by name: LangChain chat models, or `LLM`s.
            router: Picks the mixture instead of the configured router.

        Raises:
            ConfigError: Everything that is wrong with the configuration.
        """
        self.catalog = Catalog(load_config(config), llms, router)
        self.graph = compile_graph(self.catalog)

    def ask(self, question: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Answer:
        """Answer `question`: a text, or a conversation in OpenAI's form.

        Args:
            question: What is asked.
            options: `mixture`, `tools`, `tool_choice`, `seed`, `max_tokens`, `temperature`, `top_p`, `stop`,
                `response_format`, `n`, `logprobs`, `top_logprobs`, `extra_body`; see `Options`.

        Raises:
            UserError: The request cannot be answered as it stands, or exceeds a limit.
            RunError: Too few workers answered, or a single LLM failed.
        """
        return self.catalog.loop_thread.run(self.aask(question, **options))

    async def aask(self, question: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Answer:
        """As `ask`, on the running event loop."""
        last = _Last()
        await self.arun(question, last, **options)
        return last.answer

    def stream(
        self, question: str | Sequence[Message], **options: Unpack[RequestOptions]
    ) -> Generator[Event, None, None]:
        """Yield what happens as it happens: `Routed`, `Started`, `Arrived`, `Failed`, `Token`, and `Done` last.

        Closing the generator stops every call that still runs. Arguments and errors are those of `ask`.
        """
        thread = self.catalog.loop_thread
        events = self.astream(question, **options)
        try:
            while True:
                try:
                    yield thread.run(anext(events))
                except StopAsyncIteration:
                    return
        finally:
            # Not waited for: a generator that was forgotten is closed wherever the garbage is collected.
            thread.schedule(events.aclose())

    async def astream(
        self, question: str | Sequence[Message], **options: Unpack[RequestOptions]
    ) -> AsyncGenerator[Event, None]:
        """As `stream`, on the running event loop."""
        channel = _Channel()
        task = asyncio.create_task(self.arun(question, channel, stream=True, **options))
        task.add_done_callback(lambda _: channel.close())
        try:
            while (event := await channel.get()) is not None:
                yield event
            await task
        finally:
            task.cancel()
            await asyncio.wait([task])

    def batch(
        self, questions: Sequence[str | Sequence[Message]], *, concurrency: int = 8, **options: Unpack[RequestOptions]
    ) -> list[Answer]:
        """Answer many questions, `concurrency` at a time, in their order.

        The first error ends the batch: what still runs is cancelled, and the error is raised.
        """
        return self.catalog.loop_thread.run(self.abatch(questions, concurrency=concurrency, **options))

    async def abatch(
        self, questions: Sequence[str | Sequence[Message]], *, concurrency: int = 8, **options: Unpack[RequestOptions]
    ) -> list[Answer]:
        """As `batch`, on the running event loop."""
        if concurrency < 1:
            raise RequestError("concurrency must be at least 1")
        slots = asyncio.Semaphore(concurrency)

        async def answer(question: str | Sequence[Message]) -> Answer:
            async with slots:
                return await self.aask(question, **options)

        return await all_of([answer(question) for question in questions])

    def close(self) -> None:
        """Close the background loop with its connections, and free the memory of embedded LLMs."""
        self.catalog.close()

    async def aclose(self) -> None:
        """Close what was opened on the running event loop, and all that `close` closes."""
        await self.catalog.aclose()
        await asyncio.to_thread(self.catalog.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def arun(
        self,
        question: str | Sequence[Message],
        listener: Listener,
        *,
        stream: bool = False,
        id: str | None = None,  # noqa: A002 - the field's name
        **options: Unpack[RequestOptions],
    ) -> None:
        """Answer `question` for a `listener`, which is called in the task that runs this.

        It hears the events that `stream` yields, and what each call took. With `stream` the answer is written
        token by token; `id` becomes the answer's. Options and errors are those of `ask`.
        """
        context = Options(id=id, messages=_messages(question), stream=stream, listener=listener, **options)
        await self.graph.ainvoke({"messages": []}, context=context)


class _Last:
    """A listener that only waits for the answer; tokens are not asked for."""

    answer: Answer

    def tell(self, event: Event) -> None:
        if isinstance(event, Done):
            self.answer = event.answer

    async def show(self, token: Token) -> None: ...

    def account(self, call: Call) -> None: ...


class _Channel:
    """A listener that hands events to one reader; tokens wait for a slow one, other events never do."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MAX_TOKENS_WAITING)

    def tell(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def show(self, token: Token) -> None:
        await self._room.acquire()
        self._events.put_nowait(token)

    def account(self, call: Call) -> None: ...

    async def get(self) -> Event | None:
        event = await self._events.get()
        if isinstance(event, Token):
            self._room.release()
        return event

    def close(self) -> None:
        self._events.put_nowait(None)


def _messages(question: str | Sequence[Message]) -> tuple[Message, ...]:
    if isinstance(question, str):
        return ({"role": "user", "content": question},)
    if not isinstance(question, Sequence):
        raise RequestError(f"a question is a text or a list of messages, not {type(question).__name__}")
    messages: tuple[Any, ...] = tuple(question)
    for message in messages:
        if not isinstance(message, dict) or "role" not in message:
            raise RequestError(f"a message is a dictionary with a 'role', not {type(message).__name__}")
        parts = message.get("content")
        if isinstance(parts, list) and not all(isinstance(part, str | dict) for part in parts):
            raise RequestError("the parts of a message's content are texts or dictionaries")
    return messages
