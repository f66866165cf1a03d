"""Whether one way to answer is better than another on the same questions, and how many it takes to tell."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.mixtures.comparing.sentences import sentence
from mollm.evaluation.mixtures.report import Gain, Verdict
from mollm.evaluation.resampling import interval_of_mean

if TYPE_CHECKING:
    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.comparing.arms import Answers
    from mollm.evaluation.mixtures.report import VerdictKind

LEAST_GAIN = 0.01
"""The least difference of mean scores for which a mixture is worth anything."""
LEVEL, POWER = 0.05, 0.8
"""How often equal ones may seem different, and how often a difference has to be seen for questions to be enough."""
MOST_QUESTIONS = 1_000_000
"""More are called so many: nobody asks them."""
LEAST_QUESTIONS = 6
"""Of fewer no test can tell, even if all of them differ alike: half of the level is 1/40, and 1/2 to the fifth more."""
FLIPS, EXACT_FLIPS = 10_000, 12
"""Signs are flipped so often; up to so many differences in every way there is."""
_SLACK = 1e-9
"""Of sums that are equal but for rounding."""


def gain_of(member: str, whom: str, mixture: Answers, other: Answers) -> Gain:
    """Compare a mixture with another way to answer the same questions, of which there is at least one."""
    differences = mixture.scores - other.scores
    ratio, of = mixture.taken.ratio_to(other.taken) if mixture.taken and other.taken else (None, "calls")
    return Gain(
        member=member,
        difference=float(differences.mean()),
        interval=paired_interval(differences),
        p=p_value(differences),
        gains=int((differences > _SLACK).sum()),
        losses=int((differences < -_SLACK).sum()),
        questions=len(differences),
        cost_ratio=ratio,
        ratio_of=of,
        whom=whom,
    )


def paired_interval(differences: Floats, seed: int = 0) -> tuple[float, float]:
    """Between which bounds the mean difference lies with 95 %: a paired bootstrap that is honest about few questions.

    Where no question differs, or all differ alike, no draw of them does otherwise, and a plain bootstrap is sure of
    what it has never seen. Two questions are therefore drawn from beside the n: one a gain or a loss of 1, each by
    half, and one without a difference, as Agresti and Min have it for the normal interval ("Simple improved confidence
    intervals for comparing matched proportions", Statistics in Medicine, 2005).

    Args:
        differences: -1 to 1, shape (n,).
        seed: Of the draws: the same differences have the same interval.
    """
    pool = np.concatenate([np.repeat(differences, 2), [1.0, -1.0, 0.0, 0.0]])
    return interval_of_mean(pool, size=len(differences) + 2, seed=seed)


def p_value(differences: Floats, seed: int = 0) -> float:
    """How likely a mean difference of this size is if each might as well have the other sign, two-sided.

    Of differences that are 1 or -1 it is the exact sign test, which is McNemar's exact test; of others all signs are
    flipped in every way, or, of more than 12, in 10,000 drawn ways.
    """
    different = differences[np.abs(differences) > _SLACK]
    count = len(different)
    if count == 0:
        return 1.0
    if (np.abs(np.abs(different) - 1) <= _SLACK).all():
        return _sign_test(min(int((different > 0).sum()), int((different < 0).sum())), count)
    seen = abs(float(different.sum())) - _SLACK
    if count <= EXACT_FLIPS:
        ways = (np.arange(1 << count)[:, None] >> np.arange(count)) & 1
        return float((np.abs((2 * ways - 1) @ different) >= seen).mean())
    generator, beyond = np.random.default_rng(seed), 1
    for _ in range(FLIPS // 100):
        signs = 2.0 * generator.integers(2, size=(100, count)) - 1
        beyond += int((np.abs(signs @ different) >= seen).sum())
    return beyond / (FLIPS + 1)


def _sign_test(fewer: int, count: int) -> float:
    ways = total = 1
    for chosen in range(fewer):
        ways = ways * (count - chosen) // (chosen + 1)
        total += ways
    return min(1.0, 2 * total / (1 << count))


def verdict_of(gain: Gain, differences: Floats, least_gain: float = LEAST_GAIN) -> Verdict:
    """Say whether a mixture is worth it.

    `better` and `worse` take both an interval on one side of 0 and a p below 0.05, since neither alone keeps to its
    level on few questions. `not better` takes an interval without a gain of `least_gain`.
    """
    low, high = gain.interval
    is_told = gain.p < LEVEL
    kind: VerdictKind
    if low > 0 and is_told:
        kind = "better"
    elif high < 0 and is_told:
        kind = "worse"
    else:
        kind = "not better" if high < least_gain and gain.questions >= LEAST_QUESTIONS else "cannot be told"
    needed = enough(differences, least_gain) if kind == "cannot be told" else None
    return Verdict(kind, sentence(kind, gain, is_as_good=low > -least_gain, enough=needed), needed)


def enough(differences: Floats, least_gain: float = LEAST_GAIN) -> int:
    """How many questions would be enough to tell, if further ones differ as these do.

    To tell is to see with a power of 0.8 that the difference is not 0, or that it is below `least_gain`, whichever is
    the easier: the number of pairs of Connor, "Sample size for testing differences in proportions for the
    paired-sample design" (Biometrics, 1987), from the mean square of the differences, which is the share of questions
    that differ where scores are 0 or 1.

    Returns:
        More than there are, rounded up to two digits, a million at most.
    """
    count = len(differences)
    mean = float(differences.mean()) if count else 0.0
    spread = float((differences**2).sum() + 1) / (count + 2)  # of as many questions as `paired_interval` draws from
    seen = max(abs(mean), least_gain - mean)
    z_level, z_power = NormalDist().inv_cdf(1 - LEVEL / 2), NormalDist().inv_cdf(POWER)
    pairs = ((z_level * math.sqrt(spread) + z_power * math.sqrt(max(0.0, spread - seen**2))) / seen) ** 2
    pairs += 1 / seen  # an exact test takes so many more
    found = max(count + 1, math.ceil(min(pairs, MOST_QUESTIONS)))
    unit = int(10 ** max(0, len(str(found)) - 2))
    return min(-(-found // unit) * unit, max(MOST_QUESTIONS, count + 1))
