"""A router that could not be built yet: the vectors of its examples come from an address that did not answer."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from mollm.errors import RunError
from mollm.routing.base import deadline, plan_of
from mollm.types import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.calling.calls import Calls
    from mollm.routing.base import Router
    from mollm.types import PlannedCall, Question


class DeferredRouter:
    """Builds a router with the next question, and is that router from then on; until then another one decides.

    Attributes:
        kind: That of the router.
    """

    def __init__(self, kind: str, fallback: str, build: Callable[[], Router], meanwhile: Router | None = None) -> None:
        """Build nothing yet.

        Args:
            kind: Of the router.
            fallback: The mixture that answers where nobody decides.
            build: Builds the router, and raises `RunError` where it cannot be built yet.
            meanwhile: Decides until then, as far as it can without what is lacking; None: nobody does.
        """
        self.kind = kind
        self._fallback, self._build, self._meanwhile = fallback, build, meanwhile
        self._router: Router | None = None
        self._building: Future[Router] | None = None
        self._lock = threading.Lock()

    def plan(self, question: Question) -> tuple[PlannedCall, ...]:
        """The calls of whoever decides, which are the same before and after: what is lacking calls no LLM."""
        router = self._router or self._meanwhile
        return plan_of(router, question) if router else ()

    async def route(self, question: Question, calls: Calls) -> Route:
        """Decide as the router does; unsure, for the fallback, where it cannot be built in time."""
        start = time.perf_counter()
        if self._router is None:
            try:
                self._router = await self._built(calls)
            except (RunError, TimeoutError) as error:
                why = f"the examples have no vectors yet ({str(error) or 'it takes longer than a question has time'})"
                return replace(await self._without(why, question, calls), seconds=time.perf_counter() - start)
        return await self._router.route(question, calls)

    async def _without(self, why: str, question: Question, calls: Calls) -> Route:
        if self._meanwhile is None:
            reason = f"{why}, so the fallback {self._fallback} answers"
            return Route(self._fallback, {}, self.kind, reason, is_sure=False)
        route = await self._meanwhile.route(question, calls)
        return replace(route, reason=f"{route.reason}; {why}")

    async def _built(self, calls: Calls) -> Router:
        """Wait for the build that is going on, or begin one: questions that come at once share it."""
        with self._lock:
            if self._building is None or self._building.done():
                self._building = started(self._build)
            building = self._building
        async with asyncio.timeout_at(deadline(calls)):
            return await asyncio.shield(asyncio.wrap_future(building))


def started(build: Callable[[], Router]) -> Future[Router]:
    """Build in a thread that nobody waits for when the process ends."""
    future: Future[Router] = Future()

    def run() -> None:
        try:
            future.set_result(build())
        except BaseException as error:  # noqa: BLE001 - whoever waits for it raises it
            future.set_exception(error)

    threading.Thread(target=run, name="mollm-router", daemon=True).start()
    return future
