"""What `mollm tune` finds on one half of the questions, on the other half, beside settings that are fixed.

    uv run python benchmarks/mixtures_tune.py --data DIR [--splits 20] [--write benchmarks/mixtures.md]

The halves are those of `mixtures.py`; the search is the one that the command runs, with its ceiling of calls.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from machine import shape
from mixtures_data import SETS, halves, put, recorded

from mollm.evaluation.tuning.confirming import confirm
from mollm.evaluation.tuning.outcomes import Outcomes
from mollm.evaluation.tuning.search import Dial, search
from mollm.evaluation.tuning.settings import Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mixtures_data import Half

    from mollm.evaluation.mixtures.table import Table
    from mollm.evaluation.tuning.outcomes import Outcome

SEED = 13
CEILINGS = {"gsm8k": (2.1, None), "math-l5": (3.1, 4.0, None)}
"""Calls per question at most; None: none is given."""
FIXED = (
    ("5 workers, `ask_first: 2, agree: 2`", 5, 2, 2, 1),
    ("6 workers, `ask_first: 2, agree: 2`", 6, 2, 2, 1),
    ("5 workers, `ask_first: 2, agree: majority`", 5, 2, "majority", 1),
    ("7 workers, `ask_first: 2, agree: majority`", 7, 2, "majority", 1),
    ("9 workers, `ask_first: 2, agree: majority`", 9, 2, "majority", 1),
)


class Line(NamedTuple):
    """One row of the table, a value for each split."""

    outcomes: list[Outcome]
    alone: list[Outcome]
    settings: Counter[str]
    within: list[bool]
    """Whether the calls of the held-out half are at most those of the ceiling."""
    better: int
    """Splits in which the verdict is `better`, and the mixture is written."""

    def cells(self) -> str:
        """Of the table."""
        right = np.array([100 * outcome.score for outcome in self.outcomes])
        gains = [np.maximum(a.scores - b.scores, 0).sum() for a, b in zip(self.outcomes, self.alone, strict=True)]
        losses = [np.maximum(b.scores - a.scores, 0).sum() for a, b in zip(self.outcomes, self.alone, strict=True)]
        kept = np.mean([gain >= loss for gain, loss in zip(gains, losses, strict=True)])
        calls = np.mean([outcome.mean_calls for outcome in self.outcomes])
        return f"{right.mean():.2f} | {calls:.2f} | {np.mean(gains):.1f} / {np.mean(losses):.1f} | {100 * kept:.0f} %"


def shape_of(setting: Setting) -> str:
    """Its label with the number of members in place of their names."""
    first, *others = setting.members
    return setting.label({first: f"{len(setting.members)} LLMs", **dict.fromkeys(others, "")})


def tuned(table: Table, found: Sequence[Half], calls: float | None) -> Line:
    """Search on the other half, and hold what is found against the best member on the half itself."""
    line = Line([], [], Counter(), [], 0)
    better = 0
    for half in found:
        best = search(table.part(half.others), dial=Dial(calls))
        confirmed = confirm(best, table.part(half.rows))
        outcome = confirmed.outcome or confirmed.alone
        line.outcomes.append(outcome)
        line.alone.append(confirmed.alone)
        line.settings[shape_of(best.setting) if best.setting else "alone"] += 1
        line.within.append(calls is None or outcome.mean_calls <= calls)
        better += confirmed.is_mixture
    return line._replace(better=better)


def fixed(table: Table, found: Sequence[Half], workers: int, first: int, agree: int | str, widen: int) -> Line:
    """A setting that is always the same, of the members that are best on the other half."""
    line = Line([], [], Counter(), [], 0)
    for half in found:
        outcomes = Outcomes(table.part(half.rows))
        names = tuple(table.members[member] for member in half.order)
        line.outcomes.append(outcomes.of(Setting(names[:workers], first, agree, widen)))  # type: ignore[arg-type]
        line.alone.append(outcomes.of(Setting(names[:1])))
    return line


def lines_of(table: Table, found: Sequence[Half], ceilings: Sequence[float | None]) -> list[str]:
    """The table of one set, and what was found."""
    lines = [
        "| | right, % | calls | gains / losses against the best single | splits at least as good |",
        "|---|---:|---:|---:|---:|",
    ]
    told = []
    for calls in ceilings:
        line = tuned(table, found, calls)
        name = f"`mollm tune --calls-at-most {calls:g}`" if calls else "`mollm tune`"
        lines.append(f"| {name} | {line.cells()} |")
        most = ", ".join(f"{label} ({times})" for label, times in line.settings.most_common(6))
        within = f"; at most {calls:g} calls on the held-out half in {sum(line.within)}" if calls else ""
        told += [f"{name}: written as a mixture in {line.better} of {len(found)}{within}. Found: {most}.", ""]
    for name, *setting in FIXED:
        lines.append(f"| {name} | {fixed(table, found, *setting).cells()} |")
    return [*lines, "", *told]


def main() -> None:
    """Print, or write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    lines: list[str] = []
    began = time.process_time()
    for name, called in SETS.items():
        table = recorded(args.data, name).table
        lines += [f"{called}:", "", *lines_of(table, list(halves(table, args.splits, SEED)), CEILINGS[name])]
    took = time.process_time() - began
    lines.append(f"{date.today().isoformat()}, {shape()}; {args.splits} splits, seed {SEED}; {took:.0f} s of CPU.")
    put(args.write, "tuned", lines)


if __name__ == "__main__":
    main()
