"""What `mollm eval router` found, in lines of at most 60 columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.text import Text

from mollm.cli.printing.layout import console
from mollm.cli.printing.output import say
from mollm.evaluation.counting import count
from mollm.printable import printable

if TYPE_CHECKING:
    from mollm.evaluation.cost import Cost
    from mollm.evaluation.metrics import SetScores
    from mollm.evaluation.routing import Evaluation
    from mollm.evaluation.scope import OutOfScope

FITTED_ON = {
    "training": "fitted on what the router learned from",
    "cross-validation": "by cross-validation on these questions",
}
"""What the baselines know, by `Evaluation.baselines_by`."""
NAMED = 5
"""Rows that a warning names."""


def print_evaluation(found: Evaluation) -> None:
    """Print figures to standard output, and what is wrong with the data to standard error."""
    for name, rows in found.unknown.items():
        named = ", ".join(map(str, rows[:NAMED])) + (", ..." if len(rows) > NAMED else "")
        wrong = f"{count(len(rows), 'question')} {'counts' if len(rows) == 1 else 'count'} as wrong"
        say(f"warning: the router does not know {name!r}, so {wrong}: row {named}")
    screen = console()
    screen.print(Text(f"{count(found.questions, 'question')}, {count(found.mixtures, 'mixture')}"))
    for title, lines in _parts(found).items():
        screen.print(Text(f"\n{printable(title)}", style="bold"))
        for name, value in lines:
            screen.print(Text(f"  {name:<34}{value:>10}"), soft_wrap=True)


def _parts(found: Evaluation) -> dict[str, list[tuple[str, str]]]:
    """Titles, and under each names and figures."""
    parts = {
        "likeliest mixture, thresholds off": [
            ("accuracy", _percent(found.accuracy)),
            ("macro F1", _percent(found.macro_f1)),
            (f"calibration error, {found.bins} bins", _plain(found.calibration_error)),
        ],
        f"accuracy without the router\n  {FITTED_ON[found.baselines_by]}": [
            (name, _percent(share)) for name, share in found.baselines.items()
        ],
        "where the router is sure": [
            ("share of questions", _percent(found.sure)),
            ("accuracy", _percent(found.sure_accuracy)),
        ],
        "accuracy on the most probable part": [
            *((f"{float(share):.0%} of the questions", _percent(value)) for share, value in found.coverage.items()),
            ("mean over all parts (area)", _percent(found.coverage_area)),
        ],
    }
    if found.out_of_scope:
        title, rows = _out_of_scope(found.out_of_scope)
        parts[title] = rows
    if found.sets:
        parts["several mixtures, as decided"] = _sets(found.sets)
    if found.sets_first_only:
        parts["the same without the second mixture"] = _sets(found.sets_first_only)
    if found.flips:
        parts["goes elsewhere once changed"] = [(kind, _percent(share)) for kind, share in found.flips.items()]
    parts["time per question, one core"] = [("p50", f"{found.p50_ms:.2f} ms"), ("p99", f"{found.p99_ms:.2f} ms")]
    if found.fit:
        parts["fitting the router"] = _fit(found.fit)
    return parts


def _fit(cost: Cost) -> list[tuple[str, str]]:
    rows = [("time", f"{cost.seconds:.1f} s"), ("time of CPU", f"{cost.cpu_seconds:.1f} s")]
    return rows if cost.peak_mb is None else [*rows, ("peak memory of the process", f"{cost.peak_mb:,.0f} MB")]


def _sets(found: SetScores) -> list[tuple[str, str]]:
    return [
        ("micro F1", _plain(found.micro_f1)),
        ("macro F1", _plain(found.macro_f1)),
        ("exactly right", _percent(found.exact)),
    ]


def _out_of_scope(found: OutOfScope) -> tuple[str, list[tuple[str, str]]]:
    if found.threshold_from == "validation":
        how = f"{found.score} below {found.threshold:.3f}, by validation"
    else:
        how = "the router is not sure, by its own thresholds"
    rows = [
        *((f"AUROC by {name}", _plain(share)) for name, share in found.auroc.items()),
        ("caught (recall)", _percent(found.recall)),
        ("false alarms", _percent(found.false_alarms)),
        ("others kept and right", _percent(found.kept)),
    ]
    return f"{count(found.questions, 'question')} out of scope\n  caught: {how}", rows


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"


def _plain(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.3f}"
