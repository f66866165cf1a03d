"""The one interface every router satisfies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from mollm.calling.calls import Calls
    from mollm.types import PlannedCall, Question, Route


@runtime_checkable
class Router(Protocol):
    """Picks the mixture that answers a question."""

    @property
    def kind(self) -> str:
        """The router's kind as the YAML names it; it becomes `Route.router`."""
        ...

    async def route(self, question: Question, calls: Calls) -> Route:
        """Decide which mixture answers `question`.

        Args:
            question: What is asked; its texts may be empty.
            calls: Makes the calls of this question; a router that asks no LLM has no use for it.

        Returns:
            A route to a mixture in any case. One that is the fallback for want of anything better has
            `is_sure` unset, and a chain then asks its next member.
        """
        ...


def plan_of(router: object, question: Question) -> tuple[PlannedCall, ...]:
    """Every call that `router` may make for `question`; none where it has no `plan`."""
    plan = getattr(router, "plan", None)
    return tuple(plan(question)) if plan else ()
