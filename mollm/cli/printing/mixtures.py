"""What `mollm eval mixtures` found, in lines of at most 60 columns: the verdicts first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from mollm.cli.printing.layout import console
from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.comparing.sentences import compared, p_in_words
from mollm.printable import abridged, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import Console

    from mollm.evaluation.mixtures.report import Arm, Bin, Confusion, Domains, Gain, MixtureReport, Report, Turned

COLUMNS = 60
NAMED = 5
"""Questions that count for no arm, of those that are named."""
NAME = 13
"""Columns of the name of an arm; a longer one stands on a line of its own."""


def print_mixtures_report(report: Report) -> None:
    """Print a report to standard output."""
    screen = console()
    _say(screen, _head(report))
    for mixture in report.mixtures:
        _say(screen, f"\n{mixture.name}: {mixture.verdict.sentence}", style="bold")
    for mixture in report.mixtures:
        for title, lines in _parts(mixture, is_exact=report.is_exact):
            _say(screen, f"\n{mixture.name}: {title}", style="bold")
            for line in lines:
                _say(screen, line, "  ")
    if report.router:
        _say(screen, f"\n{_routed(report.router)}", style="bold")
        for line in _counts(report.router):
            _say(screen, line, "  ")
    for note in report.notes:
        _say(screen, f"\n{note}")


def _head(report: Report) -> str:
    how = "recorded answers" if report.is_replayed else count(report.calls, "call")
    cost = f", {report.cost_usd:.6f} USD" if report.cost_usd is not None and not report.is_replayed else ""
    return f"{report.data}: {count(report.questions, 'question')}, scored by {report.score}, {how}{cost}"


def _parts(mixture: MixtureReport, *, is_exact: bool) -> Iterator[tuple[str, Iterable[str]]]:
    """Titles and what stands under them."""
    right = "right" if is_exact else "mean score"
    yield f"{count(mixture.questions, 'question')}", _arms(mixture.arms)
    gains = [gain for gain in (mixture.gain, mixture.vote) if gain]
    if gains:
        yield "paired", [line for gain in gains for line in _gain(gain)]
    if mixture.domains:
        yield "by kind", _domains(mixture.domains)
    if mixture.agreement:
        yield f"{right}, by agreement", map(_bin, mixture.agreement)
    if mixture.confidence:
        error = mixture.calibration_error
        told = "" if error is None else f" (calibration error {100 * error:.1f} points)"
        yield f"{right}, by confidence{told}", map(_bin, mixture.confidence)
    if mixture.turned:
        yield (
            f"the aggregator wrote or picked {count(mixture.turned.questions, 'answer')}",
            _turned(mixture.turned, is_exact=is_exact),
        )
    if mixture.excluded:
        named = [f"{found.place} ({found.id}): {abridged(found.why, 100)}" for found in mixture.excluded[:NAMED]]
        more = len(mixture.excluded) - len(named)
        is_one = len(mixture.excluded) == 1
        title = f"{count(len(mixture.excluded), 'question')} {'counts' if is_one else 'count'} for nobody"
        yield title, [*named, *([f"and {more:,} more"] if more else [])]


def _turned(turned: Turned, *, is_exact: bool) -> list[str]:
    """Against the proposal that each would have been without it."""
    if is_exact:
        return [f"from right to wrong {turned.wrong:>6,}", f"from wrong to right {turned.right:>6,}"]
    same = turned.questions - turned.wrong - turned.right
    return [
        f"worse than the best proposal  {turned.wrong:>6,}",
        f"better than the best proposal {turned.right:>6,}",
        f"neither                       {same:>6,}",
    ]


def _arms(arms: Sequence[Arm]) -> list[str]:
    """A table; columns that nothing stands in are left out."""
    cells: list[tuple[str, int, Callable[[Arm], str]]] = [
        ("score", 5, lambda arm: f"{100 * arm.score:.1f}" if arm.score is not None else "-"),
        ("95 %", 10, lambda arm: "-".join(map(_bound, arm.interval or ()))),
        ("calls", 5, lambda arm: f"{arm.calls:.2f}" if arm.calls is not None else ""),
        ("tokens", 6, lambda arm: _tokens(arm)),
        ("USD", 8, lambda arm: f"{arm.cost_usd:.6f}"[:8] if arm.cost_usd is not None else ""),
        ("s", 5, lambda arm: f"{arm.seconds:.1f}" if arm.seconds else ""),
    ]
    used = [cell for cell in cells if any(cell[2](arm) for arm in arms)]
    lines = [" " * NAME + "".join(f" {head:>{width}}" for head, width, _ in used)]
    for arm in arms:
        name = printable(arm.name) + (" *" if arm.is_on_front else "")
        if arm.score is None:
            lines += [name, f"  - {arm.why}"]
            continue
        if cell_len(name) > NAME:
            lines.append(name)
            name = ""
        figures = "".join(f" {show(arm):>{width}}" for _, width, show in used)
        lines.append(f"{name}{' ' * (NAME - cell_len(name))}{figures}".rstrip())
        if arm.failed:
            lines.append(f"  {count(arm.failed, 'question')} failed")
    front = "* nothing scores as high at as low a cost"
    return [*lines, *([front] if any(arm.is_on_front for arm in arms) else [])]


def _bound(share: float) -> str:
    """As a percentage of at most four columns, so that a row stays on its line."""
    return f"{100 * share:.1f}".replace("100.0", "100")


def _tokens(arm: Arm) -> str:
    total = (arm.prompt_tokens or 0) + (arm.completion_tokens or 0)
    if not total:
        return ""
    return f"{total:,.0f}" if total < 99_999.5 else f"{total / 1000:,.0f}k"


def _gain(gain: Gain) -> list[str]:
    low, high = gain.interval
    points = f"{100 * gain.difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), {p_in_words(gain.p)}"
    return [f"against {gain.whom}", f"  {points}", f"  {compared(gain)}"]


def _domains(domains: Domains) -> list[str]:
    """A row for each kind, and under it everybody's score: kinds and members may both be many."""
    lines = []
    for column, (kind, questions) in enumerate(zip(domains.kinds, domains.questions, strict=True)):
        lines.append(f"{kind} ({count(questions, 'question')})")
        for name, scores in zip(domains.names, domains.scores, strict=True):
            score = scores[column]
            lines.append(f"  {_fitted(name, 44)} {'-' if score is None else f'{100 * score:.1f}':>6}")
    return lines


