"""Settings of a mixture that are tried: who is asked, in which order, how many at first, and when that is enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from mollm.asking import Rules
from mollm.config.fields import MAJORITY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Agree: TypeAlias = 'int | Literal["majority"]'
Order: TypeAlias = Literal["score", "gain", "cost"]
"""By the score alone; by what each adds to the vote of those before; of those that score highest the cheapest first."""
ORDERS: tuple[Order, ...] = get_args(Order)

LEAST, MOST = 2, 8
"""Members of a mixture; the most unless the caller says so."""
SURE = (0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
"""Probabilities that are tried where they are calibrated."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A mixture of one layer whose answer is the vote of its members."""

    members: tuple[str, ...]
    """In the order in which they are listed, and asked."""
    ask_first: int = 1
    agree: Agree | None = None
    """Members that agree, of which so many are enough; None: all are asked."""
    widen: int = 1
    sure: float | None = None
    """Calibrated probability that is enough, in place of `agree`."""

    @property
    def rules(self) -> Rules:
        """As the mixture that is served has them."""
        return Rules(
            ask_first=self.ask_first,
            agree=self.agree if isinstance(self.agree, int) else None,
            majority=self.agree == MAJORITY,
            sure=self.sure,
            widen=self.widen,
            enough=len(self.members),
        )

    @property
    def until(self) -> Agree | float | None:
        """What `agree` says in a file: a count, `majority` or a probability; None: all are asked."""
        return self.agree if self.sure is None else self.sure

    def label(self, letters: Mapping[str, str]) -> str:
        """Such as `CAB, 2 first, 2 agree`: members in the order in which they are asked; `+2`: widened by 2 at a time.

        Args:
            letters: Stand for the members; settings that differ have labels that do.
        """
        listed = "".join(letters[member] for member in self.members)
        if len(self.members) == 1:
            return f"{listed} alone"
        if self.until is None:
            return f"vote of {listed}"
        if self.sure is not None:
            enough = f"sure {self.sure:g}"
        else:
            enough = MAJORITY if self.agree == MAJORITY else f"{self.agree} agree"
        widen = f", +{self.widen}" if self.widen > 1 else ""
        return f"{listed}, {self.ask_first} first, {enough}{widen}"


@dataclass(frozen=True, slots=True)
class Shape:
    """A setting without the names of its members: the first `size` of an order."""

    order: Order
    size: int
    ask_first: int
    agree: Agree | None = None
    widen: int = 1
    sure: float | None = None

    def of(self, orders: Mapping[Order, Sequence[str]]) -> Setting:
        """The setting that it is with these orders of members."""
        members = tuple(orders[self.order][: self.size])
        return Setting(members, self.ask_first, self.agree, self.widen, self.sure)


ALONE = Shape("score", 1, 1)
"""The best member."""


def shapes(orders: Sequence[Order], most: int, sure: Sequence[float] = ()) -> Iterator[Shape]:
    """All that are tried, of 2 to `most` members; `sure`: probabilities that are tried in place of a count."""
    for size in range(LEAST, most + 1):
        for order in orders:
            yield Shape(order, size, size)
            for agree in range(2, size + 1):
                # Fewer at first than have to agree would ask the same members, only later; two of two is a vote.
                for first in range(agree, size if agree < size else size + 1):
                    yield from _widened(order, size, first, agree)
            for first in range(2, min(4, size)):
                yield from (Shape(order, size, first, MAJORITY, widen) for widen in (1, 2) if widen <= size - first)
            for level in sure:
                for first in range(1, min(3, size)):
                    yield Shape(order, size, first, sure=level)


def _widened(order: Order, size: int, first: int, agree: int) -> Iterator[Shape]:
    # All at first leave nobody to widen by, and all of them agreeing is the plain vote.
    for widen in range(1, size - first + 1):
        yield Shape(order, size, first, agree, widen)
