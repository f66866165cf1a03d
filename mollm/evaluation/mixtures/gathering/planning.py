"""The most that an evaluation may take, from the plans of the questions, before anything is called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.gathering.members import members_of, readers_of
from mollm.limits import WorstCase, worst_case
from mollm.messages import messages_of, question_of
from mollm.options import Options
from mollm.types import PlannedCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mollm.catalog import Catalog
    from mollm.evaluation.mixtures.rows import Row
    from mollm.mixture import Mixture
    from mollm.types import Question
    from mollm.workers import Worker

NOTHING = WorstCase(0, 0, 0.0)
DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an evaluation may take."""

    worst: WorstCase
    """Retries are not counted."""
    usual: int
    """Calls where everybody who is asked by a mixture answers in time."""


def outlook(
    catalog: Catalog,
    mixtures: Sequence[str],
    rows: Sequence[Row],
    lacking: Mapping[str, Mapping[str, str]],
    *,
    itself: bool,
    routes: bool,
    readers: bool = True,
) -> Outlook:
    """Add up what every question may take of mixtures, members and self-mixtures, and of the router."""
    total, spared = NOTHING, 0
    workers = {name: members_of(catalog.mixtures[name], catalog.config).values() for name in mixtures}
    members = {name: (*workers[name], *(readers_of(catalog, name).values() if readers else ())) for name in mixtures}
    for row in rows:
        question = question_of(messages_of(row.asked))
        cases = [worst_case(catalog.plan_before(catalog.mixtures[mixtures[0]], question), catalog.llms)] * routes
        alone: dict[str, Worker] = {}
        sure: set[str] = set()
        for name in mixtures:
            if row.id in lacking.get(name, ()):
                continue
            mixture = catalog.mixtures[name]
            cases.append(_whole(catalog, mixture, question))
            alone |= {member.key: member.worker for member in members[name]}
            sure |= {member.key for member in workers[name] if _waits_for_all(mixture)}
            if itself and mixture.planned > 1 and len(members[name]) > 1:
                one = replace(mixture, chooser=None)
                selves = (replace(one, workers=(m.worker,) * mixture.planned) for m in members[name])
                cases.append(_most([_whole(catalog, each, question) for each in selves]))
        calls = [_alone(catalog, worker, question) for worker in alone.values()]
        total = _sum([total, *cases, worst_case(calls, catalog.llms)])
        spared += len(sure)
    return Outlook(total, total.calls - spared)


def _whole(catalog: Catalog, mixture: Mixture, question: Question) -> WorstCase:
    chosen = mixture.chooser.plan(question) if mixture.chooser else ()
    return worst_case([*chosen, *mixture.plan(question, DEFAULTS)], catalog.llms)


def _alone(catalog: Catalog, worker: Worker, question: Question) -> PlannedCall:
    limit = worker.settings.max_tokens or catalog.config.llms[worker.llm].max_tokens
    return PlannedCall("bypass", worker.llm, limit, question.tokens + worker.prompt_tokens, images=question.images)


def _waits_for_all(mixture: Mixture) -> bool:
    rules, planned = mixture.rules, mixture.planned
    is_whole = min(rules.ask_first, rules.enough) >= planned and not rules.may_agree
    return is_whole and mixture.chooser is None


def _sum(cases: Iterable[WorstCase]) -> WorstCase:
    found = list(cases)
    costs = [case.cost_usd for case in found if case.cost_usd is not None]
    unpriced = tuple(dict.fromkeys(name for case in found for name in case.unpriced))
    return WorstCase(
        sum(case.calls for case in found),
        sum(case.output_tokens for case in found),
        None if unpriced else sum(costs),
        sum(case.prompt_tokens for case in found),
        unpriced,
    )


def _most(cases: Sequence[WorstCase]) -> WorstCase:
    """What the dearest of several takes, of each kind."""
    whole = _sum(cases)
    costs = [case.cost_usd or 0.0 for case in cases]
    return WorstCase(
        max(case.calls for case in cases),
        max(case.output_tokens for case in cases),
        None if whole.unpriced else max(costs),
        max(case.prompt_tokens for case in cases),
        whole.unpriced,
    )
