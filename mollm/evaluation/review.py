"""What sways reviewers beside the quality of what they rank: its length, its position on the ballot, whose it is.

What is compared is always within one ballot, since questions differ in how long their answers are. A ballot is turned
into shares of the other proposals on it, 0 to 1: those that one is ranked ahead of, is longer than, or is read before;
what is equal counts half. The mean share of a ballot is one half, so that over ballots of one size without ties the
correlation of such shares is Spearman's of the ranks.

Intervals are of a bootstrap that draws answers, since the ballots of one answer are about the same proposals.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from mollm.evaluation.resampling import bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mollm.evaluation.metrics import Floats
    from mollm.types import Answer, Ballot

LEAST_BALLOTS, LEAST_ANSWERS = 20, 10
"""With fewer ballots (pairs of them, for agreement), or of fewer answers, nothing can be told."""
MOST_CORRELATION = 0.3
"""A correlation with length or position that is stronger, either way, is flagged: a medium effect (Cohen, 1988)."""

Pairs: TypeAlias = "list[tuple[float, float]]"
Verdict: TypeAlias = Literal["flagged", "not flagged", "told", "cannot be told"]


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured."""

    value: float | None
    """-1 to 1; None if it cannot be told."""
    interval: tuple[float, float] | None
    """In which it lies with 95 %."""
    ballots: int
    """That it was measured on; for agreement, pairs of ballots."""
    answers: int
    """That these ballots are of."""
    verdict: Verdict
    """`told`, of a figure that is no bias."""


@dataclass(frozen=True, slots=True)
class Position:
    """How proposals are ranked that are read in one position of a ballot."""

    position: int
    """1 is read first."""
    rank: float
    """Mean; 1 is best, and of those that are tied each has the mean of their ranks."""
    ballots: int


@dataclass(frozen=True, slots=True)
class ReviewReport:
    """What sways the reviewers of some answers."""

    answers: int
    """That have a ranking."""
    ballots: int
    """That count."""
    failed: int
    """Reviews that count for nobody."""
    length: Figure
    """Correlation of being ranked ahead with being longer."""
    position: Figure
    """Correlation of being ranked ahead with being read before."""
    positions: tuple[Position, ...]
    own: Figure
    """How much more a reviewer gives a proposal of its own LLM than reviewers of other LLMs give it, in points."""
    agreement: Figure
    """Kendall's tau-b of two reviewers of one answer, on the proposals that both rank; the mean of all pairs."""
    both_orders: Figure
    """The same of one reviewer that read the proposals twice, in both orders."""


def review_report(answers: Iterable[Answer]) -> ReviewReport:
    """Look at the reviews of answers; those without a ranking are passed over."""
    found = [(answer, answer.ranking) for answer in answers if answer.ranking]
    counted = [[b for b in ranking.ballots if b.error is None] for _, ranking in found]
    by_length: list[list[Pairs]] = []
    by_position: list[list[Pairs]] = []
    for (answer, _), ballots in zip(found, counted, strict=True):
        lengths = {p.worker: len(p.text) for p in answer.proposals if p.error is None}
        by_length.append([_pairs(b, [lengths[w] for w in b.shown]) for b in ballots if lengths.keys() >= {*b.shown}])
        by_position.append([_pairs(b, range(len(b.shown), 0, -1)) for b in ballots])
    return ReviewReport(
        answers=len(found),
        ballots=sum(map(len, counted)),
        failed=sum(b.error is not None for _, ranking in found for b in ranking.ballots),
        length=_correlation(by_length),
        position=_correlation(by_position),
        positions=_positions([ballot for ballots in counted for ballot in ballots]),
        own=_own(found, counted),
        agreement=_agreement(counted, lambda one, other: one.reviewer != other.reviewer),
        both_orders=_agreement(counted, lambda one, other: one.reviewer == other.reviewer),
    )


def shares(values: Sequence[float]) -> list[float]:
    """For each of two values or more, the share of the others that it is larger than, 0 to 1; equal ones count half."""
    others = len(values) - 1
    return [(sum(v > w for w in values) + (sum(v == w for w in values) - 1) / 2) / others for v in values]


def points_on(ballot: Ballot) -> list[float]:
    """The share of the others on a ballot that each is ahead of, in the order in which they were read."""
    places = {worker: -place for place, tied in enumerate(ballot.ranks) for worker in tied}
    return shares([places[worker] for worker in ballot.shown])


