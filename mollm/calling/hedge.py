"""A second address for a call that the first one leaves waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from mollm.errors import LLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class Hedge(Generic[T]):
    """Makes a second call while the first brings nothing, takes the reply that comes first, cancels the other.

    A server that hangs cannot be told from one that writes a long reply, and giving a call up to try another
    address would lose long replies. So both are waited for ("hedged requests": Dean and Barroso, The tail at
    scale, Communications of the ACM 2013). The first call runs in the task of its caller: a task of its own would
    cost every call a quarter of what it takes, for the few that need it.
    """

    def __init__(self, second: Callable[[], Coroutine[Any, Any, T] | None], *, after: float) -> None:
        """Wait `after` seconds, and then make the call that `second` returns; None: there is none to make."""
        self._loop = asyncio.get_running_loop()
        self._caller = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelled = self._caller.cancelling()
        self._make = second
        self._second: asyncio.Task[T] | None = None
        self._is_waiting = True
        self._has_won = False
        self._timer = self._loop.call_later(after, self._start)

    async def first_reply(self, call: Coroutine[Any, Any, T]) -> T:
        """Return what `call` brings, or the second call where that brings it sooner.

        Raises:
            LLMError: Both failed; or `call` did before there was a second.
        """
        try:
            return await call
        except asyncio.CancelledError:
            if self._second is None or not self._has_won or self._caller.cancelling() - 1 > self._cancelled:
                raise
            return self._second.result()
        except LLMError:
            self._is_waiting = False
            if self._second is None:
                raise
            return await self._second
        finally:
            await self._close()

    def _start(self) -> None:
        call = self._make()
        if call is not None:
            self._second = self._loop.create_task(call)
            self._second.add_done_callback(self._on_second)

    def _on_second(self, second: asyncio.Task[T]) -> None:
        if not second.cancelled() and second.exception() is None and self._is_waiting:
            self._has_won = True
            self._caller.cancel()

    async def _close(self) -> None:
        self._is_waiting = False
        self._timer.cancel()
        if self._has_won:
            self._caller.uncancel()
        if self._second is not None and not self._second.done():
            self._second.cancel()
            await asyncio.wait([self._second])
