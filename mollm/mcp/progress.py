"""How far a question is, in steps that only go forward."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from mollm.events import Arrived, Comparing, Failed, Routed, Started, Writing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mollm.catalog import Catalog
    from mollm.events import Event, Token


class Step(NamedTuple):
    """How far a question is."""

    done: int
    of: int
    """All steps that were planned; the last one is the answer itself."""
    words: str


class Steps:
    """Counts what is told of one question: a worker asked is a step, and so is its end, the comparison, the writing."""

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        """Know of no mixture yet; `catalog` gives the one in force."""
        self._catalog = catalog
        self._done = self._asked = self._planned = self._answered = self._failed = 0
        self._of = 2

    def after(self, event: Event) -> Step | None:
        """Return how far the question is, if that has changed with what happened."""
        match event:
            case Routed(route):
                names = [route.mixture, *([route.second] if route.second else [])]
                return self._routed(names)
            case Started():
                self._asked += 1
                return self._at(self._done + 1, self._workers())
            case Arrived():
                self._answered += 1
                return self._at(self._done + 1, self._workers())
            case Failed():
                self._failed += 1
                return self._at(self._done + 1, self._workers())
            case Comparing():
                return self._at(self._of - 2, "comparing the proposals")
            case Writing():
                return self._at(self._of - 1, "writing the answer")
        return None

    def _routed(self, names: list[str]) -> Step | None:
        known = self._catalog().mixtures
        found = [known[name] for name in names if name in known]
        self._planned = sum(mixture.planned * mixture.rules.layers for mixture in found) or 1
        compares = any(mixture.compares for mixture in found)
        # Routed, asked and ended for each worker, compared, writing, and the answer.
        self._of = 1 + 2 * self._planned + compares + 2
        workers = f"{self._planned} worker{'s' if self._planned > 1 else ''} planned"
        return self._at(1, f"{' and '.join(names)}: {workers}")

    def _workers(self) -> str:
        failed = f", {self._failed} not" if self._failed else ""
        return f"{self._asked} of {self._planned} workers asked, {self._answered} answered{failed}"

    def _at(self, done: int, words: str) -> Step | None:
        # The answer is the last step, and comes by itself.
        done = min(done, self._of - 1)
        if done <= self._done:
            return None
        self._done = done
        return Step(done, self._of, words)


class Reporter:
    """An observer that reports the latest step; while a slow client reads one, those between are left out."""

    def __init__(self, steps: Steps, report: Callable[[Step], Awaitable[None]]) -> None:
        """Report nothing yet."""
        self._steps, self._report = steps, report
        self._latest: Step | None = None
        self._news = asyncio.Event()

    def tell(self, event: Event) -> None:
        """Hear what happened."""
        if step := self._steps.after(event):
            self._latest = step
            self._news.set()

    async def show(self, token: Token) -> None:
        """Hear a piece of the answer, which is sent whole."""

    async def run(self) -> None:
        """Report until this is cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._latest is not None:
                await self._report(self._latest)
