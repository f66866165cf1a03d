"""What picks a mixture: a router, or a scorer whose scores are decided on in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mollm.calling.calls import Calls
    from mollm.types import PlannedCall, Question, Route


@runtime_checkable
class Router(Protocol):
    """Picks the mixture that answers a question.

    One that asks LLMs also has `plan(question) -> Sequence[PlannedCall]` with every call that it may make;
    without it no call is allowed.
    """

    @property
    def kind(self) -> str:
        """The router's kind as the YAML names it; it becomes `Route.router`."""
        ...

    async def route(self, question: Question, calls: Calls) -> Route:
        """Decide which mixture answers `question`; any text is allowed, also an empty one.

        Args:
            question: What is asked.
            calls: Makes the calls of this question; a router that asks no LLM has no use for it.

        Returns:
            A route to a mixture in any case. One that is the fallback for want of anything better has
            `is_sure` unset, and a chain then asks its next member.
        """
        ...


@runtime_checkable
class Scorer(Protocol):
    """Says what it thinks of every mixture; a `Decision` makes a route of it.

    `plan` is as for a router. One that sets `reads_last_only` looks at nothing but `Question.last`: where the
    decision falls to the fallback, a follow-up is scored again, joined with the message before it.
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
    """What a scorer thinks of every mixture."""

    probabilities: Mapping[str, float]
    """Mixture name to probability, each 0 to 1; empty where the scorer has no opinion."""
    reason: str
    """What it found, in a few words that a decision can go on from: `most like the examples of car`."""
    pick: str | None = None
    """The mixture that it takes to be the right one, certain where it has no probability; None: none of them."""
    familiarity: float = 1.0
    """How much of the question it knows, 0 to 1; one that cannot tell knows all of it."""


RouterLike: TypeAlias = "Router | Scorer | Callable[[Question], object]"
"""What may stand where a router is wanted; `own.as_router` says what a function may return."""


def plan_of(router: Router | Scorer, question: Question) -> tuple[PlannedCall, ...]:
    """Return the calls that a router or a scorer may make for `question`: none where it has no `plan`."""
    plan = getattr(router, "plan", None)
    return tuple(plan(question)) if plan else ()
