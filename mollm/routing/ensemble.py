"""The scorer that adds up what others think: their calibrated log-probabilities, each with a weight.

A logarithmic opinion pool: what one member holds impossible the others hardly bring back, and weights of a sum of 1
leave members that agree where they are. Fitted weights (`weighing.py`) may have another sum.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mollm.errors import LimitError, MollmError
from mollm.loops import all_of
from mollm.routing.base import Scores, plan_of
from mollm.routing.calibration import softmax
from mollm.routing.explaining import Explanation
from mollm.types import Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mollm.calling.calls import Calls
    from mollm.routing.base import Scorer
    from mollm.routing.features import Floats
    from mollm.types import PlannedCall, Question

log = logging.getLogger("mollm.routing")

CERTAIN = 0.95
"""Probability of a pick without one: whoever gives none may be wrong all the same."""
FLOOR = 0.02
"""Share of every opinion that is spread over all mixtures, so that no member alone rules one out."""
HALF = 0.5
"""The familiarity threshold of an ensemble, unless one was fitted: that of every member is moved there."""


@dataclass(frozen=True, slots=True)
class Member:
    """A scorer of an ensemble."""

    scorer: Scorer
    weight: float = 1.0
    """What its log-probabilities are multiplied by, at least 0."""
    familiarity: float = 0.0
    """The familiarity, 0 to 1, below which its scorer does not know a question."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a member says of a question."""

    shares: dict[str, float]
    """Mixture to probability, together 1; empty where it has no opinion."""
    familiarity: float | None
    """Moved so that a half is the threshold of the member; None if it cannot tell."""

    @property
    def counts(self) -> bool:
        """It knows the question, or does not say that it does not."""
        return bool(self.shares) and (self.familiarity is None or self.familiarity >= HALF)


@dataclass(frozen=True, slots=True)
class Together(Scores):
    """The scores of an ensemble, with what they were made of."""

    said: tuple[tuple[Member, Scores, float, float], ...] = ()
    """Each member, its scores, what it counted for (0: left out), and the seconds it took."""

    def parts(self) -> tuple[Explanation, ...]:
        """What each member said, as a route of its own that nobody decided on."""
        return tuple(
            Explanation(
                Route(
                    scores.pick or "",
                    dict(scores.probabilities),
                    member.scorer.kind,
                    scores.reason,
                    seconds,
                    familiarity=scores.familiarity,
                ),
                familiarity=member.familiarity,
                weight=weight,
            )
            for member, scores, weight, seconds in self.said
        )


@dataclass(frozen=True, slots=True)
class EnsembleScorer:
    """Asks all of its members at the same time, and adds up what they say."""

    kind: ClassVar[str] = "ensemble"

    members: tuple[Member, ...]
    """At least one."""
    mixtures: tuple[str, ...] = ()
    """All there are; what a member does not name it holds as likely as any."""

    @property
    def reads_last_only(self) -> bool:
        """Whether all of its members do: one that calls an LLM is never asked twice."""
        return all(getattr(member.scorer, "reads_last_only", False) for member in self.members)

    def plan(self, question: Question) -> tuple[PlannedCall, ...]:
        """The calls of all members."""
        return tuple(planned for member in self.members for planned in plan_of(member.scorer, question))

    async def score(self, question: Question, calls: Calls) -> Together:
        """Ask all members; one that fails, or has no opinion, is left out, and the reason says so."""
        found = await all_of([_asked(member, question, calls) for member in self.members])
        opinions = [opinion_of(scores, m.familiarity) for m, (scores, _) in zip(self.members, found, strict=True)]
        names = tuple(dict.fromkeys((*self.mixtures, *(name for opinion in opinions for name in opinion.shares))))
        weights = counting([member.weight for member in self.members], opinions)
        known = [opinion.familiarity for opinion in opinions if opinion.familiarity is not None]
        familiarity = sum(known) / len(known) if known else None
        said = tuple((m, scores, w, s) for m, (scores, s), w in zip(self.members, found, weights, strict=True))
        reason = _reason(said, opinions)
        if not any(weights):
            return Together({}, reason, None, familiarity, said=said)
        added = softmax(added_up([log_shares(opinion, names) for opinion in opinions], weights))
        probabilities = dict(zip(names, added.tolist(), strict=True))
        pick = max(probabilities, key=probabilities.__getitem__)
        return Together(probabilities, f"together most for {pick} ({reason})", pick, familiarity, said=said)


