"""Trained routers, and the versions of a folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.text import Text

from mollm.cli.printing.layout import console
from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mollm.training.versions import Version


def print_trained(report: dict[str, Any], folder: Path) -> None:
    """Print the figures of a trained router, naive Bayes beside them, and where it lies."""
    held_out = report["held_out"]
    lines = [printable(str(folder))]
    if held_out is not None:
        majority = held_out["majority"]
        lines.append(f"On {held_out['questions']:,} questions that were held out:")
        rows = {report["method"]: held_out, "naive-bayes": held_out["naive-bayes"]}
        lines += [
            f"  {name:<14}accuracy {_of(of, 'accuracy')}   macro F1 {_of(of, 'macro_f1')}" for name, of in rows.items()
        ]
        lines.append(f"  {'majority':<14}accuracy {_of(majority, 'accuracy')}   always {printable(majority['label'])}")
        cost = held_out["thresholds"]
        lines.append(
            f"  {_of(cost, 'doubted').strip()} doubted, at {100 * report['settings']['false_alarms']:.1f} % wanted"
        )
        if several := held_out["several"]:
            lines += [
                f"  {name:<24}micro F1 {_f1(several[key], 'micro_f1')}   macro F1 {_f1(several[key], 'macro_f1')}"
                for name, key in (("with a second mixture", "joined"), ("without", "first_only"))
            ]
    if report["feedback"]:
        lines += [f"Ratings: {printable(line)}" for line in report["feedback"]["said"]]
    sys.stdout.write("\n".join(lines) + "\n")


def print_versions(found: Sequence[Version]) -> None:
    """Print the versions of a folder, the latest first."""
    screen = console()
    for version in reversed(found):
        mark = "* " if version.is_current else "  "
        style = "bold" if version.is_current else "not bold"
        screen.print(
            Text.assemble((f"{mark}{printable(version.name)}", style), (f"  {printable(version.told)}", "dim"))
        )


def _f1(figures: dict[str, float], key: str) -> str:
    return f"{figures[key]:.3f}"


def _of(figures: dict[str, Any], key: str) -> str:
    return f"{100 * figures[key]:5.1f} %"
