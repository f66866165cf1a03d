"""From what came of asking to what is reported."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.comparing.arms import ALONE, Answers, Lacking, arms_of, failures_of, field_of, mixture_of
from mollm.evaluation.mixtures.comparing.gains import LEAST_GAIN, gain_of, verdict_of
from mollm.evaluation.mixtures.comparing.looking import (
    bins_of,
    calibration_of,
    confusion_of,
    domains_of,
    lost_of,
    turned_of,
)
from mollm.evaluation.mixtures.comparing.scoring import AT_ONCE, ROUTED, name_of, score_questions, scored, scores_of
from mollm.evaluation.mixtures.comparing.taking import Taken
from mollm.evaluation.mixtures.records import Record
from mollm.evaluation.mixtures.report import MixtureReport, Report, Verdict
from mollm.evaluation.mixtures.scores.base import spent_by
from mollm.loops import all_of
from mollm.types import total_cost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.evaluation.mixtures.comparing.arms import Field
    from mollm.evaluation.mixtures.comparing.scoring import Scored
    from mollm.evaluation.mixtures.records import Gathered
    from mollm.evaluation.mixtures.report import ArmKind, Lost
    from mollm.evaluation.mixtures.scores.base import Score


NOTHING_COUNTS = "no question counts"
NO_MEMBER = "no worker's answers are scored on enough questions"


@dataclass(frozen=True, slots=True)
class About:
    """What a report says of itself."""

    date: str
    """ISO 8601."""
    data: str
    """The file of questions."""
    data_digest: str
    config: str
    is_replayed: bool = False
    calls: int = 0
    """Made by those who answered; what a judge takes is added to it, as is its cost."""
    cost_usd: float | None = None
    notes: tuple[str, ...] = ()
    routes: Sequence[str | None] = ()
    """Which mixture the router picked for each question of the data, None where it failed; empty without a router."""
    unrecorded: Mapping[str, str] = field(default_factory=dict)
    """By mixture, what its answers lack, since no recording holds it: nothing is told of these."""


async def report_of(
    gathered: Sequence[Gathered], score: Score, about: About, least_gain: float = LEAST_GAIN, seed: int = 0
) -> Report:
    """Score all answers, and hold every mixture against all that it has to be better than.

    Args:
        gathered: What came of each mixture, one at least, on the same questions.
        score: Says how good an answer is.
        about: What the report says of itself.
        least_gain: The least difference of mean scores for which a mixture is worth anything, above 0.
        seed: Of the halves on which the best member is chosen.
    """
    rows = gathered[0].rows
    routed = _routed(gathered, dict(zip((row.id for row in rows), about.routes, strict=True))) if about.routes else {}
    mixtures = []
    for one in gathered:
        said = await score_questions(one, score, routed)
        counted = scored(one, said, score)
        report = await _reported(counted, [_routed_arm(counted)] if about.routes else [], score, least_gain, seed)
        mixtures.append(_untold(report, about.unrecorded.get(one.mixture)))
    spent = spent_by(score)
    return Report(
        date=about.date,
        data=about.data,
        data_digest=about.data_digest,
        questions=len(rows),
        config=about.config,
        score=score.name,
        is_replayed=about.is_replayed,
        mixtures=tuple(mixtures),
        router=confusion_of(rows, about.routes, [one.mixture for one in gathered]) if about.routes else None,
        notes=(*about.notes, *score.notes()),
        calls=about.calls + spent.calls,
        cost_usd=total_cost((about.cost_usd, spent.cost_usd)),
        is_exact=score.is_exact,
    )


async def _reported(
    one: Scored, routed: list[Answers | Lacking], score: Score, least_gain: float, seed: int
) -> MixtureReport:
    gathered = one.gathered
    unscored = [Lacking(_kind_of(gathered, name), f"{name}{ALONE}", why) for name, why in one.unscored.items()]
    report = MixtureReport(
        name=gathered.mixture,
        digest=gathered.digest,
        questions=len(one.rows),
        arms=(),
        gain=None,
        verdict=Verdict("cannot be told", f"cannot be told: {NOTHING_COUNTS}"),
        excluded=one.excluded,
    )
    if not one.rows:
        names = [Lacking(_kind_of(gathered, name), f"{name}{ALONE}", NOTHING_COUNTS) for name in one.alone]
        mixture = Lacking("mixture", gathered.mixture, NOTHING_COUNTS)
        return replace(report, arms=arms_of([mixture, *names, *unscored, *_without(NOTHING_COUNTS), *routed]))
    agreement, confidence = ([getattr(r, name) for r in one.answers] for name in ("agreement", "confidence"))
    report = replace(
        report,
        agreement=bins_of(agreement, one.of_mixture),
        confidence=bins_of(confidence, one.of_mixture),
        calibration_error=calibration_of(confidence, one.of_mixture),
        turned=turned_of(one),
        domains=domains_of(one),
    )
    if not one.workers:
        readers = [Lacking("reader", f"{name}{ALONE}", NO_MEMBER) for name in one.alone]
        arms = arms_of([mixture_of(one), *unscored, *readers, *_without(NO_MEMBER), *routed])
        return replace(report, arms=arms, verdict=Verdict("cannot be told", f"cannot be told: {NO_MEMBER}"))
    field = field_of(one, seed)
    arms = arms_of([field.mixture, *field.members, *unscored, field.best, *field.others, *routed])
    report = replace(report, arms=arms, lost=await _lost(one, field, score))
    return _told(report, field, least_gain)


def _untold(report: MixtureReport, lacking: str | None) -> MixtureReport:
    """Without what would be said of answers that the mixture would not give."""
    if lacking is None:
        return report
    verdict = Verdict("cannot be told", f"cannot be told by recorded answers: {lacking} is not among them")
    return replace(report, verdict=verdict, gain=None, vote=None, turned=None, lost=())


def _told(report: MixtureReport, field: Field, least_gain: float) -> MixtureReport:
    """With the verdict, and the comparisons that it stands on."""
    if field.is_single:
        text = f"is {field.members[0].name}, so there is nothing to compare"
        return replace(report, verdict=Verdict("cannot be told", text))
    best = field.best_names
    whom = f"{best[0]}{ALONE}" if len(best) == 1 else f"the best member ({' or '.join(best)})"
    gain = gain_of(best[0], whom, field.mixture, field.best)
    vote = gain_of(field.everybody.name, f"a {field.everybody.name}", field.mixture, field.everybody)
    verdict = verdict_of(gain, field.mixture.scores - field.best.scores, least_gain)
    return replace(report, gain=gain, verdict=verdict, vote=vote)


def _kind_of(gathered: Gathered, name: str) -> ArmKind:
    return "member" if name in gathered.alone else "reader"


def _without(why: str) -> list[Lacking]:
    kinds: tuple[tuple[ArmKind, str], ...] = (
        ("best", "best member"),
        ("random", "random member"),
        ("self", "self-mixture"),
        ("vote", "plain vote"),
        ("oracle", "oracle"),
    )
    return [Lacking(kind, name, why) for kind, name in kinds]


async def _lost(one: Scored, field: Field, score: Score) -> tuple[Lost, ...]:
    """The questions lost, with scores for all their proposals: those that nobody gave alone are not scored yet."""
    there = {row.id: (row, said) for row, said in zip(one.rows, one.questions, strict=True)}
    places = asyncio.Semaphore(AT_ONCE)

    async def whole(lost: Lost) -> Lost:
        row, said = there[lost.id]
        new = {f"proposal {n}": side.text for n, side in enumerate(lost.proposals) if side.score is None}
        if not new:
            return lost
        async with places:
            more = await scores_of(score, row, {**said.texts, **new})
        sides = []
        for number, side in enumerate(lost.proposals):
            value = more.get(f"proposal {number}", math.nan)
            sides.append(side if math.isnan(value) else replace(side, score=value))
        return replace(lost, proposals=tuple(sides))

    found = lost_of(one, field.picks)
    return tuple(await all_of([whole(lost) for lost in found])) if found else ()


def _routed(gathered: Sequence[Gathered], routes: Mapping[str, str | None]) -> dict[str, Record]:
    """The answers of the mixtures that the router picked, by question; those that were not asked are left out."""
    answers = {
        (mixture.mixture, row.id): record
        for mixture in gathered
        for row, record in zip(mixture.rows, mixture.answers, strict=True)
        if row.id not in mixture.unasked
    }
    failed = Record("", "", error="the router failed", calls=0)
    found = {row: failed if name is None else answers.get((name, row)) for row, name in routes.items()}
    return {row: record for row, record in found.items() if record is not None}


def _routed_arm(one: Scored) -> Answers | Lacking:
    who = f"{name_of(one.gathered)} {ROUTED}"
    records = [said.records[who] for said in one.questions if who in said.records]
    scores = np.array([said.value(who) for said in one.questions])
    lacking = int(np.isnan(scores).sum())
    if lacking or not records:
        return Lacking("routed", ROUTED, f"{count(lacking, 'question')} without an answer of the mixture picked")
    return Answers("routed", ROUTED, scores, Taken.of(records), failures_of(records))
