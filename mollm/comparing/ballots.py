"""Counting ballots: Borda, with ties, until the winner is decided. Nothing here waits or calls anybody.

A ballot gives each proposal on it the share of the others on it that it is ahead of, a tie counting half, and a
proposal has the mean over the ballots that rank it: so a ballot of two counts as much as one of five, and whoever is
left off a ballot, since it is the reviewer's own, loses nothing by that.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

Ranks: TypeAlias = "tuple[tuple[int, ...], ...]"
"""Proposals by their index, best first; those that are tied stand together."""
HALF = Fraction(1, 2)


def points_of(ranks: Ranks) -> dict[int, Fraction]:
    """What one ballot gives each proposal on it, 0 to 1."""
    others = sum(map(len, ranks)) - 1
    points: dict[int, Fraction] = {}
    behind = others + 1
    for tied in ranks:
        behind -= len(tied)
        share = (behind + HALF * (len(tied) - 1)) / others if others else HALF
        points |= dict.fromkeys(tied, share)
    return points


class Counting:
    """The count while ballots come in.

    Every ballot is planned with the proposals on it. It is then started, and settles once: with ranks, or without.
    """

    def __init__(self, ballots: Sequence[Iterable[int]], prefer: Sequence[int]) -> None:
        """Start with no ballot counted.

        Args:
            ballots: What is on each, two proposals or more, in the order in which they are started.
            prefer: All proposals; of two with equal points the one that stands earlier here is ahead.
        """
        self._ballots = [frozenset(ballot) for ballot in ballots]
        self._place = {proposal: place for place, proposal in enumerate(prefer)}
        self._sums = dict.fromkeys(prefer, Fraction(0))
        self._counts = dict.fromkeys(prefer, 0)
        self._open = set(range(len(ballots)))
        self._started = 0

    @property
    def has_more(self) -> bool:
        """Whether a ballot has not been started."""
        return self._started < len(self._ballots)

    def start(self, *, more: bool = False) -> range:
        """The next ballots to start: the fewest with which those that run could decide; none if they could already.

        That is if none of them fails: when one has, those that it takes in its place are started.

        Args:
            more: One at least, since those that run take their time.
        """
        first = self._started
        if more and self.has_more and not self.is_decided:
            self._started += 1
        while self.has_more and not self._could_decide():
            self._started += 1
        return range(first, self._started)

    def count(self, ballot: int, ranks: Ranks | None) -> None:
        """Settle a ballot; None: it counts for nobody."""
        self._open.remove(ballot)
        for proposal, share in points_of(ranks).items() if ranks else ():
            self._sums[proposal] += share
            self._counts[proposal] += 1

    def points(self, proposal: int) -> Fraction | None:
        """The mean so far; None if no ballot ranks it."""
        count = self._counts[proposal]
        return self._sums[proposal] / count if count else None

    def ballots(self, proposal: int) -> int:
        """How many ballots rank it so far."""
        return self._counts[proposal]

    @property
    def order(self) -> list[int]:
        """All proposals, best first, as the count stands."""
        return sorted(self._place, key=self._standing)

    @property
    def is_decided(self) -> bool:
        """No outcome of the ballots that are open can change the winner, whichever of them fail."""
        return not self._open or self._decides(())

    def _could_decide(self) -> bool:
        """Whether the best that may come of the started ballots would decide, for some proposal."""
        return self._decides([ballot for ballot in self._open if ballot < self._started])

    def _decides(self, well: Collection[int]) -> bool:
        """Whether some proposal stays ahead if open ballots `well` go as well for it as they can, and others as ill.

        As ill as a ballot can go is the same whichever the rival is: the rival first, the proposal last. A rival is
        never better off with a ballot that fails, so each pair can be looked at alone. As well as it can go is not: in
        all, a ballot gives half of the proposals on it, so that not every rival is last.
        """
        good, bad = self._on(well), self._on(self._open.difference(well))
        ahead = {p: self._standing(p, first=good[p], last=bad[p]) for p in self._place}
        behind = {p: self._standing(p, first=bad[p], last=good[p]) for p in self._place}
        given = HALF * good.total()
        best = sorted(behind, key=behind.__getitem__)[:2]
        for winner, standing in ahead.items():
            if standing < min(behind[rival] for rival in best if rival != winner):
                most = [self._room(p, -standing[0], good[p], bad[p]) for p in self._place if p != winner]
                if sum(most) >= given - good[winner]:
                    return True
        return False

    def _on(self, ballots: Iterable[int]) -> Counter[int]:
        """How many of these ballots each proposal is on."""
        return Counter(chain.from_iterable(self._ballots[ballot] for ballot in ballots))

    def _room(self, rival: int, mean: Fraction, good: int, bad: int) -> Fraction:
        """The most that `good` ballots may give a rival that is first on `bad` others, for it not to pass `mean`."""
        return min(Fraction(good), mean * (self._counts[rival] + good + bad) - self._sums[rival] - bad)

    def _standing(self, proposal: int, *, first: int = 0, last: int = 0) -> tuple[Fraction, int]:
        """What orders the proposals, the least being best, if it were also first and last on so many ballots."""
        count = self._counts[proposal] + first + last
        # One that no ballot ranks is behind all that some ballot does.
        return -(self._sums[proposal] + first) / count if count else Fraction(1), self._place[proposal]
