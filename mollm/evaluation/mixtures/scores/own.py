"""A function of somebody's own says how good an answer is."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from typing import TYPE_CHECKING, Any

from mollm.errors import ConfigError, MollmError
from mollm.evaluation.mixtures.scores.base import told
from mollm.loops import all_of, cancellations, in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeAlias

    from mollm.evaluation.mixtures.rows import Row

    Function: TypeAlias = Callable[[str, str, str], float | Awaitable[float]]

log = logging.getLogger("mollm.score")

SECONDS = 60.0
"""For one answer; as long as `aggregator.score` gives a function."""
AT_ONCE = 8
"""Answers that are scored side by side."""
MOST_THREADS = 64
"""Calls of a function that is no coroutine function and has not returned; what never does keeps its thread."""


class Own:
    """Scores by `function(question, answer, reference)`, which returns 0 to 1, or whether the answer is right.

    A function that raises, takes too long or returns anything else gives an answer no score, and the notes say where.
    """

    def __init__(self, function: object, name: str, seconds: float = SECONDS) -> None:
        """Take a function, or a coroutine function.

        Args:
            function: It is called with three texts.
            name: As the option names it.
            seconds: For one answer.

        Raises:
            ConfigError: It cannot be called so.
        """
        if not callable(function):
            raise ConfigError(f"{name!r} is no function but of the type {type(function).__name__!r}")
        try:
            inspect.signature(function).bind("", "", "")
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{name!r} cannot be called with a question, an answer and a reference: {error}"
            ) from error
        self.name = name
        self.is_exact = True  # until the function returns a score between
        self._function: Function = function
        self._seconds = seconds
        self._places = asyncio.Semaphore(AT_ONCE)
        self._threads = threading.BoundedSemaphore(MOST_THREADS)
        self._failures: list[str] = []

    def problem(self, row: Row) -> str | None:  # noqa: ARG002 - what a reference has to be, the function knows
        return None

    async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
        found = await all_of([self._one(row, who, text) for who, text in texts.items()]) if texts else []
        return dict(zip(texts, found, strict=True))

    def notes(self) -> tuple[str, ...]:
        return told(self._failures, "answers without a score")

    async def _one(self, row: Row, who: str, text: str) -> float | None:
        async with self._places:
            found, why = await self._called(row, text)
        self.is_exact &= found in (None, 0.0, 1.0)
        if why:
            self._failures.append(f"{row.place}: no score for {who}: {self.name} {why}")
        return found

    async def _called(self, row: Row, text: str) -> tuple[float | None, str]:
        """What the function says, or why that is nothing."""
        cancelled = cancellations()
        try:
            async with asyncio.timeout(self._seconds) as limit:
                return _number(await self._result(row.question, text, row.reference))
        except asyncio.CancelledError:
            if cancellations() > cancelled:
                raise
            return None, "cancelled itself"
        except MollmError as error:  # in mollm's own words: why the sandbox ran nothing, say
            return None, f"failed: {error}"
        except (Exception, SystemExit) as error:  # a function of somebody's own may raise anything
            if limit.expired():
                return None, f"took more than {self._seconds:g} s"
            log.warning("%s failed for an answer to %s", self.name, row.place, exc_info=error)
            return None, f"raised {type(error).__name__}: {str(error)[:200]}"

    async def _result(self, *arguments: str) -> Any:
        """Call it, in a thread of its own where it is no coroutine function."""
        if inspect.iscoroutinefunction(self._function) or inspect.iscoroutinefunction(type(self._function).__call__):
            return await self._function(*arguments)  # type: ignore[misc]
        if not self._threads.acquire(blocking=False):
            raise MollmError(f"{MOST_THREADS} calls of it have not returned yet")
        found = await in_thread(self._function, arguments, self._threads)
        return await found if inspect.isawaitable(found) else found


def _number(found: object) -> tuple[float | None, str]:
    """A number from 0 to 1, those of NumPy among them, or why it is none."""
    try:
        number = float("nan") if isinstance(found, str | bytes) else float(found)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if 0.0 <= number <= 1.0:
        return number, ""
    shown = repr(found) if found is None or isinstance(found, int | float) else f"a {type(found).__name__}"
    return None, f"returned {shown[:40]}, which is no number from 0 to 1"
