"""The router that asks others in turn: a cheap one first, a dear one when the cheap one does not know."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from mollm.routing.base import plan_of
from mollm.routing.explaining import Explanation, explained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.calling.calls import Calls
    from mollm.routing.base import Router
    from mollm.types import PlannedCall, Question, Route


@dataclass(frozen=True, slots=True)
class ChainRouter:
    """Takes the route of the first member that is sure, else that of the last.

    `Route.router` is then `chain/` and the kind of the member that decided, and the reason tells what those
    before it said.
    """

    kind: ClassVar[str] = "chain"

    members: tuple[Router, ...]
    """In the order in which they are asked; at least one."""

    def plan(self, question: Question) -> tuple[PlannedCall, ...]:
        """The calls of all members, as if none was sure before the last."""
        return tuple(planned for member in self.members for planned in plan_of(member, question))

    async def route(self, question: Question, calls: Calls) -> Route:
        """Ask one member after the other until one is sure."""
        start = time.perf_counter()
        routes: list[Route] = []
        for member in self.members:
            routes.append(await member.route(question, calls))
            if routes[-1].is_sure:
                break
        return self._decided(routes, start)

    async def explain(self, question: Question, calls: Calls) -> Explanation:
        """Ask as `route` does, and say what each member said that was asked."""
        start = time.perf_counter()
        parts: list[Explanation] = []
        for member in self.members:
            parts.append(await explained(member, question, calls))
            if parts[-1].route.is_sure:
                break
        last = parts[-1]
        route = self._decided([part.route for part in parts], start)
        return Explanation(route, last.threshold, last.familiarity, tuple(parts))

    def _decided(self, routes: Sequence[Route], start: float) -> Route:
        """The route of the last member that was asked, with what those before it said."""
        said = [f"{member.kind}: {route.reason}" for member, route in zip(self.members, routes, strict=False)]
        seconds, last = time.perf_counter() - start, routes[-1]
        return replace(last, router=f"{self.kind}/{last.router}", reason="; ".join(said), seconds=seconds)
