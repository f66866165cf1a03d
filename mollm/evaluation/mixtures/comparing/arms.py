"""The ways to answer that a mixture is held against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.mixtures.comparing.halves import best_elsewhere, halves
from mollm.evaluation.mixtures.comparing.taking import Taken
from mollm.evaluation.mixtures.report import Arm
from mollm.evaluation.resampling import interval_of_mean
from mollm.final.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.metrics import Bools, Floats, Ints
    from mollm.evaluation.mixtures.comparing.scoring import Scored
    from mollm.evaluation.mixtures.records import Record
    from mollm.evaluation.mixtures.report import ArmKind


@dataclass(frozen=True, slots=True)
class Answers:
    """One way to answer n questions."""

    kind: ArmKind
    name: str
    scores: Floats
    """Shape (n,)."""
    taken: Taken | None
    """None for what nobody would serve."""
    failed: Floats
    """Whether each question failed, or how likely that was; shape (n,)."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """One way to answer of which nothing can be said."""

    kind: ArmKind
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Field:
    """A mixture and all that it is held against, on n questions, of which there is at least one."""

    mixture: Answers
    members: tuple[Answers, ...]
    """Workers, one at least, and those that only read what workers say."""
    best: Answers
    picks: Ints
    """Of the best member: its number for each question, shape (n,)."""
    others: tuple[Answers | Lacking, ...]
    """The random member, the self-mixture, votes and the oracle."""
    everybody: Answers
    """The plain vote of all workers."""

    @property
    def best_names(self) -> list[str]:
        """Who is best on either half: one, or two, the better one on all questions first."""
        found = [self.members[pick] for pick in np.unique(self.picks)]
        return [m.name.removesuffix(ALONE) for m in sorted(found, key=lambda member: -float(member.scores.mean()))]

    @property
    def is_single(self) -> bool:
        """The mixture is its only member, asked once."""
        calls = self.mixture.taken.values[:, 0] if self.mixture.taken else np.zeros(0)
        return len(self.members) == 1 and bool((calls <= 1).all())


ALONE = " alone"


def field_of(scored: Scored, seed: int = 0) -> Field:
    """Work out every way to answer; the router's is not among them. `seed` draws the halves."""
    names, columns = list(scored.alone), list(scored.alone.values())
    taken = [Taken.of(records) for records in columns]
    failed = np.stack([failures_of(records) for records in columns])
    second = halves([row.kind for row in scored.rows], seed)
    picks = best_elsewhere(scored.of_members, second)
    numbers = np.arange(len(picks))
    members = tuple(
        Answers(
            "member" if number < scored.workers else "reader",
            f"{name}{ALONE}",
            scored.of_members[:, number],
            taken[number],
            failed[number],
        )
        for number, name in enumerate(names)
    )
    workers = members[: scored.workers]
    mixture = mixture_of(scored)
    best = Answers(
        "best",
        f"best member ({_whom(names, picks, second)})",
        scored.of_members[numbers, picks],
        Taken.picked(taken, picks),
        failed[picks, numbers],
    )
    average, most = scored.of_members.mean(axis=1), scored.of_members.max(axis=1)
    random = Answers("random", "random member", average, Taken.mean_of(taken), failed.mean(axis=0))
    oracle = Answers("oracle", "oracle (best for each question)", most, None, failed.min(axis=0))
    everybody = _vote(scored, workers, len(workers), f"plain vote of {len(workers)}")
    votes = _votes(scored, workers, everybody, float(mixture.taken.values[:, 0].mean()) if mixture.taken else 1.0)
    return Field(mixture, members, best, picks, (random, _itself(scored), *votes, oracle), everybody)


def mixture_of(scored: Scored) -> Answers:
    """The mixture itself."""
    taken, failed = Taken.of(scored.answers), failures_of(scored.answers)
    return Answers("mixture", scored.gathered.mixture, scored.of_mixture, taken, failed)


def failures_of(records: Sequence[Record]) -> Floats:
    """Which of the answers failed: 1 for one that did, else 0; shape (n,)."""
    return np.array([record.error is not None for record in records], dtype=float)


def _whom(names: Sequence[str], picks: Ints, second: Bools) -> str:
    one, other = (names[picks[half][0]] if half.any() else None for half in (~second, second))
    return f"{one} on one half, {other} on the other" if one and other and one != other else str(one or other)


def _itself(scored: Scored) -> Answers | Lacking:
    if not scored.itself:
        return Lacking("self", "self-mixture", scored.gathered.why_not_itself or "it was not asked")
    return Answers("self", "self-mixture", scored.of_itself, Taken.of(scored.itself), failures_of(scored.itself))


def _votes(scored: Scored, members: Sequence[Answers], everybody: Answers, calls: float) -> list[Answers]:
    """At equal calls, to the nearest, and of all members where these are more."""
    size = min(max(1, round(calls)), len(members))
    name = f"plain vote of {size}" + (f", for {calls:.2f} calls" if abs(calls - size) >= 0.005 else "")
    if size == len(members):
        return [replace(everybody, name=name)]
    return [_vote(scored, members, size, name), everybody]


def _vote(scored: Scored, members: Sequence[Answers], size: int, name: str) -> Answers:
    """The first members side by side, and a proposal of the largest group; where no two agree, the first answer."""
    columns = list(scored.alone.values())[:size]
    picks = np.array([_voted(records) for records in zip(*columns, strict=True)])
    failed = np.stack([member.failed for member in members[:size]]).min(axis=0)
    taken = [member.taken for member in members[:size] if member.taken]
    return Answers("vote", name, scored.of_members[np.arange(len(picks)), picks], Taken.beside(taken), failed)


def _voted(records: Sequence[Record]) -> int:
    arrived = [number for number, record in enumerate(records) if record.error is None]
    first, *_ = [*Tally(records[number].final for number in arrived).leading, 0]
    return arrived[first] if arrived else 0


def arms_of(ways: Sequence[Answers | Lacking]) -> tuple[Arm, ...]:
    """What each way to answer comes to, and which of them are worth their price."""
    arms = [_arm(way) if isinstance(way, Answers) else _lacking(way) for way in ways]
    return _with_front(arms)


def _arm(way: Answers) -> Arm:
    score, failed = float(way.scores.mean()), round(float(way.failed.sum()))
    interval = interval_of_mean(way.scores)
    if way.taken is None:
        return Arm(way.kind, way.name, score, interval, failed=failed)
    return Arm(way.kind, way.name, score, interval, *way.taken.means, failed=failed)


def _lacking(way: Lacking) -> Arm:
    return Arm(way.kind, way.name, None, why=way.why)


def _with_front(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """What scores nothing is on no front: an LLM whose every call failed costs nothing, and is worth as much."""
    served = [arm for arm in arms if arm.score and arm.calls is not None]
    prices = [arm.cost_usd for arm in served]
    has_prices = any(prices) and None not in prices  # of what is free, calls are compared, as on the page
    points = [((arm.cost_usd if has_prices else arm.calls) or 0.0, arm.score or 0.0) for arm in served]
    front = {
        id(arm)
        for arm, (cost, score) in zip(served, points, strict=True)
        if not any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points)
    }
    return tuple(replace(arm, is_on_front=id(arm) in front) for arm in arms)
