"""The most that an evaluation may take: held at worst before a question is asked, counted as its calls end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self, TypeVar

from mollm.errors import LimitError
from mollm.evaluation.counting import count
from mollm.events import CallEnded, Retried
from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mollm.events import Event, Token
    from mollm.limits import WorstCase


T = TypeVar("T")


class CeilingReached(Exception):
    """What is left of a ceiling is too little for a question, and no question runs that could give something back."""


class Ceiling:
    """Calls and USD that all questions together may take.

    A retry counts as a call once it is made; none is held beforehand, so those of the questions that run when a ceiling
    is reached may go beyond it. What a call that failed has cost is known to nobody.

    Attributes:
        calls: Calls that have ended.
        retries: How often one of them was tried again.
        cost_usd: What they cost, as far as LLMs have prices.
        failures: Calls that failed.
    """

    def __init__(self, calls: int | None = None, cost_usd: float | None = None) -> None:
        """Nothing is spent yet; None: there is no such ceiling."""
        self._most_calls, self._most_cost = calls, cost_usd
        self.calls, self.retries, self.failures, self.cost_usd = 0, 0, 0, 0.0
        self._held: set[Share] = set()
        self._whole: list[WorstCase] = []
        self._changed = asyncio.Event()

    @property
    def needs_prices(self) -> bool:
        """Whether it is one of USD."""
        return self._most_cost is not None

    @property
    def why(self) -> str:
        """What to say of a question that was not asked."""
        has_retries = self.retries > 0 and self._most_calls is not None
        retried = f" ({count(self.retries, 'retry', 'retries')} among them)" if has_retries else ""
        return f"the ceiling of {self.most}{retried} was reached"

    @property
    def most(self) -> str:
        """What may be taken, in words."""
        parts = [count(self._most_calls, "call")] if self._most_calls is not None else []
        parts += [f"{self._most_cost:g} USD"] if self._most_cost is not None else []
        return " and ".join(parts)

    @property
    def is_bounded(self) -> bool:
        """Whether there is one at all."""
        return self._most_calls is not None or self._most_cost is not None

    def is_enough(self, calls: int, cost_usd: float) -> bool:
        """Whether so much stays below it."""
        return (self._most_calls is None or calls <= self._most_calls) and (
            self._most_cost is None or cost_usd <= self._most_cost
        )

    def price_of(self, worst: WorstCase) -> float:
        """USD that something may cost. Raises `LimitError` where they are to be counted and an LLM has no price."""
        if self._most_cost is not None and worst.cost_usd is None:
            unpriced = ", ".join(worst.unpriced)
            raise LimitError(
                f"{unpriced} has no price, so a ceiling of USD cannot be kept; give it one, or count calls"
            )
        return worst.cost_usd or 0.0

    @asynccontextmanager
    async def whole(self, worst: WorstCase) -> AsyncIterator[None]:
        """Wait until there is enough left for something that is asked in parts, or nothing else runs.

        Many that each begin with a part would leave none of them enough for the rest.
        """
        while self._whole:
            calls = self.calls + self.retries + sum(other.calls for other in self._whole) + worst.calls
            cost = self.cost_usd + sum(other.cost_usd or 0.0 for other in self._whole) + (worst.cost_usd or 0.0)
            if self.is_enough(calls, cost):
                break
            self._changed.clear()
            await self._changed.wait()
        self._whole.append(worst)
        try:
            yield
        finally:
            self._whole.remove(worst)
            self._changed.set()

    async def within(self, ask: Callable[[Share], Awaitable[T]]) -> T:
        """Ask a question as soon as there is enough left for it, and return what `ask` returns.

        Args:
            ask: Asks, with the share as its observer and its budget; called again where there was not enough left.

        Raises:
            CeilingReached: There is not, and no question runs that could give something back.
        """
        while True:
            with Share(self) as share:
                try:
                    return await ask(share)
                except LimitError:
                    if not share.is_refused:
                        raise
            await self._gives_back()

    async def _gives_back(self) -> None:
        """Wait until a question that runs has ended."""
        if not self._held:
            raise CeilingReached(self.why)
        self._changed.clear()
        await self._changed.wait()

    def allows(self, share: Share, worst: WorstCase) -> bool:
        """Whether a question may hold so much. Raises `LimitError` where an LLM has no price to be counted."""
        others = [held for held in self._held if held is not share]
        price = self.price_of(worst)
        calls = self.calls + self.retries - share.calls + sum(held.calls_left for held in others) + worst.calls
        cost = self.cost_usd - share.cost_usd + sum(held.cost_left for held in others) + price
        return self.is_enough(calls, cost)

    def hold(self, share: Share) -> None:
        """Count what a question may still take."""
        self._held.add(share)

    def release(self, share: Share) -> None:
        """Count what a question took, and no more."""
        self._held.discard(share)
        self._changed.set()


class Share:
    """The part of a ceiling that one question takes: its `Budget`, and the observer that counts its calls.

    Attributes:
        calls: That have ended.
        cost_usd: What they cost, as far as LLMs have prices.
        ended: Each of them.
        is_refused: There was not enough left for the question.
    """

    __slots__ = ("_ceiling", "_most_calls", "_most_cost", "calls", "cost_usd", "ended", "is_refused")

    def __init__(self, ceiling: Ceiling) -> None:
        self._ceiling = ceiling
        self._most_calls, self._most_cost = 0, 0.0
        self.calls, self.cost_usd, self.is_refused = 0, 0.0, False
        self.ended: list[CallEnded] = []

    @property
    def calls_left(self) -> int:
        """Calls that are held and have not ended."""
        return max(0, self._most_calls - self.calls)

    @property
    def cost_left(self) -> float:
        """USD that are held and not spent."""
        return max(0.0, self._most_cost - self.cost_usd)

    @property
    def usage(self) -> Usage:
        """Tokens of the calls that have ended."""
        return sum((event.call.usage for event in self.ended), Usage())

    @property
    def known_cost(self) -> float | None:
        """USD; None where no call had a price."""
        return self.cost_usd if any(event.call.cost_usd is not None for event in self.ended) else None

    def allows(self, worst: WorstCase) -> bool:
        """As `mollm.limits.Budget` says."""
        return self._ceiling.allows(self, worst)

    def reserve(self, worst: WorstCase) -> None:
        """As `mollm.limits.Budget` says. Raises `LimitError`."""
        if not self._ceiling.allows(self, worst):
            self.is_refused = True
            raise LimitError(self._ceiling.why)
        self._most_calls, self._most_cost = worst.calls, worst.cost_usd or 0.0
        self._ceiling.hold(self)

    def tell(self, event: Event) -> None:
        """Count a call that ended, and one that is tried again."""
        self._ceiling.retries += isinstance(event, Retried)
        if isinstance(event, CallEnded):
            self.ended.append(event)
            cost = event.call.cost_usd or 0.0
            self.calls += 1
            self.cost_usd += cost
            self._ceiling.calls += 1
            self._ceiling.cost_usd += cost
            self._ceiling.failures += event.call.error is not None and event.call.error.kind != "cancelled"

    async def show(self, token: Token) -> None:
        """Nobody reads along."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ceiling.release(self)
