"""Observers for who waits for an answer: a channel to one reader, who may be slow, and the answer alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mollm.events import STREAMED, Done, Token

if TYPE_CHECKING:
    from mollm.events import Event, Observer
    from mollm.types import Answer

MAX_TOKENS_WAITING = 256
"""Number of tokens that a slow reader may leave unread before mollm stops reading from the LLM."""


class Channel:
    """Hands events to one reader; only tokens wait if the reader is slow."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MAX_TOKENS_WAITING)

    def tell(self, event: Event) -> None:
        if isinstance(event, STREAMED):
            self._events.put_nowait(event)

    async def show(self, token: Token) -> None:
        await self._room.acquire()
        self._events.put_nowait(token)

    async def get(self) -> Event | None:
        event = await self._events.get()
        if isinstance(event, Token):
            self._room.release()
        return event

    def close(self) -> None:
        self._events.put_nowait(None)


class LastAnswer:
    """Keeps the answer, and passes every event on."""

    answer: Answer | None = None

    def __init__(self, observer: Observer | None) -> None:
        self._observer = observer

    def tell(self, event: Event) -> None:
        if isinstance(event, Done):
            self.answer = event.answer
        if self._observer:
            self._observer.tell(event)

    async def show(self, token: Token) -> None:
        if self._observer:
            await self._observer.show(token)
