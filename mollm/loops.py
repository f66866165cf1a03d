"""An event loop for blocking callers, several coroutines run as one, and whether a task was cancelled."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import sys
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from mollm.errors import RunError, interpreter_ends

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

T = TypeVar("T")


class LoopThread:
    """An event loop in a background thread, started on first use.

    Unlike `asyncio.run`, it works in a notebook, where a loop is already running, and from many threads at once.
    It ends with `close()`, with the object, or with the interpreter.
    """

    def __init__(self) -> None:
        # Reentrant: a thread that has it may collect garbage, and so run a `__del__` that asks.
        self._lock = threading.RLock()
        self._running: list[_Running] = []
        # From the beginning, so that `atexit` functions of whoever made this object may still ask.
        self._finalizer = weakref.finalize(self, _stop, self._running)

    @property
    def is_current(self) -> bool:
        """Whether the current code runs on this loop."""
        loop = asyncio._get_running_loop()  # noqa: SLF001 - None, not an error
        return loop is not None and any(running.loop is loop for running in self._running)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` on the loop, in the caller's context, and wait; an interrupt of the caller cancels it.

        Raises:
            RuntimeError: Called from code on this loop, which would wait for itself.
            RunError: The loop was closed meanwhile, or the interpreter ends.
        """
        try:
            if self.is_current:
                raise RuntimeError("this code runs on mollm's own event loop: use the asynchronous call there")
            loop = self._started()
        except BaseException:
            coroutine.close()
            raise
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise RunError("closed while a question was being answered") from None
        except BaseException as error:
            future.cancel()
            # By then no executor takes work any more, in which names are resolved and libraries imported.
            if isinstance(error, RuntimeError) and not threading.main_thread().is_alive():
                raise interpreter_ends() from error
            raise

    def schedule(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Start `coroutine` on the loop without waiting; do nothing if the loop is closed."""
        if loop := next((running.loop for running in list(self._running) if running.is_usable), None):
            asyncio.run_coroutine_threadsafe(coroutine, loop)
        else:
            coroutine.close()

    def close(self) -> None:
        """Cancel all tasks, close the loop and join the thread; a later `run` starts a new one."""
        with self._lock:
            stopping = self._running.copy()
            self._running.clear()
        _stop(stopping)

    def _started(self) -> asyncio.AbstractEventLoop:
        # At the very end threads stand still, and whoever waits for one waits for ever.
        if sys.is_finalizing() or not self._finalizer.alive:
            raise interpreter_ends()
        with self._lock:
            self._running[:] = [running for running in self._running if running.is_usable]
            if not self._running:
                self._running.append(_Running.start())
            return self._running[-1].loop


@dataclass(frozen=True, slots=True)
class _Running:
    """A loop, and the thread that it runs in."""

    loop: asyncio.AbstractEventLoop
    stopped: asyncio.Event
    thread: threading.Thread
    process: int

    @classmethod
    def start(cls) -> Self:
        loop, stopped = asyncio.new_event_loop(), asyncio.Event()
        thread = threading.Thread(target=_serve, args=(loop, stopped), name="mollm", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            loop.close()
            if threading.main_thread().is_alive():
                raise RunError(f"there is no thread to answer in: {error}") from error
            raise interpreter_ends() from error  # Python 3.12 and later start none at the end
        return cls(loop, stopped, thread, os.getpid())

    @property
    def is_usable(self) -> bool:
        """Threads do not survive a fork, and a loop that somebody closed does not run again."""
        return self.process == os.getpid() and not self.loop.is_closed()


def _serve(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    # The runner cancels what is left, closes asynchronous generators (HTTP sessions among them) and the loop.
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(_wait(stopped))


async def _wait(stopped: asyncio.Event) -> None:
    await stopped.wait()


def _stop(stopping: list[_Running]) -> None:
    for running in stopping:
        if running.process != os.getpid():
            continue
        with suppress(RuntimeError):  # closed already
            running.loop.call_soon_threadsafe(running.stopped.set)
        if running.thread is not threading.current_thread() and not sys.is_finalizing():
            running.thread.join(timeout=5)


def cancellations() -> int:
    """How often the running task was cancelled from outside; a library that cancels itself does not count."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


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


async def in_thread(function: Any, arguments: Sequence[object], threads: threading.BoundedSemaphore) -> Any:
    """Call a function of somebody's own in a thread of its own, which is left alone where nobody waits any longer.

    Args:
        function: It may raise anything.
        arguments: What it is called with.
        threads: Released when it returns, which may be after nobody waits any longer; the caller has acquired it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: object, error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error is not None else done.set_result(result)

    def work() -> None:
        result, error = None, None
        try:
            result = function(*arguments)
        except BaseException as raised:  # noqa: BLE001 - raised where it is waited for
            # An event loop takes no `StopIteration`, and one that ends threads is not the question's.
            error = raised if isinstance(raised, Exception) and not isinstance(raised, StopIteration) else None
            error = error or RuntimeError(f"it raised {type(raised).__name__}")
        finally:
            threads.release()
        with suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="mollm-own", daemon=True).start()
    return await done
