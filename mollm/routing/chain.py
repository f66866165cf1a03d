"""The router that asks others in turn: a cheap one first, a dear one when the cheap one does not know."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from mollm.routing.llm import LLMRouter

if TYPE_CHECKING:
    from mollm.calling.calls import Calls
    from mollm.routing.base import Router
    from mollm.types import Route


@dataclass(frozen=True, slots=True)
class ChainRouter:
    """Takes the route of the first member that is sure, else that of the last.

    `Route.router` is then `chain/` and the kind of the member that decided, and the reason tells what those
    before it said.
    """

    kind: ClassVar[str] = "chain"

    members: tuple[Router, ...]
    """In the order in which they are asked; at least one."""

    async def route(self, query: str, calls: Calls, *, before: str = "") -> Route:
        """Ask one member after the other until one is sure."""
        start = time.perf_counter()
        first, *others = self.members
        route = await first.route(query, calls, before=before)
        said = [f"{first.kind}: {route.reason}"]
        for member in others:
            if route.is_sure:
                break
            route = await member.route(query, calls, before=before)
            said.append(f"{member.kind}: {route.reason}")
        seconds = time.perf_counter() - start
        return replace(route, router=f"{self.kind}/{route.router}", reason="; ".join(said), seconds=seconds)


def llm_routers(router: Router) -> tuple[LLMRouter, ...]:
    """Return the routers in `router` that may each ask an LLM once for one question."""
    if isinstance(router, ChainRouter):
        return tuple(found for member in router.members for found in llm_routers(member))
    return (router,) if isinstance(router, LLMRouter) else ()
