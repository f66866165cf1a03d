"""The one interface every router satisfies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from mollm.calling.calls import Calls
    from mollm.types import Route


@runtime_checkable
class Router(Protocol):
    """Picks the mixture that answers a question."""

    @property
    def kind(self) -> str:
        """The router's kind as the YAML names it; it becomes `Route.router`."""
        ...

    async def route(self, query: str, calls: Calls, *, before: str = "") -> Route:
        """Decide which mixture answers `query`; any text is allowed, also an empty one.

        Args:
            query: The last message of the user.
            calls: Makes the calls of this request; a router that asks no LLM has no use for it.
            before: The user's message before, for a follow-up that says little by itself; empty without one.

        Returns:
            A route to a mixture in any case. One that is the fallback for want of anything better has
            `is_sure` unset, and a chain then asks its next member.
        """
        ...
