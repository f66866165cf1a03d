"""The router that has no choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mollm.types import Route

if TYPE_CHECKING:
    from mollm.calling.calls import Calls
    from mollm.types import Question


class FixedRouter:
    """Sends every question to one mixture."""

    kind: ClassVar[str] = "fixed"

    def __init__(self, mixture: str) -> None:
        self.mixture = mixture

    async def route(self, question: Question, calls: Calls) -> Route:  # noqa: ARG002 - the interface has them
        """Return the one mixture, with probability 1."""
        return Route(
            mixture=self.mixture,
            probabilities={self.mixture: 1.0},
            router=self.kind,
            reason=f"every question goes to {self.mixture}",
        )
