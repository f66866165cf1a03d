"""How proposals compare: their ranking, and what an LLM found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mollm.cli.printing.layout import count
from mollm.printable import printable
from mollm.types import ANALYZED

if TYPE_CHECKING:
    from mollm.types import Analysis, Answer, Ballot, Point, Ranking

CANCELLED = "cancelled"


def comparison_rows(answer: Answer) -> list[tuple[str, Text]]:
    """Rows for an explanation; none where the proposals were not compared."""
    rows = [("ranking", _ranking(answer.ranking))] if answer.ranking else []
    return [*rows, ("analysis", _analysis(answer.analysis))] if answer.analysis else rows


def _ranking(ranking: Ranking) -> Text:
    places = ", ".join(f"{r.worker} {'-' if r.points is None else f'{r.points:.2f}'}" for r in ranking.ranks)
    counted = [ballot for ballot in ranking.ballots if ballot.error is None]
    early = "; the others could not have changed the winner" if ranking.is_decided_early else ""
    text = Text(printable(places), style="bold") + Text(f"  {count(len(counted), 'ballot')}{early}", style="not bold")
    for ballot in counted:
        is_apart = ballot.reviewer in ranking.dissent
        text += Text(f"\n{printable(_ballot(ballot))}", style="not bold yellow" if is_apart else "not bold dim")
    for ballot in ranking.ballots:
        if ballot.error and ballot.error.kind != CANCELLED:
            text += Text(f"\n{printable(f'{ballot.reviewer}: {ballot.error.message}')}", style="not bold red")
    return text


def _ballot(ballot: Ballot) -> str:
    return f"{ballot.reviewer}: {' > '.join(' = '.join(tied) for tied in ballot.ranks)}"


def _analysis(analysis: Analysis) -> Text:
    text = Text(f"by {printable(analysis.llm)}", style="bold")
    for kind in ANALYZED:
        for point in getattr(analysis, kind):
            text += Text(f"\n{kind.replace('_', ' ')}: {_point(point)}", style="not bold dim")
    return text


def _point(point: Point) -> str:
    of = f" ({', '.join(point.proposals)})" if point.proposals else ""
    return printable(f"{point.text}{of}")
