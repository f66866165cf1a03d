"""From what came of asking to what is reported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.mixtures.arms import ALONE, Answers, Lacking, arms_of, field_of, mixture_of
from mollm.evaluation.mixtures.gains import LEAST_GAIN, gain_of, verdict_of
from mollm.evaluation.mixtures.looking import (
    bins_of,
    calibration_of,
    confusion_of,
    domains_of,
    known,
    lost_of,
    turned_of,
)
from mollm.evaluation.mixtures.records import Record
from mollm.evaluation.mixtures.report import MixtureReport, Report, Verdict
from mollm.evaluation.mixtures.scoring import scored, scored_texts, scores_of, value_of
from mollm.evaluation.mixtures.sentences import count
from mollm.evaluation.mixtures.taking import Taken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.evaluation.mixtures.arms import Field
    from mollm.evaluation.mixtures.records import Gathered
    from mollm.evaluation.mixtures.report import ArmKind, Lost
    from mollm.evaluation.mixtures.scores.base import Score
    from mollm.evaluation.mixtures.scoring import Scored, Scores


NOTHING_COUNTS = "no question counts"
NO_MEMBER = "no member's answers are scored on enough questions"
ROUTED = "routed"


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
    cost_usd: float | None = None
    notes: tuple[str, ...] = ()
    routes: Sequence[str | None] = ()
    """Which mixture the router picked for each question of the data, None where it failed; empty without a router."""


async def report_of(gathered: Sequence[Gathered], score: Score, about: About, least_gain: float = LEAST_GAIN) -> Report:
    """Score all answers, and hold every mixture against all that it has to be better than.

    Args:
        gathered: What came of each mixture, one at least, on the same questions.
        score: Says how good an answer is.
        about: What the report says of itself.
        least_gain: The least difference of mean scores for which a mixture is worth anything, above 0.
    """
    found, problems = await scores_of(gathered, score)
    rows = gathered[0].rows
    routes = dict(zip((row.id for row in rows), about.routes, strict=True)) if about.routes else {}
    mixtures = []
    for one in gathered:
        counted = scored(one, found, problems)
        routed = [_routed(counted, gathered, found, routes)] if routes else []
        mixtures.append(await _reported(counted, routed, score, least_gain))
    return Report(
        date=about.date,
        data=about.data,
        data_digest=about.data_digest,
        questions=len(rows),
        config=about.config,
        score=score.name,
        is_replayed=about.is_replayed,
        mixtures=tuple(mixtures),
        router=confusion_of(rows, about.routes, [one.mixture for one in gathered]) if routes else None,
        notes=(*about.notes, *score.notes()),
        calls=about.calls,
        cost_usd=about.cost_usd,
    )


async def _reported(one: Scored, routed: list[Answers | Lacking], score: Score, least_gain: float) -> MixtureReport:
    gathered = one.gathered
    unscored = [Lacking("member", f"{name}{ALONE}", why) for name, why in one.unscored.items()]
    report = MixtureReport(
        name=gathered.mixture,
        digest=gathered.digest,
        questions=len(one.rows),
        arms=(),
        gain=None,
        verdict=Verdict("cannot be told", NOTHING_COUNTS),
        excluded=one.excluded,
    )
    if not one.rows:
        names = [Lacking("member", f"{name}{ALONE}", NOTHING_COUNTS) for name in one.alone]
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
    if not one.alone:
        arms = arms_of([mixture_of(one), *unscored, *_without(NO_MEMBER), *routed])
        return replace(report, arms=arms, verdict=Verdict("cannot be told", f"cannot be told: {NO_MEMBER}"))
    field = field_of(one)
    arms = arms_of([field.mixture, *field.members, *unscored, field.best, *field.others, *routed])
    report = replace(report, arms=arms, lost=await _lost(one, field, score))
    if field.is_single:
        text = f"is {field.members[0].name}, so there is nothing to compare"
        return replace(report, verdict=Verdict("cannot be told", text))
    best = field.best_names
    whom = f"{best[0]}{ALONE}" if len(best) == 1 else f"the best member ({' or '.join(best)})"
    gain = gain_of(best[0], whom, field.mixture, field.best)
    vote = gain_of(field.everybody.name, f"a {field.everybody.name}", field.mixture, field.everybody)
    verdict = verdict_of(gain, field.mixture.scores - field.best.scores, least_gain)
    return replace(report, gain=gain, verdict=verdict, vote=vote)


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
    lost = lost_of(one, field.picks)
    rows = {row.id: (row, texts) for row, texts in zip(one.rows, one.of_texts, strict=True)}
    found = []
    for entry in lost:
        row, texts = rows[entry.id]
        new = {side.text: side.who for side in entry.proposals if side.error is None and side.text not in texts}
        more = await scored_texts(score, row, new) if new else {}
        sides = (replace(side, score=known(side.text, more)) if side.text in more else side for side in entry.proposals)
        found.append(replace(entry, proposals=tuple(sides)))
    return tuple(found)


def _routed(
    one: Scored, gathered: Sequence[Gathered], found: Scores, routes: Mapping[str, str | None]
) -> Answers | Lacking:
    """For each question the answer of the mixture that the router picked."""
    answers = {
        mixture.mixture: {
            row.id: record
            for row, record in zip(mixture.rows, mixture.answers, strict=True)
            if row.id not in mixture.unasked
        }
        for mixture in gathered
    }
    failed = Record("", "", error="the router failed", calls=0)
    picked = [(row.id, routes.get(row.id)) for row in one.rows]
    records = [failed if name is None else answers.get(name, {}).get(row) for row, name in picked]
    there = [record for record in records if record is not None]
    scores = np.array([value_of(record, found) for record in there])
    lacking = len(records) - len(there) + int(np.isnan(scores).sum())
    if lacking or not there:
        return Lacking("routed", ROUTED, f"{count(lacking, 'question')} without an answer of the mixture picked")
    return Answers(
        "routed", ROUTED, scores, Taken.of(there), np.array([r.error is not None for r in there], dtype=float)
    )