def _bin(found: Bin) -> str:
    return f"{found.low:.1f} to {found.high:.1f}: {100 * found.right:5.1f} % of {found.questions:,}"


def _routed(router: Confusion) -> str:
    told = "" if router.accuracy is None else f", {100 * router.accuracy:.1f} % to the mixture of their name"
    return f"where the router sends the kinds{told}"


def _counts(router: Confusion) -> list[str]:
    lines = []
    for kind, counts in zip(router.kinds, router.counts, strict=True):
        lines.append(kind)
        sent = [(number, name) for number, name in zip(counts, router.mixtures, strict=True) if number]
        lines += [f"  {_fitted(name, 44)} {number:>6,}" for number, name in sent]
    return lines


def _fitted(name: str, width: int) -> str:
    """A name in so many columns."""
    text = Text(printable(name))
    text.truncate(width, overflow="ellipsis", pad=True)
    return text.plain


def _say(screen: Console, line: str, indent: str = "", style: str = "") -> None:
    """Print a line, in several where it is longer than the table is wide."""
    start = "\n" if line.startswith("\n") else ""
    for part in Text(printable(line.removeprefix("\n"))).wrap(screen, COLUMNS - len(indent), overflow="fold"):
        part.rstrip()
        screen.print(Text(f"{start}{indent}{part.plain}", style=style), soft_wrap=True)
        start = ""
