"""What is kept of an answer, what people say of it, and what a store of both does."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mollm.config.arms import ROUTER, arms_of
from mollm.errors import FeedbackError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from mollm.types import Answer

MOST_TEXT = 100_000
"""Characters of a question, an answer or a proposal that are kept, and of a better answer."""
MOST_NOTE = 10_000
"""Characters of a note."""
PATIENCE = 10.0
"""Seconds that somebody waits for a store."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rating:
    """What somebody says of an answer; `rating_of` makes one."""

    score: float
    """-1 (worst) to 1 (best)."""
    better: str | None = None
    """The text of a better answer."""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer as it is kept."""

    id: str
    time: float
    """When it was given, in Unix seconds."""
    key: str
    """Name of the server's key with which it was asked; empty without one."""
    question: str
    """Text of the last message of the user; empty if it has none."""
    mixture: str
    """The one that answered."""
    route: Mapping[str, Any]
    """The `Route`, as plain data."""
    proposals: tuple[Mapping[str, Any], ...] | None
    """As plain data; None if they are not kept."""
    text: str
    """The answer."""
    calls: int
    tokens: int
    """Of all calls, prompts and replies."""
    cost_usd: float | None
    seconds: float | None
    rating: Rating | None = None
    """The last one."""
    rated: float | None = None
    """When it was rated, in Unix seconds."""

    @property
    def arms(self) -> dict[str, str]:
        """The arm in each test that it took part in, by `router` or the name of the mixture that was picked."""
        return arms_of(self.route.get("arm"))


@dataclass(frozen=True, slots=True)
class Rated:
    """A rated answer, as routers are trained on it."""

    id: str
    """Of the answer."""
    question: str
    """Text of the last message of the user; empty if it has none."""
    mixture: str
    """The one that the router picked, or the caller named, also where another answered as an arm of it."""
    probabilities: Mapping[str, float]
    """The router's at that time; `{mixture: 1.0}` if the caller named it."""
    score: float
    """-1 to 1."""
    router: str
    """As `Route.router`; `caller` if the caller named the mixture."""


class Store(Protocol):
    """Keeps answers, and what people say of them. Safe to use from many threads."""

    path: Path
    """The file."""
    problem: str
    """Why it could not be used the last time; empty if it could."""

    def keep(self, answer: Answer, question: str, key: str) -> None:
        """Keep an answer soon. Returns at once and never fails; an answer that cannot be kept is not.

        Args:
            answer: The answer.
            question: Text of the last message of the user.
            key: Name of the server's key with which it was asked; empty without one.
        """

    def rate(self, id: str, rating: Rating, key: str | None = None) -> Future[None]:
        """Put a rating in place of the one before; `key`: the answer must be of the key of that name.

        The future raises `UnknownAnswer`, or `FeedbackError`; so do those below.
        """

    def delete(self, id: str, key: str | None = None) -> Future[None]:
        """Delete an answer and its rating."""

    def newest(self, most: int = 1) -> Future[list[Entry]]:
        """Read the latest answers, the newest first."""

    def entries(self, *, are_rated: bool = False) -> Iterator[Entry]:
        """Read all answers, the oldest first; or those that are rated, in the order in which they were.

        Blocks, and may raise `FeedbackError`.
        """

    def check(self) -> Future[None]:
        """Find out whether it can be used."""

    def close(self) -> None:
        """Write what still waits, for no longer than a few seconds; blocks meanwhile."""


def rating_of(score: float, better: str | None = None, note: str | None = None) -> Rating:
    """Check what somebody says of an answer.

    Args:
        score: -1 to 1.
        better: The text of a better answer, at most `MOST_TEXT` characters.
        note: At most `MOST_NOTE` characters.

    Raises:
        RequestError: The score is not such a number, or a text is none or too long.
    """
    if isinstance(score, bool) or not isinstance(score, int | float) or not -1 <= score <= 1:
        raise RequestError(f"score: must be a number from -1 to 1, not {score!r:.40}")
    for name, text, most in (("better", better, MOST_TEXT), ("note", note, MOST_NOTE)):
        if text is not None and not isinstance(text, str):
            raise RequestError(f"{name}: must be text, not {type(text).__name__}")
        if text is not None and len(text) > most:
            raise RequestError(f"{name}: {len(text):,} characters, and {most:,} are the most")
    return Rating(float(score), better, note)


async def settled(future: Future[T]) -> T:
    """Wait on the running event loop for what was asked of a store.

    Raises:
        FeedbackError: It takes longer than `PATIENCE` seconds.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        raise FeedbackError(f"the file in which answers are kept did not answer within {PATIENCE:g} s") from None


def rated(store: Store) -> Iterator[Rated]:
    """Read the rated answers for training, in the order in which they were rated; each counts once, as rated last.

    Blocks.

    Raises:
        FeedbackError: They cannot be read.
    """
    for entry in store.entries(are_rated=True):
        rating, route = entry.rating, entry.route
        if rating is None or not math.isfinite(rating.score):
            continue
        picked = next((test for test in entry.arms if test != ROUTER), entry.mixture)
        yield Rated(
            id=entry.id,
            question=entry.question,
            mixture=picked,
            probabilities=route.get("probabilities") or {},
            score=rating.score,
            router=str(route.get("router", "")),
        )
