"""Whether a new router would have done better than the one in force, from ratings of what was answered.

Of each rated question only the answer of one mixture is rated. Where a router picks that mixture, its rating counts;
where it picks another, the mean of that mixture's other ratings stands for it. That flatters a router that moves
questions to a mixture which is good at what it gets now, so it is an estimate to look at before a test with
`router.arms`, not in place of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.evaluation.resampling import bootstrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mollm.training.lessons import Rating

FEWEST = 20
"""Held-out ratings below which nothing is said."""
DIFFERENT = 5
"""Of them, those on which the routers differ and both are known, below which nothing is said."""
RATED = 5
"""Ratings of a mixture below which their mean stands for nothing."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean scores, -1 to 1, of two routers on the same ratings."""

    new: float
    current: float
    regret: float
    """`current` less `new`: what is lost by going over to the new one, negative where something is gained."""
    interval: tuple[float, float]
    """Between which the regret lies with 95 %, by resampling the ratings."""


@dataclass(frozen=True, slots=True)
class Regret:
    """What ratings that a new router has not seen say of it."""

    against: str
    """The version that it is compared with; empty: with what was picked when the questions were asked."""
    learned: int
    """Examples that the new version has from ratings."""
    ratings: int
    """All of them that can be used."""
    undecided: int
    known: int
    held_out: int
    """Ratings that the comparison is made on."""
    different: int
    """Of them, those on which the routers differ."""
    told: int
    """Of these, those where something is known of both picks."""
    estimate: Estimate | None
    """None: it cannot be told."""
    answers: tuple[str, ...]
    """Ids of the rated answers that the new version learned from."""

    def to_plain(self) -> dict[str, Any]:
        """As plain data, and what it says in words as `said`."""
        return asdict(self) | {"said": list(self._said())}

    def _said(self) -> list[str]:
        against = self.against or "what was picked when they were asked"
        said = [
            f"{self.ratings:,} ratings; {self.learned:,} questions learned from them, {self.undecided:,} left open, "
            f"{self.known:,} known from the data, which decides",
            f"compared with {against} on {self.held_out:,} ratings that were held out: another pick on "
            f"{self.different:,}, of which {self.told:,} can be compared; a pick that was not rated has the mean "
            "of that mixture's ratings",
        ]
        if self.estimate is None:
            need = f"{FEWEST} held-out ratings, and {DIFFERENT} that can be compared"
            return [*said, f"whether it is better cannot be told: that takes {need}"]
        found, (low, high) = self.estimate, self.estimate.interval
        verdict = "no difference is shown" if low <= 0 <= high else "worse" if low > 0 else "better"
        return [
            *said,
            f"estimated mean score {found.new:+.3f}, of the other {found.current:+.3f}: "
            f"regret {found.regret:+.3f} ({low:+.3f} to {high:+.3f} with 95 %): {verdict}",
        ]


def estimated(
    ratings: Sequence[Rating], new: Sequence[str], current: Sequence[str], means: Mapping[str, float], seed: int
) -> tuple[int, int, Estimate | None]:
    """Compare two routers on ratings that neither learned from.

    Args:
        ratings: The ratings, n in number.
        new: The mixture that the new router picks for each, n in number.
        current: The same of the current router.
        means: Mixture to the mean score of other ratings of it; `mean_scores` makes it.
        seed: Of the resampling.

    Returns:
        How many ratings they differ on, on how many of these something is known of both, and the estimate; None where
        there are too few.
    """
    ours = _values(ratings, new, means)
    theirs = _values(ratings, current, means)
    differ = np.array([one != other for one, other in zip(new, current, strict=True)], dtype=np.bool_)
    known = ~(np.isnan(ours) | np.isnan(theirs))
    different, told = int(differ.sum()), int((differ & known).sum())
    if known.sum() < FEWEST or told < DIFFERENT:
        return different, told, None
    ours, theirs = ours[known], theirs[known]
    lost = theirs - ours
    means_of = float(ours.mean()), float(theirs.mean())
    return different, told, Estimate(*means_of, float(lost.mean()), bootstrap(lost, seed=seed))


def mean_scores(ratings: Sequence[Rating]) -> dict[str, float]:
    """The mean score of each mixture that has `RATED` ratings or more."""
    scores: dict[str, list[float]] = {}
    for rating in ratings:
        scores.setdefault(rating.mixture, []).append(rating.score)
    return {mixture: sum(found) / len(found) for mixture, found in scores.items() if len(found) >= RATED}


def _values(ratings: Sequence[Rating], picks: Sequence[str], means: Mapping[str, float]) -> NDArray[np.float64]:
    """The score of each pick; NaN where nothing is known of it."""
    pairs = zip(ratings, picks, strict=True)
    return np.array([r.score if r.mixture == pick else means.get(pick, np.nan) for r, pick in pairs], dtype=np.float64)
