"""A route explained: probabilities as bars, thresholds, what members said, and the nearest examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mollm.cli.printing.explanation import picked
from mollm.cli.printing.layout import console, print_rows
from mollm.printable import abridged, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.routing.explaining import Explanation

BAR = 30
"""Columns of a probability of 1."""
EIGHTHS = " \u258f\u258e\u258d\u258c\u258b\u258a\u2589\u2588"


def print_explanations(questions: Sequence[str], explanations: Sequence[Explanation]) -> None:
    """Print how each question was decided, to standard output."""
    for number, (question, explanation) in enumerate(zip(questions, explanations, strict=True)):
        screen, route = console(), explanation.route
        if number:
            screen.print()
        screen.print(Text(picked(route), style="bold") + Text(f"  {abridged(question)}", style="not bold"))
        ranked = sorted(route.probabilities.items(), key=lambda item: -item[1])
        rows = [(name, f"{share:.2f} {bar(share)}") for name, share in ranked]
        rows += [("reason", route.reason), ("decided by", f"{route.router}, {1000 * route.seconds:.1f} ms")]
        rows += _bounds(explanation)
        rows += [(member.route.router, said) for member in explanation.members for said in _said(member)]
        rows += [
            ("like", f"{near.similarity:.2f} {near.mixture}: {' '.join(near.text.split())}")
            for near in explanation.nearest
        ]
        print_rows([(name, Text(printable(text))) for name, text in rows], stderr=False)


def bar(share: float) -> str:
    """Draw a share, 0 to 1, in eighths of a column."""
    full, rest = divmod(round(min(max(share, 0.0), 1.0) * BAR * 8), 8)
    return EIGHTHS[8] * full + (EIGHTHS[rest] if rest else "")


def _bounds(explanation: Explanation) -> list[tuple[str, str]]:
    route, rows = explanation.route, []
    likely = route.probabilities.get(route.mixture)
    if explanation.threshold is not None and likely is not None:
        rows.append(("threshold", f"{explanation.threshold:.2f}{'' if route.is_sure else ', and it is in doubt'}"))
    if route.familiarity is not None:
        needed = "" if explanation.familiarity is None else f" of at least {explanation.familiarity:.2f}"
        rows.append(("familiarity", f"{route.familiarity:.2f}{needed}"))
    return rows


def _said(member: Explanation) -> list[str]:
    """What a member of the router said, and those of its own."""
    route = member.route
    said = picked(route) or "nothing"
    share = route.probabilities.get(route.mixture)
    parts = [said if share is None else f"{said} {share:.2f}"]
    if route.familiarity is not None:
        parts.append(f"familiarity {route.familiarity:.2f}")
    if member.weight is not None:
        parts.append(f"weight {member.weight:.2f}" if member.weight else "left out")
    parts.append(f"{1000 * route.seconds:.1f} ms")
    inner = [f"- {part.route.router}: {line}" for part in member.members for line in _said(part)]
    return [f"{', '.join(parts)}; {route.reason}", *inner]
