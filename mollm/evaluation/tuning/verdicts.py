"""Whether one way to answer is better than another on the same questions."""
# TO BE JOINED with `mollm.evaluation.mixtures.gains`, which has `gain_of`, `verdict_of` and `enough`: then this module
# goes, and `confirming.py` calls those.

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.mixtures.report import Gain, Verdict
from mollm.evaluation.resampling import bootstrap

if TYPE_CHECKING:
    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.report import VerdictKind
    from mollm.evaluation.tuning.outcomes import Outcome

LEVEL, POWER = 0.05, 0.8
LEAST_GAIN = 0.01
"""The least difference of mean scores for which a mixture is worth anything."""


def gain_of(member: str, mixture: Outcome, alone: Outcome) -> Gain:
    """Compare what came of a mixture with what came of a member alone, on the same n questions."""
    differences = mixture.scores - alone.scores
    gains, losses = int((differences > 0).sum()), int((differences < 0).sum())
    paid = alone.mean_cost if alone.mean_cost > 0 and not np.isnan(mixture.mean_cost) else None
    return Gain(
        member=member,
        difference=float(differences.mean()),
        interval=bootstrap(differences),
        p=_sign_test(gains, losses),
        gains=gains,
        losses=losses,
        questions=len(differences),
        cost_ratio=mixture.mean_cost / paid if paid else mixture.mean_calls / alone.mean_calls,
        ratio_of="cost" if paid else "calls",
    )


def verdict_of(gain: Gain, differences: Floats) -> Verdict:
    """Say whether a mixture is worth it."""
    low, high = gain.interval
    kind: VerdictKind
    if gain.p < LEVEL and low > 0:
        kind = "better"
    elif gain.p < LEVEL and high < 0:
        kind = "worse"
    else:
        kind = "not better" if high < LEAST_GAIN and gain.gains + gain.losses > 0 else "cannot be told"
    needed = _enough(differences) if kind == "cannot be told" else None
    return Verdict(kind, _sentence(kind, gain, needed), needed)


def _sentence(kind: VerdictKind, gain: Gain, enough: int | None) -> str:
    beside = f"{gain.member} alone on these {gain.questions} questions"
    told = f"whether it is better than {beside} cannot be told" if enough else f"{kind} than {beside}"
    counts = f"{gain.gains} gains, {gain.losses} losses, p = {gain.p:.2g}"
    ratio = f", {gain.cost_ratio:.1f} times the {gain.ratio_of}" if gain.cost_ratio else ""
    more = f"; about {enough:,} questions would be enough" if enough else ""
    return f"{told}: {counts}{ratio}{more}"


def _sign_test(gains: int, losses: int) -> float:
    """Two-sided and exact, of questions on which they differ."""
    count = gains + losses
    tail = sum(math.comb(count, k) for k in range(min(gains, losses) + 1))
    return min(1.0, tail / 2 ** (count - 1)) if count else 1.0


def _enough(differences: Floats) -> int:
    """Questions of which a power of 0.8 is to be expected if further ones differ as these do."""
    count = len(differences)
    seen = max(abs(float(differences.mean())), LEAST_GAIN) if count else LEAST_GAIN
    spread = (float((differences**2).sum()) + 1) / (count + 2)
    z = NormalDist().inv_cdf(1 - LEVEL / 2) + NormalDist().inv_cdf(POWER)
    return max(count + 1, math.ceil(spread * (z / seen) ** 2))
