"""Whether answers are right or wrong, or have scores between: the words of a page hang on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.page.words import finite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.evaluation.mixtures.report import MixtureReport, Report

_WHOLE = ("mixture", "member", "reader", "best", "self", "vote")
"""Kinds of arms whose score is that of one answer to each question."""
_SLACK = 1e-6


def is_partial(report: Report) -> bool:
    """Some answer has a score other than 0 and 1, as far as the figures show it: sums of 0 and 1 are whole numbers."""
    return any(abs(value - round(value)) > _SLACK for mixture in report.mixtures for value in _sums(mixture))


def _sums(mixture: MixtureReport) -> Iterator[float]:
    """What is whole where all scores are 0 or 1."""
    for arm in mixture.arms:
        score = finite(arm.score)
        if arm.kind in _WHOLE and score is not None:
            yield score * mixture.questions
    for gain in filter(None, (mixture.gain, mixture.vote)):
        difference = finite(gain.difference)
        if difference is not None:
            off = difference * gain.questions - (gain.gains - gain.losses)
            yield off if abs(off) < 1 else 0.5
    for lost in mixture.lost:
        scores = (finite(side.score) for side in (lost.answer, lost.best, *lost.proposals))
        yield from (score for score in scores if score is not None)
