"""How good a router is on questions whose mixture is known, and what it does with those that belong nowhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.evaluation import metrics, noise
from mollm.evaluation.asking import say
from mollm.evaluation.baselines import BASELINES, accuracy
from mollm.evaluation.scope import OutOfScope, told_apart
from mollm.routing.calibration import FALSE_ALARMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.evaluation.asking import Ask, Decisions
    from mollm.evaluation.baselines import Fit
    from mollm.evaluation.cost import Cost
    from mollm.evaluation.picks import Picks
    from mollm.evaluation.questions import Questions

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True, slots=True)
class Measuring:
    """How a router is measured."""

    validation: Sequence[str] | None = None
    """Other questions that belong to mixtures; the threshold is the value that a share `false_alarms` of them does not
    reach. None: the thresholds of the router."""
    false_alarms: float = FALSE_ALARMS
    """0 to 1."""
    baselines: Mapping[str, Fit] = field(default_factory=lambda: BASELINES)
    """What it is compared with, by name."""
    train: tuple[Sequence[str], Sequence[str]] | None = None
    """Questions and their mixtures that these are fitted on; None: cross-validation on the questions asked."""
    noisy: bool = True
    """Whether the questions are asked in `noise.KINDS` of other forms as well."""
    seed: int = 0
    """Draws the noise."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of a router; shares are 0 to 1, and NaN where there was nothing to ask."""

    questions: int
    """That belong to a mixture."""
    mixtures: int
    """That these questions belong to."""
    accuracy: float
    """Of the likeliest mixture, thresholds off."""
    macro_f1: float
    calibration_error: float
    """In `bins` bins of the same width; NaN if the router gives no probabilities."""
    bins: int
    sure: float
    """Share of the questions of which the router is sure."""
    sure_accuracy: float
    """Accuracy on these."""
    coverage: dict[str, float]
    """Accuracy on the most probable part, by its share: `0.9`."""
    coverage_area: float
    baselines: dict[str, float]
    """Accuracy of what the router must be better than."""
    baselines_by: str
    """`training`, the questions that the router learned from, or `cross-validation` on those asked."""
    flips: dict[str, float]
    """Share of questions that go elsewhere once they are changed, by how; empty if that was not asked."""
    p50_ms: float
    p99_ms: float
    unknown: dict[str, list[int]]
    """Rows, from 1, whose mixture the router never mentions, by mixture; they count as wrong."""
    out_of_scope: OutOfScope | None = None
    sets: metrics.SetScores | None = None
    """Of what was decided, where questions belong to several mixtures; any of them counts as right everywhere else."""
    sets_first_only: metrics.SetScores | None = None
    """Of the same decisions without the second mixture."""
    fit: Cost | None = None
    """What fitting the router took; None where that is not known, or nothing was fitted."""

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it: what is not a number becomes None."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


async def evaluate(ask: Ask, asked: Questions, how: Measuring | None = None) -> Evaluation:
    """Measure a router.

    Args:
        ask: Routes a question: `asking(router, fallback)`, or `MoLLM.aroute`.
        asked: The questions, with what they belong to.
        how: Baselines, noise and where the threshold comes from.

    Raises:
        ConfigError: A baseline cannot be fitted here.
    """
    how = how or Measuring()
    said = await say(ask, asked.texts)
    picks = asked.judged(said)
    return Evaluation(
        questions=len(asked.texts),
        mixtures=len(asked.mixtures),
        accuracy=picks.accuracy,
        macro_f1=picks.macro_f1,
        calibration_error=picks.calibration_error if said.has_probabilities else float("nan"),
        bins=metrics.BINS,
        sure=picks.sure,
        sure_accuracy=picks.sure_accuracy,
        coverage=_coverage(picks),
        coverage_area=metrics.coverage_area(picks.probability, picks.right),
        baselines={name: accuracy(fit, asked, how.train) for name, fit in how.baselines.items()},
        baselines_by="cross-validation" if how.train is None else "training",
        flips=await _flips(ask, asked.texts, said, how.seed) if how.noisy else {},
        p50_ms=said.milliseconds(0.5),
        p99_ms=said.milliseconds(0.99),
        unknown=asked.unknown(said.mentioned),
        out_of_scope=await _out_of_scope(ask, asked, said, picks, how) if asked.outside else None,
        sets=metrics.of_sets(asked.wanted, said.decided) if asked.has_several else None,
        sets_first_only=(
            metrics.of_sets(asked.wanted, [names[:1] for names in said.decided]) if asked.has_several else None
        ),
    )


def _coverage(picks: Picks) -> dict[str, float]:
    curve = metrics.coverage_curve(picks.probability, picks.right, COVERAGES)
    return {f"{share:.1f}": value for share, value in zip(COVERAGES, curve, strict=True)}


async def _out_of_scope(ask: Ask, asked: Questions, said: Decisions, picks: Picks, how: Measuring) -> OutOfScope:
    validation = None if how.validation is None else await say(ask, how.validation)
    return told_apart(said, await say(ask, asked.outside), picks.right, validation, how.false_alarms)


async def _flips(ask: Ask, texts: Sequence[str], said: Decisions, seed: int) -> dict[str, float]:
    """Of the questions that a kind of noise changes at all."""
    flips = {}
    for kind, change in noise.KINDS.items():
        changed = [(change(text, seed), pick) for text, pick in zip(texts, said.picks, strict=True)]
        changed = [(new, pick) for (new, pick), old in zip(changed, texts, strict=True) if new != old]
        again = await say(ask, [new for new, _ in changed])
        moved = [pick != before for pick, (_, before) in zip(again.picks, changed, strict=True)]
        flips[kind] = float(np.mean(moved)) if moved else float("nan")
    return flips


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
