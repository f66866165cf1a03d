"""What was found, in lines: for the terminal, and as comments in the file that is written."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.comparing.sentences import p_in_words
from mollm.evaluation.tuning.settings import Setting
from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.evaluation.tuning.outcomes import Outcome
    from mollm.evaluation.tuning.search import Found
    from mollm.evaluation.tuning.tune import Tuned

COLUMNS = 60
"""Of a line of a table."""


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
    yield f"Made on {source.date} by:"
    yield f"  {source.command}"
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
        yield f"Gain on the held-out half: {points}, {p_in_words(gain.p)}"
    letters = _letters(found)
    yield from ("", "LLMs, the one with the highest score where it was searched first:")
    yield from (f"  {letter}  {printable(member)}" for member, letter in letters.items())
    yield from ("", _columns("", "searched", "held out", "calls", "USD" if confirmed.alone.is_priced else None))
    yield from _row(Setting(found.by_score[:1]).label(letters), found.alone, confirmed.alone)
    if confirmed.vote and found.vote and found.vote != found.setting:
        yield from _row(found.vote.label(letters), None, confirmed.vote)
    if found.setting and found.outcome and confirmed.outcome:
        yield from _row(found.setting.label(letters), found.outcome, confirmed.outcome)
    for tried in tuned.aggregated:
        yield from _row(f"  with {tried.method}", None, tried.outcome)
    if tuned.gap is not None:
        yield f"Searched less held out: {100 * tuned.gap:+.1f} points; what lies above 0 was chance."
    yield ""
    yield f"What each price buys, of {found.tried} settings:"
    for (setting, outcome), held_out in zip(found.front, confirmed.front, strict=True):
        yield from _row(setting.label(letters), outcome, held_out)
    for tried in tuned.aggregated:
        yield f"With {tried.method}: {tried.verdict.sentence}."


def _letters(found: Found) -> dict[str, str]:
    """A letter for each LLM that stands in one of the tables, the best first."""
    settings = [setting for setting in (found.vote, found.setting, *(one for one, _ in found.front)) if setting]
    named = {found.best_member, *(member for setting in settings for member in setting.members)}
    listed = [member for member in found.by_score if member in named]  # three orders of 16 at most
    return dict(zip(listed, ascii_uppercase + ascii_lowercase, strict=False))


def _row(name: str, searched: Outcome | None, held_out: Outcome) -> Iterator[str]:
    """A line of a table, or two where the name is too long for one."""
    first = "" if searched is None else f"{100 * searched.score:.1f}"
    cost = f"{held_out.mean_cost:.6f}"[:8] if held_out.is_priced else None
    figures = f"{100 * held_out.score:.1f}", f"{held_out.mean_calls:.2f}", cost
    line = _columns(name, first, *figures)
    if len(line) > COLUMNS:
        yield f"  {name}"
        line = _columns("", first, *figures)
    yield line


def _columns(name: str, searched: str, held_out: str, calls: str, cost: str | None) -> str:
    figures = f"{searched:>9}{held_out:>9}{calls:>6}" + ("" if cost is None else f"{cost:>9}")
    return f"  {name}".ljust(COLUMNS - len(figures)) + figures
