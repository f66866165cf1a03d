"""The router that asks others in turn: a cheap one first, a dear one when the cheap one does not know."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from mollm.routing.base import plan_of

if TYPE_CHECKING:
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
        first, *others = self.members
        route = await first.route(question, calls)
        said = [f"{first.kind}: {route.reason}"]
        for member in others:
            if route.is_sure:
                break
            route = await member.route(question, calls)
            said.append(f"{member.kind}: {route.reason}")
        seconds = time.perf_counter() - start
        return replace(route, router=f"{self.kind}/{route.router}", reason="; ".join(said), seconds=seconds)