async def _asked(member: Member, question: Question, calls: Calls) -> tuple[Scores, float]:
    """What a member says, and the seconds it took."""
    start = time.perf_counter()
    try:
        scores = await member.scorer.score(question, calls)
    except LimitError:
        raise  # a call that nobody planned ends the question
    except Exception as error:  # a member may be anybody's
        log.warning("the member %s of an ensemble failed", member.scorer.kind, exc_info=error)
        why = str(error) if isinstance(error, MollmError) else type(error).__name__
        scores = Scores({}, f"failed ({why})")
    return scores, time.perf_counter() - start


def opinion_of(scores: Scores, threshold: float) -> Opinion:
    """Read scores as an opinion.

    Args:
        scores: Of a member. What its probabilities leave over to 1 is its doubt that any mixture suits, and so is the
            lack of a pick.
        threshold: The familiarity below which the member does not know a question.
    """
    shares, pick, known = dict(scores.probabilities), scores.pick, scores.familiarity
    if pick is not None and pick not in shares:
        others = sum(shares.values())
        shares = {name: share / others * (1.0 - CERTAIN) for name, share in shares.items() if others > 0.0}
        shares[pick] = CERTAIN if len(shares) else 1.0
    total = sum(shares.values())
    familiarity = None
    if known is not None:
        familiarity = moved(known, threshold)
    elif pick is None and shares:
        familiarity = min(total, 1.0)
    if not total > 0.0 or (pick is None and known == 0.0):  # without anything known all are as likely as any
        return Opinion({}, familiarity)
    return Opinion({name: share / total for name, share in shares.items()}, familiarity)


def moved(familiarity: float, threshold: float) -> float:
    """Move a familiarity, 0 to 1, so that the threshold comes to lie at a half; order and ends stay."""
    if familiarity < threshold:
        return HALF * familiarity / threshold
    return HALF + HALF * (familiarity - threshold) / (1.0 - threshold) if threshold < 1.0 else 1.0


def counting(weights: Sequence[float], opinions: Sequence[Opinion]) -> list[float]:
    """What each member counts for, 0 where it is left out.

    One to which the question is unfamiliar is left out, unless it is to all who have an opinion. Where somebody is
    left out, the others' weights come to have the sum 1, at which one alone is as sure as it is by itself.
    """
    some = [opinion.counts for opinion in opinions]
    if not any(w > 0.0 and is_in for w, is_in in zip(weights, some, strict=True)):
        some = [bool(opinion.shares) for opinion in opinions]
    kept = [weight if is_in else 0.0 for weight, is_in in zip(weights, some, strict=True)]
    if all(some):
        return kept
    total = sum(kept)
    if total > 0.0:
        return [weight / total for weight in kept]
    return [is_in / max(1, sum(some)) for is_in in some]


def log_shares(opinion: Opinion, names: Sequence[str]) -> Floats:
    """The logarithm of an opinion's probability of each mixture, shape (K,); without an opinion all are equal."""
    even = 1.0 / len(names)
    shares = np.array([opinion.shares.get(name, np.nan) for name in names])
    shares = (1.0 - FLOOR) * shares + FLOOR * even
    return np.log(np.where(np.isnan(shares), even, shares))


def added_up(logs: Iterable[Floats], weights: Sequence[float]) -> Floats:
    """Log-probabilities of several, each of shape (..., K), added with their weights."""
    return np.asarray(sum(weight * shares for weight, shares in zip(weights, logs, strict=True)), dtype=np.float64)


def _reason(said: Sequence[tuple[Member, Scores, float, float]], opinions: Sequence[Opinion]) -> str:
    parts = []
    for (member, scores, weight, _), opinion in zip(said, opinions, strict=True):
        if not opinion.shares:
            parts.append(f"{member.scorer.kind} left out: {scores.reason}")
        else:
            likeliest = max(opinion.shares, key=opinion.shares.__getitem__)
            out = "" if weight > 0.0 else ", left out: unfamiliar" if not opinion.counts else ", of no weight"
            parts.append(f"{member.scorer.kind}: {likeliest} {opinion.shares[likeliest]:.2f}{out}")
    return "; ".join(parts)
