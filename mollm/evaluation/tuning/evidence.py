"""What was found, in lines: for the terminal, and as comments in the file that is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.evaluation.tuning.outcomes import Outcome
    from mollm.evaluation.tuning.settings import Setting
    from mollm.evaluation.tuning.tune import Tuned


@dataclass(frozen=True, slots=True)
class Source:
    """What it was found on, and how."""

    date: str
    """ISO 8601."""
    data: str
    """The file of questions."""
    digest: str
    """SHA-256 of it, in hexadecimal digits."""
    command: str
    """What was typed."""
    score: str = "exact"


def comments(tuned: Tuned, source: Source) -> Iterator[str]:
    """Yield what stands above the mixture, a paragraph each."""
    confirmed = len(tuned.confirmed.alone.scores)
    yield f"Made on {source.date} by: {source.command}"
    yield f"Data: {source.data}, SHA-256 {source.digest[:16]}, score {source.score}"
    yield (
        f"Searched on {tuned.searched} questions, confirmed on {confirmed} others "
        f"(seed {tuned.seed}); {len(tuned.excluded)} do not count."
    )
    yield from lines(tuned)


def lines(tuned: Tuned) -> Iterator[str]:
    """Yield the evidence: what is worth it and why, and what each price buys."""
    found, confirmed = tuned.found, tuned.confirmed
    yield tuned.reason
    if gain := confirmed.gain:
        low, high = (100 * bound for bound in gain.interval)
        points = f"{100 * gain.difference:+.1f} points ({low:+.1f} to {high:+.1f} with 95 %)"
        yield f"Gain on the held-out half: {points}, p = {gain.p:.2g}"
    yield ""
    price = "USD" if _is_priced(confirmed.alone) else "calls"
    yield f"  {'':<28}{'searched':>10}{'held out':>10}{price:>10}"
    yield _row("best LLM alone", found.alone, confirmed.alone)
    if confirmed.vote and found.setting:
        yield _row(f"plain vote of {len(found.setting.members)}", None, confirmed.vote)
    if found.setting and found.outcome and confirmed.outcome:
        yield _row(found.setting.label, found.outcome, confirmed.outcome)
    for tried in tuned.aggregated:
        yield _row(f"  with {tried.method}", None, tried.outcome)
    if tuned.gap is not None:
        yield f"Searched less held out: {100 * tuned.gap:+.1f} points; what lies above 0 was chance."
    yield ""
    yield f"What each price buys, of {found.tried} settings:"
    for (setting, outcome), held_out in zip(found.front, confirmed.front, strict=True):
        yield _row(setting.label, outcome, held_out)
    yield ""
    yield from _named(tuned)
    for tried in tuned.aggregated:
        yield f"With {tried.method} it is {tried.verdict.sentence}."


def _named(tuned: Tuned) -> Iterator[str]:
    """Who the members are."""
    yield f"Best LLM: {printable(tuned.found.best_member)}"
    setting: Setting | None = tuned.found.setting
    if setting:
        yield f"Found: {', '.join(map(printable, setting.members))}"


def _row(name: str, searched: Outcome | None, held_out: Outcome) -> str:
    first = "" if searched is None else f"{100 * searched.score:.1f}"
    price = f"{held_out.mean_cost:.5f}" if _is_priced(held_out) else f"{held_out.mean_calls:.2f}"
    return f"  {name:<28}{first:>10}{100 * held_out.score:>10.1f}{price:>10}"


def _is_priced(outcome: Outcome) -> bool:
    return not np.isnan(outcome.mean_cost)
