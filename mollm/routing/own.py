"""A router of one's own: a router, a scorer, or a function."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mollm.errors import ConfigError, RoutingError
from mollm.routing.base import Router, Scorer, Scores
from mollm.routing.decision import ScoringRouter
from mollm.types import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.calling.calls import Calls
    from mollm.routing.base import RouterLike
    from mollm.routing.decision import Decision
    from mollm.types import Question

RETURNS = "the name of a mixture, probabilities (0 to 1) by name, Scores or a Route"


def as_router(given: RouterLike, decision: Decision) -> Router:
    """Make a router of what a caller gives.

    Args:
        given: A `Router`, taken as it is; a `Scorer`; or a function, plain or async, that takes the `Question`
            and returns the name of a mixture, a mapping of names to probabilities, `Scores`, or a `Route`.
        decision: What is done about scores.

    Raises:
        ConfigError: It is none of these.
    """
    if not isinstance(given, type):
        if isinstance(given, Router):
            return given
        if isinstance(given, Scorer):
            return ScoringRouter(given, decision)
        if callable(given):
            return FunctionRouter(given, decision)
    what = f"the class {given.__name__}, not an object of it" if isinstance(given, type) else repr(type(given).__name__)
    raise ConfigError(
        f"router= takes an object with a `kind` and `async def route(question, calls)`, one with a `kind` and "
        f"`async def score(question, calls)`, or a function of the question; it was given {what}"
    )


@dataclass(frozen=True, slots=True)
class FunctionRouter:
    """A function that is asked about every question; it calls nobody, so it has nothing to plan."""

    function: Callable[[Question], Any]
    decision: Decision

    @property
    def kind(self) -> str:
        """Name of the function."""
        return str(getattr(self.function, "__name__", type(self.function).__name__)).strip("<>")

    async def route(self, question: Question, calls: Calls) -> Route:  # noqa: ARG002 - a function gets no calls
        """Decide by what the function returns.

        Raises:
            RoutingError: It is nothing that names a mixture.
        """
        start = time.perf_counter()
        found = self.function(question)
        if inspect.isawaitable(found):
            found = await found
        if isinstance(found, Route):
            return found
        scores = found if isinstance(found, Scores) else self._scores(found)
        return replace(self.decision.decide(scores, self.kind), seconds=time.perf_counter() - start)

    def _scores(self, found: object) -> Scores:
        if isinstance(found, str):
            return Scores({}, f"{self.kind} picks {found}", found)
        if isinstance(found, Mapping) and all(map(_is_share, found.items())):
            likeliest = max(found, key=found.__getitem__, default=None)
            what = "nothing suitable" if likeliest is None else f"{likeliest} likeliest"
            return Scores(found, f"{self.kind} finds {what}", likeliest)
        raise RoutingError(f"the router {self.kind} returned {found!r:.200}; allowed is {RETURNS}")


def _is_share(item: tuple[object, object]) -> bool:
    name, share = item
    return isinstance(name, str) and isinstance(share, int | float) and 0.0 <= share <= 1.0
