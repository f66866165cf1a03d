"""How probable it is that the answer which leads is right, given who said it and how many were asked.

A logistic model whose signs are fixed: votes and members speak for the answer that they give and against every other,
and a reply that looks unusual against its own, the less the more have answered. So one more vote for the leader never
makes it less probable. It is fitted in `evaluation/mixtures/calibrating.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING

from mollm.final.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VOTES = ("leader", "runner_up", "tied", "others", "without")
"""What is counted: log votes for the leader; log (1 + votes) for the next answer, whether these are as many as the
leader has, and the same of all other answers, and of replies without one."""
SIGNALS = ("long", "short", "unlikely")
"""What a reply that gives the leading answer shows by itself, against what is usual for its member: a usual one shows
nothing, and none makes an answer more probable."""
MOST_DOUBT = 3.0
"""Standard deviations; a reply that is farther from what is usual is not doubted more."""
LARGEST = 1e6
"""Of a weight, or of anything else in a calibration: no sum of so few can overflow."""


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of a proposal that arrived, as far as it bears on whether its answer is right."""

    worker: str
    """Name of the worker."""
    final: str | None
    """Its final answer in canonical form."""
    logprob: float | None = None
    """Mean log-probability of its tokens, 0 or less; None if the provider gave none."""
    length: int = 0
    """Characters of its text."""


@dataclass(frozen=True, slots=True)
class Member:
    """What the answer of one member weighs, and what its replies are like."""

    supports: float = 0.0
    """Added to the log-odds of an answer that it gives, 0 or more."""
    contradicts: float = 0.0
    """Taken from those of an answer when it gives another one, 0 or more."""
    length: tuple[float, float] = (0.0, 1.0)
    """Mean and standard deviation of log (1 + characters) of its replies."""
    logprob: tuple[float, float] | None = None
    """The same of their mean log-probability; None if there was none."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted model, and what it was fitted on."""

    members: Mapping[str, Member]
    """By the name of the worker, in listed order."""
    base: float
    """Log-odds where nothing speaks for the leader or against it."""
    weights: Mapping[str, float]
    """Of each of `VOTES` and `SIGNALS`, 0 or more."""
    questions: int
    """Number of questions that it was fitted on."""
    error: float | None
    """Expected calibration error after all members, 0 to 1, cross-validated; None with too few questions to measure."""
    digest: str = ""
    """Of the members: see `mollm.config.members.members_digest`."""
    data: str = ""
    """Name of the file of questions."""
    data_digest: str = ""
    """SHA-256 of it."""

    @property
    def uses_logprobs(self) -> bool:
        """Whether log-probabilities change anything."""
        return self.weights["unlikely"] > 0

    def confidence(self, said: Sequence[Said]) -> float | None:
        """The probability that the answer which leads is right, 0 to 1.

        Args:
            said: The proposals that have arrived, in listed order. The largest group of equal final answers leads; of
                several, the one with the earliest proposal.

        Returns:
            None where there is no final answer, or a worker is no member.
        """
        found = features(said, self.members)
        return None if found is None else _sigmoid(self.base + sum(map(mul, found, self._coefficients)))

    def highest(self, count: int) -> float:
        """What it says of no more than once `count` members have answered, 0 to 1: as if no reply were doubtful."""
        support = sorted((member.supports for member in self.members.values()), reverse=True)
        weights = self.weights
        return _sigmoid(self.base + weights["leader"] * math.log(count) + sum(support[:count]))

    @property
    def _coefficients(self) -> list[float]:
        """In the order of `features`."""
        found = [self.weights[name] for name in (*VOTES, *SIGNALS)]
        for member in self.members.values():
            found += (member.supports, member.contradicts)
        return found


def features(said: Sequence[Said], members: Mapping[str, Member]) -> list[float] | None:
    """What speaks for the leading answer, or less than 0 what speaks against it.

    Returns:
        One number for each of `VOTES` and of `SIGNALS`, then two for each member: 1 for its support, -1 for its
        contradiction. None where there is no final answer, or a worker is no member.
    """
    groups = Tally([one.final for one in said]).groups
    if not groups or any(one.worker not in members for one in said):
        return None
    leading = [said[index] for index in groups[0]]
    votes, next_votes = len(leading), len(groups[1]) if len(groups) > 1 else 0
    finals = sum(map(len, groups))
    # The more have answered, the less it matters what a reply looks like: who agrees says more.
    share = len(said) ** 2
    doubts = map(min, zip(*(_doubts(one, members) for one in leading), strict=True))
    found = [
        math.log(votes),
        -math.log1p(next_votes),
        -float(next_votes == votes),
        -math.log1p(finals - votes - next_votes),
        -math.log1p(len(said) - finals),
        *(-doubt / share for doubt in doubts),
    ]
    supporting = {one.worker for one in leading}
    against = {said[index].worker for group in groups[1:] for index in group}
    for name in members:
        found += (float(name in supporting), -float(name in against))
    return found


def _doubts(said: Said, members: Mapping[str, Member]) -> tuple[float, float, float]:
    """How much longer, shorter and less likely a reply is than usual, each 0 to `MOST_DOUBT`."""
    member = members[said.worker]
    length, (mean, deviation) = math.log1p(max(0, said.length)), member.length
    usual, logprob = member.logprob, said.logprob
    unlikely = 0.0 if usual is None or logprob is None else _above(-logprob, -usual[0], usual[1])
    return _above(length, mean, deviation), _above(-length, -mean, deviation), unlikely


def _above(value: float, mean: float, deviation: float) -> float:
    """Standard deviations above the mean."""
    found = (value - mean) / deviation if deviation > 0 else 0.0
    return 0.0 if math.isnan(found) else min(max(found, 0.0), MOST_DOUBT)


def stated(probability: float, places: int = 3) -> str:
    """Write a probability, rounded down: what is not sure is never said to be."""
    scale = 10**places
    return f"{math.floor(round(probability * scale, 6)) / scale:.{places}f}"


def _sigmoid(value: float) -> float:
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    odds = math.exp(value)
    return odds / (1 + odds)
