"""An event loop for blocking callers, and several coroutines run as one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from mollm.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

T = TypeVar("T")


class LoopThread:
    """An event loop in a background thread, started on first use.

    Unlike `asyncio.run`, it works in a notebook, where a loop is already running, and from many threads at once.
    It ends with `close()`, with the object, or with the interpreter.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finalizer: weakref.finalize[..., LoopThread] | None = None
        self._process = os.getpid()

    @property
    def is_current(self) -> bool:
        """Whether the current code runs on this loop."""
        return self._loop is not None and asyncio._get_running_loop() is self._loop  # noqa: SLF001 - None, not an error

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` on the loop and wait for it; an interrupt of the caller cancels it.

        Raises:
            RuntimeError: Called from code on this loop, which would wait for itself.
            RunError: The loop was closed meanwhile.
        """
        if self.is_current:
            coroutine.close()
            raise RuntimeError("this code runs on mollm's own event loop: use the asynchronous call there")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise RunError("closed while a question was being answered") from None
        except BaseException:
            future.cancel()
            raise

    def schedule(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Start `coroutine` on the loop without waiting; do nothing if the loop is closed."""
        loop = self._loop
        if loop is None or loop.is_closed():
            coroutine.close()
        else:
            asyncio.run_coroutine_threadsafe(coroutine, loop)

    def close(self) -> None:
        """Cancel all tasks, close the loop and join the thread; a later `run` starts a new one."""
        with self._lock:
            finalizer, self._finalizer, self._loop = self._finalizer, None, None
        if finalizer:
            finalizer()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            # Threads do not survive a fork, and a loop that somebody closed does not run again.
            is_gone = self._loop is None or self._loop.is_closed() or self._process != os.getpid()
            if self._loop is None or is_gone:
                if self._finalizer:
                    self._finalizer.detach()
                self._process = os.getpid()
                loop, stopped = asyncio.new_event_loop(), asyncio.Event()
                thread = threading.Thread(target=_serve, args=(loop, stopped), name="mollm", daemon=True)
                thread.start()
                self._loop = loop
                self._finalizer = weakref.finalize(self, _stop, loop, stopped, thread)
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    # The runner cancels what is left, closes asynchronous generators (HTTP sessions among them) and the loop.
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(_wait(stopped))


async def _wait(stopped: asyncio.Event) -> None:
    await stopped.wait()


def _stop(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event, thread: threading.Thread) -> None:
    with suppress(RuntimeError):  # closed already
        loop.call_soon_threadsafe(stopped.set)
    if thread is not threading.current_thread():
        thread.join(timeout=5)


async def all_of(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines concurrently and return their results in order.

    The first error is raised once all others have been cancelled and have ended.
    """
    if len(coroutines) == 1:
        return [await coroutines[0]]
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
