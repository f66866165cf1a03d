"""The interfaces of routers and scorers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from mollm.calling.calls import checked_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mollm.calling.calls import Calls
    from mollm.routing.own import Chain, Ensemble
    from mollm.types import PlannedCall, Question, Route


SHARE_OF_TIME = 0.25
"""Of the time that a question has left; an LLM or an address that hangs must leave enough for the answer."""


@runtime_checkable
class Router(Protocol):
    """Picks the mixture that answers a question.

    One that calls LLMs also has `plan(question) -> Sequence[PlannedCall]`, which returns every call that it may make;
    without it no call is allowed.
    """

    @property
    def kind(self) -> str:
        """The router's kind as the YAML names it; it becomes `Route.router`."""
        ...

    async def route(self, question: Question, calls: Calls) -> Route:
        """Decide which mixture answers `question`, whose text may be empty.

        Args:
            question: The question.
            calls: Makes the calls of this question, if the router needs an LLM.

        Returns:
            A route to a mixture, in any case. If it is the fallback only because the router is not sure, `is_sure`
            is False, and a chain asks its next member.
        """
        ...


@runtime_checkable
class Scorer(Protocol):
    """Scores every mixture; a `Decision` turns the scores into a route.

    `plan` is as for a router. A scorer that only reads `Question.last` sets `reads_last_only`: if the decision is the
    fallback, a follow-up question is scored again, joined with the message before it.
    """

    @property
    def kind(self) -> str:
        """The scorer's kind as the YAML names it; it becomes `Route.router`."""
        ...

    async def score(self, question: Question, calls: Calls) -> Scores:
        """Score the mixtures for `question`. Arguments are those of `Router.route`."""
        ...


@dataclass(frozen=True, slots=True)
class Scores:
    """How well each mixture fits a question."""

    probabilities: Mapping[str, float]
    """Mixture to probability, each 0 to 1; empty if the scorer has no opinion."""
    reason: str
    """In a few words, the beginning of `Route.reason`: `most like the examples of car`."""
    pick: str | None = None
    """The mixture that it considers right, with certainty if it has no probability; None: none of them."""
    familiarity: float | None = None
    """What speaks for the question being of a kind that it knows at all, 0 to 1; None if it cannot tell."""
    suits: Callable[[str], float] | None = field(default=None, compare=False, repr=False)
    """How well a mixture suits by itself, 0 to 1, whatever the others do; None if only `probabilities` tell."""


RouterLike: TypeAlias = "Router | Scorer | Callable[[Question], object] | Chain | Ensemble"
"""What `router=` accepts; `own.as_router` says what a function may return."""


def plan_of(router: Router | Scorer, question: Question) -> tuple[PlannedCall, ...]:
    """Return the calls that a router or a scorer may make for `question`; none if it has no `plan`."""
    plan = getattr(router, "plan", None)
    return checked_plan(plan(question), router) if plan else ()


def deadline(calls: Calls) -> float | None:
    """Until when, on the event loop's clock, a choice may take; None without a limit."""
    if calls.deadline is None:
        return None
    now = asyncio.get_running_loop().time()
    return now + SHARE_OF_TIME * max(0.0, calls.deadline - now)
