"""A router of one's own: a router, a scorer, a function, or several of these together."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mollm.errors import ConfigError, RoutingError
from mollm.routing.base import Router, Scorer, Scores
from mollm.routing.chain import ChainRouter
from mollm.routing.decision import ScoringRouter
from mollm.types import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mollm.calling.calls import Calls
    from mollm.routing.base import RouterLike
    from mollm.routing.decision import Decision
    from mollm.routing.ensemble import EnsembleScorer
    from mollm.routing.recent import Recent
    from mollm.types import Question

RETURNS = "the name of a mixture, probabilities (0 to 1) by name, Scores or a Route"


@dataclass(frozen=True, slots=True, init=False)
class Chain:
    """Routers, scorers or functions that are asked in turn until one is sure."""

    members: tuple[RouterLike, ...]

    def __init__(self, *members: RouterLike) -> None:
        """Take them in the order in which they are asked; at least one."""
        object.__setattr__(self, "members", members)


@dataclass(frozen=True, slots=True, init=False)
class Ensemble:
    """Scorers or functions that are all asked; what they think of every mixture is added up."""

    members: tuple[Scorer | Callable[[Question], object], ...]
    weights: tuple[float, ...]

    def __init__(self, *members: Scorer | Callable[[Question], object], weights: Sequence[float] | None = None) -> None:
        """Take at least one; `weights`, one for each and at least 0, say what they count for, unset: all the same."""
        object.__setattr__(self, "members", members)
        object.__setattr__(self, "weights", tuple([1.0] * len(members) if weights is None else weights))


def as_router(given: RouterLike, decision: Decision) -> Router:
    """Make a router of what a caller gives.

    Args:
        given: A `Router`, taken as it is; a `Scorer`; a `Chain` or an `Ensemble`; or a function, plain or async, that
            takes the `Question` and returns the name of a mixture, a mapping of names to probabilities, `Scores`, or a
            `Route`.
        decision: What is done about scores.

    Raises:
        ConfigError: It is none of these.
    """
    if isinstance(given, Chain) and given.members:
        return ChainRouter(tuple(as_router(member, decision) for member in given.members))
    if isinstance(given, Ensemble):
        return ScoringRouter(_ensemble(given), decision)
    if not isinstance(given, type):
        if isinstance(given, Router):
            return given
        if isinstance(given, Scorer):
            return ScoringRouter(given, decision)
        if callable(given):
            return FunctionRouter(given, decision)
    if isinstance(given, Chain):
        raise ConfigError("a Chain has at least one member")
    what = f"the class {given.__name__}, not an object of it" if isinstance(given, type) else repr(type(given).__name__)
    raise ConfigError(
        f"router= takes an object with a `kind` and `async def route(question, calls)`, one with a `kind` and "
        f"`async def score(question, calls)`, or a function of the question; it was given {what}"
    )


def as_scorer(given: object) -> Scorer:
    """Make a member of an ensemble of what a caller gives: a `Scorer` or a function.

    Raises:
        ConfigError: It is neither; a router has decided already, and says not enough of the other mixtures.
    """
    if not isinstance(given, type):
        if isinstance(given, Scorer):
            return given
        if callable(given) and not isinstance(given, Router):
            return FunctionScorer(given)
    what = f"the class {given.__name__}" if isinstance(given, type) else repr(type(given).__name__)
    raise ConfigError(
        f"a member of an ensemble is an object with a `kind` and `async def score(question, calls)`, or a function "
        f"of the question; it was given {what}"
    )


def _ensemble(given: Ensemble) -> EnsembleScorer:
    from mollm.routing.ensemble import EnsembleScorer, Member
    from mollm.routing.weighing import relative

    weights = given.weights
    if not given.members or len(weights) != len(given.members):
        raise ConfigError(f"an Ensemble of {len(given.members)} members with {len(weights)} weights")
    if not all(0.0 <= weight < math.inf for weight in weights) or not any(weights):
        raise ConfigError(f"the weights of an Ensemble are at least 0, and one of them above it, not {weights!r}")
    members = zip(given.members, relative(weights).weights, strict=True)
    return EnsembleScorer(tuple(Member(as_scorer(member), weight) for member, weight in members))


def _kind_of(function: Callable[[Question], Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__)).strip("<>")


async def _returned(function: Callable[[Question], Any], question: Question) -> object:
    found = function(question)
    return await found if inspect.isawaitable(found) else found


@dataclass(frozen=True, slots=True)
class FunctionScorer:
    """A function as a member of an ensemble."""

    function: Callable[[Question], Any]

    @property
    def kind(self) -> str:
        """Name of the function."""
        return _kind_of(self.function)

    async def score(self, question: Question, calls: Calls) -> Scores:  # noqa: ARG002 - a function gets no calls
        """Score by what the function returns; a `Route` stands for its probabilities.

        Raises:
            RoutingError: It is nothing that names a mixture.
        """
        found = await _returned(self.function, question)
        if isinstance(found, Route):
            return Scores(found.probabilities, found.reason, found.mixture, found.familiarity)
        return _scores_of(found, self.kind)


@dataclass(frozen=True, slots=True)
class FunctionRouter:
    """A function that is asked about every question; it calls nobody, so it has nothing to plan."""

    function: Callable[[Question], Any]
    decision: Decision
    recent: Recent | None = None
    """As in `ScoringRouter`."""

    @property
    def kind(self) -> str:
        """Name of the function."""
        return _kind_of(self.function)

    async def route(self, question: Question, calls: Calls) -> Route:  # noqa: ARG002 - a function gets no calls
        """Decide by what the function returns.

        Raises:
            RoutingError: It is nothing that names a mixture.
        """
        start = time.perf_counter()
        found = await _returned(self.function, question)
        if isinstance(found, Route):
            return found
        decision = self.recent.applied(self.decision) if self.recent is not None else self.decision
        scores = _scores_of(found, self.kind)
        if self.recent is not None:
            self.recent.note(decision.weight(scores))
        return replace(decision.decide(scores, self.kind), seconds=time.perf_counter() - start)


def _scores_of(found: object, kind: str) -> Scores:
    if isinstance(found, Scores):
        return found
    if isinstance(found, str):
        return Scores({}, f"{kind} picks {found}", found)
    if isinstance(found, Mapping) and all(map(_is_share, found.items())):
        likeliest = max(found, key=found.__getitem__, default=None)
        what = "nothing suitable" if likeliest is None else f"{likeliest} likeliest"
        return Scores(found, f"{kind} finds {what}", likeliest)
    raise RoutingError(f"the router {kind} returned {found!r:.200}; allowed is {RETURNS}")


def _is_share(item: tuple[object, object]) -> bool:
    name, share = item
    return isinstance(name, str) and isinstance(share, int | float) and 0.0 <= share <= 1.0
