"""Asking a router about many questions, and the time that each takes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mollm.routing.base import RouterLike
    from mollm.types import Route

Ask: TypeAlias = Callable[[str], Awaitable["Route"]]


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a router said of n questions."""

    routes: list[Route]
    seconds: list[float]
    picks: list[str] = field(init=False)
    """The likeliest mixture of each, whether it was accepted or not."""
    probabilities: NDArray[np.float64] = field(init=False)
    """Of these, shape (n,); 1 where the router has none."""

    def __post_init__(self) -> None:
        likeliest = [_likeliest(route) for route in self.routes]
        object.__setattr__(self, "picks", [pick for pick, _ in likeliest])
        object.__setattr__(self, "probabilities", np.array([share for _, share in likeliest], dtype=np.float64))

    @property
    def has_probabilities(self) -> bool:
        """Whether any question was given probabilities."""
        return any(route.probabilities for route in self.routes)

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Of which questions the router is sure, shape (n,)."""
        return np.array([route.is_sure for route in self.routes], dtype=np.bool_)

    @property
    def mentioned(self) -> set[str]:
        """All mixtures that it ever picked or gave a probability."""
        return set(self.picks).union(*(route.probabilities for route in self.routes))

    @property
    def decided(self) -> list[tuple[str, ...]]:
        """The mixtures that answer each question, as `answering`."""
        return [answering(route) for route in self.routes]

    def values(self, score: str) -> NDArray[np.float64]:
        """`familiarity`, with 0 where there is none, or `probability`, shape (n,)."""
        if score == "probability":
            return self.probabilities
        return np.array([route.familiarity or 0.0 for route in self.routes], dtype=np.float64)

    def milliseconds(self, share: float) -> float:
        """What a share of the questions, 0 to 1, takes at most, each."""
        return 1e3 * float(np.quantile(self.seconds, share))


def answering(route: Route) -> tuple[str, ...]:
    """The mixtures that answer a question: the one that was picked, and the second one joined to it."""
    return (route.mixture, route.second) if route.second else (route.mixture,)


async def say(ask: Ask, texts: Sequence[str]) -> Decisions:
    """Ask about one question after the other, and take the time of each."""
    routes, seconds = [], []
    for text in texts:
        start = time.perf_counter()
        routes.append(await ask(text))
        seconds.append(time.perf_counter() - start)
    return Decisions(routes, seconds)


def asking(router: RouterLike, fallback: str, *, multi: bool = False) -> Ask:
    """Ask a router, a scorer or a function, which may call no LLM; `MoLLM.aroute` asks one that does.

    Args:
        router: As `MoLLM(router=...)` takes it; a learned scorer decides with its own thresholds.
        fallback: The mixture that answers what no other one is picked for.
        multi: Whether a second mixture may be joined.
    """
    from mollm.calling.calls import Calls
    from mollm.messages import question_of
    from mollm.routing.decision import Decision
    from mollm.routing.own import as_router

    own = getattr(router, "decision", None)
    decision = own() if callable(own) else Decision(fallback)
    built = as_router(router, replace(decision, multi=multi))

    async def ask(text: str) -> Route:
        return await built.route(question_of([{"role": "user", "content": text}]), Calls({}))

    return ask


def _likeliest(route: Route) -> tuple[str, float]:
    if not any(route.probabilities.values()):
        return route.mixture, 1.0
    pick = max(route.probabilities, key=route.probabilities.__getitem__)
    return pick, route.probabilities[pick]
