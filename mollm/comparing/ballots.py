"""Counting ballots: Borda, with ties, until the winner is decided. Nothing here waits or calls anybody.

A ballot gives each proposal on it the share of the others on it that it is ahead of, a tie counting half, and a
proposal has the mean over the ballots that rank it: so a ballot of two counts as much as one of five, and whoever is
left off a ballot, since it is the reviewer's own, loses nothing by that.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
            ballots: What is on each, in the order in which they are started.
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

    def start(self) -> range:
        """The next ballots to start: the fewest with which those that run could decide; none if they could already."""
        first = self._started
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
        return self._mean(proposal, ())

    def ballots(self, proposal: int) -> int:
        """How many ballots rank it so far."""
        return self._counts[proposal]

    @property
    def order(self) -> list[int]:
        """All proposals, best first, as the count stands."""
        return sorted(self._place, key=lambda proposal: (-_known(self.points(proposal)), self._place[proposal]))

    @property
    def is_decided(self) -> bool:
        """No outcome of the ballots that are open can change the winner, whichever of them fail."""
        if not self._open:
            return True
        leader, *rivals = self.order
        # The worst for a leader is the same ballot after ballot: the rival first, the leader last.
        return all(self._is_ahead(leader, rival, down=self._open, up=self._open) for rival in rivals)

    def _could_decide(self) -> bool:
        """Whether the best that may come of the started ballots would decide, for some proposal."""
        started = {ballot for ballot in self._open if ballot < self._started}
        rest = self._open - started
        return any(
            all(self._would_stay(winner, rival, started, rest) for rival in self._place if rival != winner)
            for winner in self._place
        )

    def _would_stay(self, winner: int, rival: int, good: set[int], bad: set[int]) -> bool:
        for_winner = self._mean(winner, [(good, 1), (bad, 0)])
        for_rival = self._mean(rival, [(good, 0), (bad, 1)])
        return self._beats(winner, for_winner, rival, for_rival)

    def _is_ahead(self, leader: int, rival: int, *, down: set[int], up: set[int]) -> bool:
        return self._beats(leader, self._mean(leader, [(down, 0)]), rival, self._mean(rival, [(up, 1)]))

    def _mean(self, proposal: int, further: Iterable[tuple[set[int], int]]) -> Fraction | None:
        """The mean if it also had so many points on each of `further` ballots that it is on."""
        total, count = self._sums[proposal], self._counts[proposal]
        for ballots, each in further:
            found = sum(proposal in self._ballots[ballot] for ballot in ballots)
            total, count = total + each * found, count + found
        return total / count if count else None

    def _beats(self, one: int, points: Fraction | None, other: int, others: Fraction | None) -> bool:
        return (-_known(points), self._place[one]) < (-_known(others), self._place[other])


def _known(points: Fraction | None) -> Fraction:
    return Fraction(-1) if points is None else points
