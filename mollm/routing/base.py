"""The one interface every router satisfies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from mollm.types import Route


@runtime_checkable
class Router(Protocol):
    """Picks the mixture that answers a question."""

    @property
    def kind(self) -> str:
        """The router's kind as the YAML names it; it becomes `Route.router`."""
        ...

    async def route(self, query: str) -> Route:
        """Decide which mixture answers `query`; any text is allowed, also an empty one."""
        ...
