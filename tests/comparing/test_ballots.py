"""Counting ballots, against a count of everything that may still come."""

from __future__ import annotations

import itertools
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.comparing.ballots import Counting, Ranks, points_of
from tests.fuzz import cases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Settled: TypeAlias = "dict[int, Ranks | None]"
"""Ballots by their number, with what came; None: it failed."""
Planned: TypeAlias = tuple[list[frozenset[int]], list[int], Settled]
"""What is on each ballot, which proposals are preferred, and what has settled."""


@cache
def orders(items: frozenset[int]) -> tuple[Ranks, ...]:
    """Every order of `items` with ties."""
    if not items:
        return ((),)
    return tuple(
        (first, *rest)
        for size in range(1, len(items) + 1)
        for first in itertools.combinations(sorted(items), size)
        for rest in orders(items - set(first))
    )


@cache
def share(ranks: Ranks, proposal: int) -> Fraction:
    """The share of the others on a ballot that `proposal` is ahead of, a tie counting half: as `Rank.points` says."""
    place = next(place for place, tied in enumerate(ranks) if proposal in tied)
    others = [at for at, tied in enumerate(ranks) for other in tied if other != proposal]
    return sum((Fraction(at > place) + Fraction(at == place, 2) for at in others), Fraction(0)) / len(others)


def winner_of(settled: Settled, prefer: Sequence[int]) -> int | None:
    """Who has the largest mean; of equal ones the first in `prefer`; None where no ballot counts."""
    means = {}
    for proposal in prefer:
        shares = [share(ranks, proposal) for ranks in settled.values() if ranks and any(proposal in t for t in ranks)]
        if shares:
            means[proposal] = sum(shares, Fraction(0)) / len(shares)
    return max(means, key=lambda p: (means[p], -prefer.index(p))) if means else None


def outcomes(ballots: Sequence[frozenset[int]], still: Sequence[int], *, fail: bool) -> Iterator[Settled]:
    """Everything that may come of the ballots `still`; `fail`: each of them may fail."""
    failed: tuple[Ranks | None, ...] = (None,) if fail else ()
    found = itertools.product(*((*orders(ballots[ballot]), *failed) for ballot in still))
    return (dict(zip(still, each, strict=True)) for each in found)


def is_decided(ballots: Sequence[frozenset[int]], settled: Settled, prefer: Sequence[int]) -> bool:
    """Whether the winner is the same whatever comes of the ballots that have not settled."""
    still = [ballot for ballot in range(len(ballots)) if ballot not in settled]
    winners = (winner_of(settled | more, prefer) for more in outcomes(ballots, still, fail=True))
    first = next(winners)
    return all(winner == first for winner in winners) if still and first is not None else not still


@st.composite
def counts(draw: st.DrawFn, most: int = 4) -> Planned:
    """Ballots over two to four proposals, which is preferred, and some of them settled in some order."""
    proposals = draw(st.integers(2, most))
    prefer = draw(st.permutations(range(proposals)))
    on = st.sets(st.sampled_from(range(proposals)), min_size=2).map(frozenset)
    settled_count, open_count = (
        draw(st.integers(0, 6 if most > 3 else 1)),
        draw(st.integers(0, 3 if proposals < 4 else 1)),
    )
    ballots = draw(st.lists(on, min_size=settled_count + open_count, max_size=settled_count + open_count))
    in_turn = draw(st.permutations(range(len(ballots))))[:settled_count]
    # Reviewers who mostly agree: without them it would hardly ever be close to decided.
    usual = tuple((p,) for p in draw(st.permutations(range(proposals))))
    alike = {b: tuple(t for t in usual if t[0] in ballots[b]) for b in in_turn}
    settled = {b: draw(st.just(alike[b]) | st.none() | st.sampled_from(orders(ballots[b]))) for b in in_turn}
    return ballots, prefer, settled


def counted(ballots: Sequence[frozenset[int]], prefer: Sequence[int], settled: Settled) -> Counting:
    """The count after these ballots, in their order."""
    counting = Counting(ballots, prefer)
    for ballot, ranks in settled.items():
        counting.count(ballot, ranks)
    return counting