def kendall(one: Sequence[float], other: Sequence[float]) -> float:
    """Kendall's tau-b of two rankings of the same n things, which counts ties; NaN where one has nothing but ties."""
    pairs = itertools.combinations(range(len(one)), 2)
    signs = [(np.sign(one[i] - one[j]), np.sign(other[i] - other[j])) for i, j in pairs]
    untied = sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs)
    return float(sum(a * b for a, b in signs) / math.sqrt(untied)) if untied else math.nan


def _pairs(ballot: Ballot, values: Sequence[float]) -> Pairs:
    """How far each proposal on a ballot is from the middle, as it is ranked and by `values`."""
    return [(p - 0.5, v - 0.5) for p, v in zip(points_on(ballot), shares(values), strict=True)]


def _correlation(found: Sequence[Sequence[Pairs]]) -> Figure:
    """Of the ballots of each answer, whose pairs have the mean 0 already."""
    kept = [np.array([pair for pairs in ballots for pair in pairs]) for ballots in found if ballots]
    sums = [((p[:, 0] * p[:, 1]).sum(), (p[:, 0] ** 2).sum(), (p[:, 1] ** 2).sum()) for p in kept]

    def value(rows: Floats) -> float:
        both, one, other = rows.sum(axis=0)
        return float(both / math.sqrt(one * other)) if one * other > 0 else math.nan

    return _figure(sums, value, sum(map(len, found)), is_biased=lambda v, _: abs(v) > MOST_CORRELATION)


def _positions(ballots: Sequence[Ballot]) -> tuple[Position, ...]:
    ranks: defaultdict[int, list[float]] = defaultdict(list)
    for ballot in ballots:
        for position, points in enumerate(points_on(ballot), 1):
            ranks[position].append(1 + (1 - points) * (len(ballot.shown) - 1))
    return tuple(Position(position, float(np.mean(found)), len(found)) for position, found in sorted(ranks.items()))


def _own(found: Sequence[tuple[Answer, object]], counted: Sequence[Sequence[Ballot]]) -> Figure:
    """A worker reads other samples of its own LLM where there are too few others."""
    rows: list[tuple[float, float]] = []
    measured = 0
    for (answer, _), ballots in zip(found, counted, strict=True):
        llms = {p.worker: p.llm for p in answer.proposals}
        given = [(b, dict(zip(b.shown, points_on(b), strict=True))) for b in ballots]
        gains: list[float] = []
        for ballot, points in given:
            own = [worker for worker in ballot.shown if llms.get(worker) == ballot.llm]
            by_others = {w: [p[w] for b, p in given if b.llm != ballot.llm and w in p] for w in own}
            gains += [points[worker] - float(np.mean(theirs)) for worker, theirs in by_others.items() if theirs]
            measured += any(by_others.values())
        if gains:
            rows.append((sum(gains), len(gains)))
    return _figure(rows, _mean, measured, is_biased=lambda _, low: low > 0)


def _agreement(counted: Sequence[Sequence[Ballot]], takes: Callable[[Ballot, Ballot], bool]) -> Figure:
    rows: list[tuple[float, float]] = []
    for ballots in counted:
        taus = [tau for one, other in _couples(ballots, takes) if not math.isnan(tau := _tau(one, other))]
        if taus:
            rows.append((sum(taus), len(taus)))
    return _figure(rows, _mean, int(sum(count for _, count in rows)))


def _couples(ballots: Sequence[Ballot], takes: Callable[[Ballot, Ballot], bool]) -> Iterator[tuple[Ballot, Ballot]]:
    return (pair for pair in itertools.combinations(ballots, 2) if takes(*pair))


def _tau(one: Ballot, other: Ballot) -> float:
    first, second = (dict(zip(b.shown, points_on(b), strict=True)) for b in (one, other))
    both = [worker for worker in first if worker in second]
    return kendall([first[w] for w in both], [second[w] for w in both])


def _mean(rows: Floats) -> float:
    total, count = rows.sum(axis=0)
    return float(total / count)


def _figure(
    rows: Sequence[Sequence[float]],
    value: Callable[[Floats], float],
    ballots: int,
    is_biased: Callable[[float, float], bool] | None = None,
) -> Figure:
    """A figure of one row per answer; `is_biased` is asked with the value and the lower end of its interval."""
    found = value(np.array(rows)) if rows else math.nan
    if len(rows) < LEAST_ANSWERS or ballots < LEAST_BALLOTS or math.isnan(found):
        return Figure(None, None, ballots, len(rows), "cannot be told")
    low, high = bootstrap(np.array(rows), value)
    verdict: Verdict = "told" if is_biased is None else "flagged" if is_biased(found, low) else "not flagged"
    return Figure(found, (low, high), ballots, len(rows), verdict)
