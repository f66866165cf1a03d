"""Asynchronous code for callers without an event loop: one loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class LoopThread:
    """An event loop in a background thread, started on first use.

    It works where `asyncio.run` does not: in a notebook, whose own loop is running, and from many threads at
    once. It ends with `close()`, with the object, or with the interpreter.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finalizer: weakref.finalize[..., LoopThread] | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` there and wait for it; an interrupt here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what runs, close the loop and join the thread; a later `run` starts anew."""
        with self._lock:
            finalizer, self._finalizer, self._loop = self._finalizer, None, None
        if finalizer:
            finalizer()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = loop = asyncio.new_event_loop()
                stopped = asyncio.Event()
                thread = threading.Thread(target=_serve, args=(loop, stopped), name="mollm", daemon=True)
                thread.start()
                self._finalizer = weakref.finalize(self, _stop, loop, stopped, thread)
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    # The runner cancels what is left, closes asynchronous generators (HTTP sessions among them) and the loop.
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(_wait(stopped))


async def _wait(stopped: asyncio.Event) -> None:
    await stopped.wait()


def _stop(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event, thread: threading.Thread) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(stopped.set)
    if thread is not threading.current_thread():
        thread.join(timeout=5)