@given(st.integers(2, 5).flatmap(lambda n: st.sampled_from(orders(frozenset(range(n))))))
def test_a_ballot_gives_the_share_of_the_others_that_a_proposal_is_ahead_of(ranks: Ranks) -> None:
    """A tie counts half; together a ballot gives half of the proposals on it."""
    points = points_of(ranks)

    assert points == {proposal: share(ranks, proposal) for tied in ranks for proposal in tied}
    assert sum(points.values()) == Fraction(len(points), 2)


@pytest.mark.fuzz
@settings(max_examples=cases(150))
@given(counts())
def test_the_winner_is_decided_exactly_when_nothing_that_may_come_changes_it(
    found: Planned,
) -> None:
    """In both directions, with ballots that fail among what may come, and whoever is left off some ballots."""
    ballots, prefer, settled = found
    counting = counted(ballots, prefer, settled)

    assert counting.is_decided == is_decided(ballots, settled, prefer)
    winner = winner_of(settled, prefer)
    if winner is not None:
        assert counting.order[0] == winner


@pytest.mark.fuzz
@settings(max_examples=cases(50))
@given(counts(most=3), st.data())
def test_asking_in_turn_ends_with_the_winner_of_all_ballots(found: Planned, data: st.DataObject) -> None:
    """Whatever comes in whatever order: no ballot is started without which the others could decide, nor too few."""
    ballots, prefer, _ = found
    script = [data.draw(st.none() | st.sampled_from(orders(ballot))) for ballot in ballots]
    counting, running, asked = Counting(ballots, prefer), set[int](), list[int]()
    settled: Settled = {}

    def came(still: Iterable[int]) -> Iterator[Settled]:
        return outcomes(ballots, sorted(still), fail=False)

    while (started := counting.start()) or (running and not counting.is_decided):
        running |= {*started}
        asked += started
        without_last = sorted(running - {max(running)}) if started else []
        assert not any(is_decided(ballots, settled | more, prefer) for more in came(without_last))
        ballot = data.draw(st.sampled_from(sorted(running)))
        running.remove(ballot)
        settled[ballot] = script[ballot]
        counting.count(ballot, script[ballot])

    assert asked == list(range(len(asked)))
    assert counting.is_decided
    whole = winner_of(dict(enumerate(script)), prefer)
    assert winner_of(settled, prefer) == whole
    assert whole is None or counting.order[0] == whole


def test_three_workers_of_whom_the_first_two_are_of_one_mind_need_no_third() -> None:
    """Each ranks the other two; the one in favor leads by so much that the third ballot says nothing more."""
    counting = Counting([{1, 2}, {0, 2}, {0, 1}], prefer=[0, 1, 2])

    assert counting.start() == range(2)
    counting.count(0, ((1,), (2,)))
    assert not counting.is_decided
    counting.count(1, ((0,), (2,)))
    assert not counting.is_decided, "0 and 1 have won once each"
    assert counting.start() == range(2, 3)

    many = Counting([set(range(9))] * 5, prefer=range(9))
    assert many.start() == range(4), "of nine proposals not all rivals can be last on three ballots"
    again = Counting([{0, 1, 2}] * 3, prefer=[0, 1, 2])
    assert again.start() == range(2)
    again.count(1, ((2,), (0,), (1,)))
    again.count(0, ((2,), (0, 1)))
    assert again.is_decided
    assert not again.start()
    assert (again.order, again.points(2), again.points(0), again.ballots(0)) == (
        [2, 0, 1],
        Fraction(1),
        Fraction(3, 8),
        2,
    )


def test_a_proposal_that_no_ballot_ranks_is_behind_those_that_lost() -> None:
    """It has no points, rather than none of them."""
    counting = counted([frozenset({1, 2})], [0, 1, 2], {0: ((1,), (2,))})

    assert counting.order == [1, 2, 0]
    assert (counting.points(0), counting.points(2)) == (None, Fraction(0))
