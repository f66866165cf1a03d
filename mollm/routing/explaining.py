"""A route explained: what each member said, what it took, and which examples are nearest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mollm.plain import to_plain

if TYPE_CHECKING:
    from mollm.calling.calls import Calls
    from mollm.routing.base import Router
    from mollm.types import Question, Route


@dataclass(frozen=True, slots=True)
class Neighbor:
    """An example that is like a question."""

    mixture: str
    text: str
    similarity: float
    """Cosine, at most 1."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A route, and what it was made of."""

    route: Route
    threshold: float | None = None
    """Probability, 0 to 1, that had to be reached; None where nothing was held against one."""
    familiarity: float | None = None
    """Familiarity, 0 to 1, that had to be reached; None likewise."""
    members: tuple[Explanation, ...] = ()
    """What the members said that were asked, in their order."""
    weight: float | None = None
    """What it counted for among others, 0 where it was left out; None where nothing was weighed."""
    nearest: tuple[Neighbor, ...] = ()
    """Examples that are most like the question, the likest first."""

    def to_plain(self) -> dict[str, Any]:
        """Turn it into dictionaries, lists, strings and numbers."""
        return {
            **to_plain(self.route),
            "threshold": self.threshold,
            "familiarity_threshold": self.familiarity,
            "weight": self.weight,
            "members": [member.to_plain() for member in self.members],
            "nearest": [
                {"mixture": near.mixture, "text": near.text, "similarity": near.similarity} for near in self.nearest
            ],
        }


async def explained(router: Router, question: Question, calls: Calls) -> Explanation:
    """Route as `router` does, and explain it as far as it can."""
    explain = getattr(router, "explain", None)
    if explain is not None:
        found: Explanation = await explain(question, calls)
        return found
    return Explanation(await router.route(question, calls))


class Explaining:
    """Takes the place of a router for one question, and keeps the explanation of its route."""

    _router: Router

    def __init__(self) -> None:
        """Know nothing yet."""
        self._explanation: Explanation | None = None

    def through(self, router: Router) -> Router:
        """Take the router that is asked."""
        self._router = router
        return self

    def of(self, route: Route) -> Explanation:
        """Explain what became of the route; bare where no router was asked."""
        return replace(self._explanation, route=route) if self._explanation else Explanation(route)

    @property
    def kind(self) -> str:
        """That of the router."""
        return self._router.kind

    async def route(self, question: Question, calls: Calls) -> Route:
        """Route as the router does."""
        self._explanation = await explained(self._router, question, calls)
        return self._explanation.route
