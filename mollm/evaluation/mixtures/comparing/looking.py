"""Where a mixture is right and where it is not: by agreement, by kind, by what the aggregator made of the proposals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.metrics import calibration_error
from mollm.evaluation.mixtures.comparing.scoring import best_of, name_of
from mollm.evaluation.mixtures.report import Bin, Confusion, Domains, Lost, Side, Turned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.metrics import Floats, Ints
    from mollm.evaluation.mixtures.comparing.scoring import Scored, ScoredQuestion
    from mollm.evaluation.mixtures.rows import Row
    from mollm.types import Proposal

BINS = 10
"""Of agreement and confidence, 0 to 1, all of the same width."""


def bins_of(values: Sequence[float | None], scores: Floats) -> tuple[Bin, ...]:
    """How right answers are, by agreement or confidence: answers without any are left out, and so are empty bins."""
    kept, right = _known(values, scores)
    # The slack keeps 0.7 from the bin below, in which 0.7 * 10 = 6.99... would put it.
    where = np.clip((kept * BINS + 1e-9).astype(int), 0, BINS - 1)
    return tuple(
        Bin(
            low=number / BINS,
            high=(number + 1) / BINS,
            questions=int((where == number).sum()),
            mean=float(kept[where == number].mean()),
            right=float(right[where == number].mean()),
        )
        for number in np.unique(where).tolist()
    )


def calibration_of(values: Sequence[float | None], scores: Floats) -> float | None:
    """The calibration error of confidence; None without any, or where scores are not 0 or 1."""
    kept, right = _known(values, scores)
    if not len(kept) or not np.isin(right, (0.0, 1.0)).all():
        return None
    return calibration_error(kept, right.astype(bool))


def _known(values: Sequence[float | None], scores: Floats) -> tuple[Floats, Floats]:
    """The values that there are, and the scores that go with them."""
    found = np.array([math.nan if value is None else value for value in values], dtype=float)
    is_known = ~np.isnan(found)
    return found[is_known], scores[is_known]


def turned_of(scored: Scored) -> Turned | None:
    """Compare the answers with the proposals that they would have been; None where no aggregator wrote or picked."""
    wrong = right = questions = 0
    for record, after, said in zip(scored.answers, scored.of_mixture, scored.questions, strict=True):
        best = best_of(record) if record.error is None else None
        if best is None or (record.text == best.text and record.calls <= len(record.proposals)):
            continue
        before = said.of_text(best.text)
        if not math.isnan(before):
            questions += 1
            wrong += after < before
            right += after > before
    return Turned(wrong=int(wrong), right=int(right), questions=questions) if questions else None


def domains_of(scored: Scored) -> Domains | None:
    """Mean scores of the mixture and of each member on each kind; None where no question has one."""
    kinds = tuple(dict.fromkeys(row.kind for row in scored.rows if row.kind is not None))
    if not kinds:
        return None
    of_kind = [np.array([row.kind == kind for row in scored.rows]) for kind in kinds]
    columns = [scored.of_mixture, *scored.of_members.T]
    return Domains(
        kinds=kinds,
        questions=tuple(int(rows.sum()) for rows in of_kind),
        names=(scored.gathered.mixture, *scored.alone),
        scores=tuple(tuple(float(column[rows].mean()) for rows in of_kind) for column in columns),
    )


def confusion_of(rows: Sequence[Row], routes: Sequence[str | None], mixtures: Sequence[str]) -> Confusion | None:
    """Where a router sends the questions of each kind; None where it sends none that has one.

    Args:
        rows: The questions.
        routes: Which mixture was picked for each; None where the router failed.
        mixtures: All that there are.
    """
    sent = [(row.kind, route) for row, route in zip(rows, routes, strict=True) if row.kind is not None and route]
    if not sent:
        return None
    kinds = tuple(dict.fromkeys(kind for kind, _ in sent))
    names = tuple(dict.fromkeys([*mixtures, *(route for _, route in sent)]))
    counts: Ints = np.zeros((len(kinds), len(names)), dtype=int)
    for kind, route in sent:
        counts[kinds.index(kind), names.index(route)] += 1
    told = [kind == route for kind, route in sent if kind in names]
    return Confusion(
        kinds=kinds,
        mixtures=names,
        counts=tuple(map(tuple, counts.tolist())),
        accuracy=sum(told) / len(told) if told else None,
    )


def lost_of(scored: Scored, picks: Ints) -> tuple[Lost, ...]:
    """The questions that the best member answers better, the largest losses first.

    Args:
        scored: The mixture.
        picks: The number of the best member for each question.
    """
    names = list(scored.alone)
    best = scored.of_members[np.arange(len(picks)), picks]
    losses = scored.of_mixture - best
    return tuple(
        _lost(scored, number, names[picks[number]])
        for number in np.argsort(losses, kind="stable")
        if losses[number] < 0
    )


def _lost(scored: Scored, number: int, member: str) -> Lost:
    row, record, said = scored.rows[number], scored.answers[number], scored.questions[number]
    mixture, best = name_of(scored.gathered), scored.alone[member][number]
    return Lost(
        id=row.id,
        question=row.question,
        reference=row.reference,
        kind=row.kind,
        answer=Side(scored.gathered.mixture, record.text, record.final, said.value(mixture), record.error),
        best=Side(member, best.text, best.final, said.value(member), best.error),
        proposals=tuple(_proposed(proposal, said) for proposal in record.proposals),
        mixture=scored.gathered.mixture,
    )


def _proposed(proposal: Proposal, said: ScoredQuestion) -> Side:
    if proposal.error:
        return Side(proposal.worker, proposal.text, proposal.final, 0.0, proposal.error.message)
    score = said.of_text(proposal.text)
    return Side(proposal.worker, proposal.text, proposal.final, None if math.isnan(score) else score)
