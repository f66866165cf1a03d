"""A function of somebody's own scores the proposals."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from mollm.comparing.times import latest
from mollm.errors import ConfigError, MollmError
from mollm.loops import all_of, cancellations, in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mollm.types import Proposal, Question

    Function: TypeAlias = Callable[[Question, Proposal], float | Awaitable[float]]

log = logging.getLogger("mollm.score")

AT_ONCE = 8
"""Proposals of one question that are scored side by side."""
SHARE_OF_TIME = 0.75
"""Of what is left of a question's time, so much is there to score in; the rest is for what comes after."""
MOST_THREADS = 64
"""Calls of a function that is no coroutine function and has not returned; what never does keeps its thread."""


class NoScoreError(Exception):
    """A proposal has no score, and why."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Scores proposals by a function, which is given the question and one of them."""

    function: Function
    name: str
    """As the file names it."""
    seconds: float
    """For one proposal."""
    threads: threading.BoundedSemaphore
    """One for each call that has not returned."""

    @classmethod
    def of(cls, given: object, name: str, seconds: float) -> Judge:
        """Make a judge of what a file names.

        Raises:
            ConfigError: It cannot be called with a question and a proposal.
        """
        if not callable(given):
            raise ConfigError(f"{name!r} is no function but of the type {type(given).__name__!r}")
        try:
            inspect.signature(given).bind(None, None)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{name!r} cannot be called with a question and a proposal: {error}") from error
        return cls(given, name, seconds, threading.BoundedSemaphore(MOST_THREADS))

    async def score(
        self, question: Question, proposals: Sequence[Proposal], deadline: float
    ) -> tuple[list[Proposal], tuple[str, ...]]:
        """Score all proposals, a few at a time; what takes too long, or fails, leaves one without a score.

        Args:
            question: What was asked.
            proposals: What is scored.
            deadline: Of the question, on the event loop's clock; a share of the time until then is left.

        Returns:
            The proposals with their scores, and why some have none.
        """
        places, until = asyncio.Semaphore(AT_ONCE), latest(deadline, SHARE_OF_TIME)

        async def one(proposal: Proposal) -> tuple[Proposal, str]:
            async with places:
                try:
                    return replace(proposal, score=await self._score(question, proposal, until)), ""
                except NoScoreError as error:
                    return proposal, f"no score for {proposal.worker}: {error}"

        found = await all_of([one(proposal) for proposal in proposals])
        return [proposal for proposal, _ in found], tuple(why for _, why in found if why)

    async def _score(self, question: Question, proposal: Proposal, until: float) -> float:
        seconds = max(0.0, min(self.seconds, until - asyncio.get_running_loop().time()))
        cancelled = cancellations()
        try:
            async with asyncio.timeout(seconds) as limit:
                found = await self._called(question, proposal)
        except NoScoreError:
            raise
        except asyncio.CancelledError as error:
            if cancellations() > cancelled:
                raise
            raise self._failed(proposal, error) from error
        except MollmError as error:  # in mollm's own words: why the sandbox ran nothing, say
            raise NoScoreError(f"{self.name}: {error}") from error
        except (Exception, SystemExit) as error:  # a function of somebody's own may raise anything
            if limit.expired():
                raise NoScoreError(f"{self.name} took more than {seconds:.3g} s") from None
            raise self._failed(proposal, error) from error
        return _number(found, self.name)

    async def _called(self, question: Question, proposal: Proposal) -> Any:
        """Call it, in a thread of its own where it is no coroutine function."""
        if inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(type(self.function).__call__):
            return await self.function(question, proposal)  # type: ignore[misc]
        if not self.threads.acquire(blocking=False):
            raise NoScoreError(f"{MOST_THREADS} calls of {self.name} have not returned yet")
        found = await in_thread(self.function, (question, proposal), self.threads)
        return await found if inspect.isawaitable(found) else found

    def _failed(self, proposal: Proposal, error: BaseException) -> NoScoreError:
        """What is told of it: its kind alone, as clients read it; the log has the rest."""
        log.warning("%s failed for the proposal of %s", self.name, proposal.worker, exc_info=error)
        return NoScoreError(f"{self.name} raised {type(error).__name__}")


def with_scores(proposals: Sequence[Proposal], scored: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """All proposals of a question, those that were scored with their scores."""
    found = {(proposal.layer, proposal.worker): proposal for proposal in scored}
    return tuple(found.get((proposal.layer, proposal.worker), proposal) for proposal in proposals)


def _number(found: object, name: str) -> float:
    """What a function returned, as a number; those of NumPy are taken, and a truth value as 0 or 1."""
    with suppress(TypeError, ValueError, OverflowError):
        if not isinstance(found, str | bytes) and math.isfinite(number := float(found)):  # type: ignore[arg-type]
            return number
    raise NoScoreError(f"{name} returned {_shown(found)}, which is no finite number")


def _shown(found: object) -> str:
    return repr(found) if found is None or isinstance(found, float) else f"a {type(found).__name__}"
