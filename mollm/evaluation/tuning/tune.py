"""From what every member says alone to the mixture that is worth it, or to the one LLM that is as good."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.errors import DataError
from mollm.evaluation.mixtures.comparing.halves import halves
from mollm.evaluation.mixtures.comparing.scoring import AT_ONCE, scores_of
from mollm.evaluation.mixtures.table import Table
from mollm.evaluation.tuning.confirming import confirm
from mollm.evaluation.tuning.ordering import costs_of
from mollm.evaluation.tuning.search import Dial, search
from mollm.evaluation.tuning.settings import MOST, Setting
from mollm.loops import all_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.records import Record
    from mollm.evaluation.mixtures.report import Verdict
    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.mixtures.scores.base import Score
    from mollm.evaluation.tuning.confirming import Confirmed
    from mollm.evaluation.tuning.outcomes import Outcome
    from mollm.evaluation.tuning.search import Fit, Found


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What came of the setting with an LLM that makes the answer, on held-out questions."""

    method: str
    outcome: Outcome
    """Of the questions that were asked."""
    verdict: Verdict
    """Beside what stood before."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of tuning."""

    found: Found
    """On the half that was searched."""
    confirmed: Confirmed
    """On the other half."""
    searched: int
    """Questions of the half that was searched."""
    held_out: tuple[str, ...]
    """Questions of the other half, by id."""
    seed: int
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Questions that do not count, by id, and why."""
    method: str = "vote"
    """Of the aggregator."""
    aggregator_llm: str | None = None
    """Makes the answer of the proposals; None: it is counted."""
    aggregated: tuple[Aggregated, ...] = ()
    """What was asked with an LLM as the aggregator, the last one is taken if it was better."""

    @property
    def is_mixture(self) -> bool:
        """A mixture is worth it; else the best member is the answer."""
        return self.found.setting is not None and (self.confirmed.is_mixture or self.aggregator_llm is not None)

    @property
    def stands(self) -> tuple[str, Outcome]:
        """What counting votes leaves: the setting if it is worth it, else the best member; by name."""
        if self.confirmed.is_mixture and self.confirmed.outcome:
            return "its plain vote", self.confirmed.outcome
        return f"{self.found.best_member} alone", self.confirmed.alone

    @property
    def chosen(self) -> Setting:
        """What is worth it: the mixture, or the best member."""
        setting = self.found.setting
        return setting if setting and self.is_mixture else Setting(self.found.by_score[:1])

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        told = self.confirmed.verdict.sentence
        if self.aggregator_llm is not None:
            return f"With {self.method} by {self.aggregator_llm} it is {self.aggregated[-1].verdict.sentence}."
        if self.confirmed.is_mixture:
            return f"On the held-out half it is {told}."
        if self.found.setting is None:
            return f"One LLM alone: {told}."
        return f"One LLM alone, since no mixture was better on the held-out half: {told}."

    @property
    def gap(self) -> float | None:
        """Score of the setting on the half that was searched less that on the other: what was chance of what was seen.

        None where no setting was found.
        """
        searched, held_out = self.found.outcome, self.confirmed.outcome
        return None if searched is None or held_out is None else searched.score - held_out.score


async def table_of(
    rows: Sequence[Row], alone: Mapping[str, Sequence[Record]], score: Score
) -> tuple[Table, dict[str, str]]:
    """Score what every member says alone.

    Returns:
        The table of the questions that count, and why the others do not, by id.

    Raises:
        DataError: None counts.
    """
    by_id = {row.id: row for row in rows}
    asked = [by_id[record.id] for record in next(iter(alone.values()), ())]
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> list[float] | str:
        row = asked[number]
        if why := score.problem(row):
            return why
        texts = {name: records[number].text for name, records in alone.items() if records[number].error is None}
        async with places:
            found = await scores_of(score, row, texts)
        if lacking := [name for name, value in found.items() if isnan(value)]:
            return f"the answer of {', '.join(lacking)} could not be scored"
        return [found.get(name, 0.0) for name in alone]

    scored = await all_of([one(number) for number in range(len(asked))])
    excluded = {row.id: f"{row.place}: {of}" for row, of in zip(asked, scored, strict=True) if isinstance(of, str)}
    if not (kept := [number for number, of in enumerate(scored) if not isinstance(of, str)]):
        raise DataError(f"no question counts: {next(iter(excluded.values()), 'none was asked')}")
    scores: Floats = np.array([scored[number] for number in kept])
    return Table.of({name: [records[n] for n in kept] for name, records in alone.items()}, scores), excluded


def tune(
    table: Table,
    *,
    most: int = MOST,
    dial: Dial = Dial(),  # noqa: B008 - frozen
    fit: Fit | None = None,
    seed: int = 0,
    kinds: Mapping[str, str | None] | None = None,
    excluded: Mapping[str, str] | None = None,
) -> Tuned:
    """Search on one half of the questions, and confirm on the other.

    Args:
        table: What every member says alone.
        most: Members of a mixture at most.
        dial: What a mixture may take per question.
        fit: Calibrates how sure a layer is; None: settings stop by counts alone.
        seed: Of the halves: the same questions have the same result.
        kinds: Of the questions, by id: each kind is halved.
        excluded: Questions that do not count, for the report.

    Raises:
        DataError: There is only one question, or a ceiling of cost and an LLM without a price.
    """
    if len(table.ids) < 2:
        raise DataError("one question has no halves; give as many as there are, some hundreds at best")
    unpriced = [name for name, cost in zip(table.members, costs_of(table), strict=True) if np.isnan(cost)]
    if unpriced:
        if dial.cost_usd is not None:
            names = ", ".join(unpriced)
            raise DataError(f"{names}: without a price nobody knows what stays below a cost; give a price, or calls")
        table = replace(table, cost_usd=np.full_like(table.cost_usd, np.nan))  # one measure for all
    second = halves([(kinds or {}).get(question) for question in table.ids], seed)
    found = search(table.part(~second), most=most, dial=dial, fit=fit, seed=seed)
    held_out = table.part(second)
    confirmed = confirm(found, held_out)
    return Tuned(found, confirmed, int((~second).sum()), held_out.ids, seed, dict(excluded or {}))


def section_of(
    tuned: Tuned, entries: Mapping[str, Any], description: str, calibration: str | None = None
) -> dict[str, Any]:
    """The mixture as a file describes it.

    Args:
        tuned: What was chosen.
        entries: By name of the member, how a file lists it under `workers`.
        description: What the mixture is for.
        calibration: The file that a setting needs which stops when it is sure.
    """
    setting = tuned.chosen
    section: dict[str, Any] = {
        "description": description,
        "workers": [entries[member] for member in setting.members],
    }
    if len(setting.members) == 1:
        return section
    section["aggregator"] = {"method": tuned.method, **({"llm": tuned.aggregator_llm} if tuned.aggregator_llm else {})}
    if setting.until is not None:
        section["ask_first"] = setting.ask_first
        section["agree"] = setting.until
        if setting.widen > 1:
            section["widen"] = setting.widen
    if setting.sure is not None and calibration is not None:
        section["calibration"] = calibration
    return section
