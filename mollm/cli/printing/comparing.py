"""How proposals were ranked and analyzed, as an explanation shows it and in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mollm.cli.printing.layout import why
from mollm.evaluation.counting import count
from mollm.printable import printable
from mollm.types import ANALYZED

if TYPE_CHECKING:
    from mollm.types import Analysis, Failure, Point, Ranking

MOST_POINTS = 5
"""Of each kind that an explanation shows."""
PREVIEW = 240
"""Columns of a point that an explanation shows."""
COUNTED = {
    "consensus": ("shared by several", "shared by several"),
    "contradictions": ("contradiction", "contradictions"),
    "partial_coverage": ("partly covered", "partly covered"),
    "unique_points": ("unique", "unique"),
    "blind_spots": ("blind spot", "blind spots"),
}


def ranking_text(ranking: Ranking) -> Text:
    """Places with their points, who dissented, which reviews count for nobody, and whether all were needed."""
    widest = max(len(rank.worker) for rank in ranking.ranks)
    lines: list[Text] = []
    for place, rank in enumerate(ranking.ranks, 1):
        points = "not reviewed" if rank.points is None else f"{rank.points:.2f}  {count(rank.ballots, 'review')}"
        line = Text(f"{place}  {printable(rank.worker):<{widest}}  ", style="bold" if place == 1 else "")
        lines.append(line + Text(points, style="not bold"))
    if ranking.dissent:
        lines.append(Text(printable(f"put another first: {', '.join(ranking.dissent)}")))
    uncounted: dict[Failure, list[str]] = {}
    for ballot in ranking.ballots:
        if ballot.error:
            uncounted.setdefault(ballot.error, []).append(ballot.reviewer)
    for error, reviewers in uncounted.items():
        lines.append(Text(f"not counted: {printable(', '.join(reviewers))} ({why(error)})", style="yellow"))
    if ranking.is_decided_early:
        lines.append(Text("decided before all reviews were in", style="dim"))
    return Text("\n").join(lines)


def ranked_in_brief(ranking: Ranking) -> str:
    """The winner, and how many reviews there are."""
    counted = sum(ballot.error is None for ballot in ranking.ballots)
    return printable(f"{ranking.ranks[0].worker} first, {count(counted, 'review')}")


def analysis_text(analysis: Analysis) -> Text:
    """Who compared the proposals, and what was found, each kind under its heading."""
    lines = [Text(f"by {printable(analysis.llm)}: {analyzed_in_brief(analysis)}", style="bold")]
    for kind in ANALYZED:
        points: tuple[Point, ...] = getattr(analysis, kind)
        if points:
            lines.append(Text(kind.replace("_", " ")))
        lines += [_point_text(point) for point in points[:MOST_POINTS]]
        if len(points) > MOST_POINTS:
            lines.append(Text(f"- and {len(points) - MOST_POINTS} more", style="dim"))
    return Text("\n").join(lines)


def analyzed_in_brief(analysis: Analysis) -> str:
    """How many points of each kind there are."""
    numbers = {kind: len(getattr(analysis, kind)) for kind in ANALYZED}
    found = [f"{number} {COUNTED[kind][number > 1]}" for kind, number in numbers.items() if number]
    return ", ".join(found) or "nothing to say"


def _point_text(point: Point) -> Text:
    # A column holds one character at least, so what lies beyond is never shown.
    said = Text(f"- {printable(point.text[: 4 * PREVIEW])}", style="dim")
    said.truncate(PREVIEW, overflow="ellipsis")
    return said + Text(f" ({printable(', '.join(point.proposals))})" if point.proposals else "")
