"""How far the stated confidence of a mixture and its accuracy are apart, on recorded answers.

    uv run python benchmarks/calibration.py --data DIR [--splits 100]

`DIR` is as for `final_answers.py`. For each split, the LLMs are ordered by their accuracy on one half, a calibration of
the best five is fitted on the same half, and everything is measured on the other half. `possible` is the error that
probabilities which are exactly right would be measured with on as many questions: what is drawn by chance is never 0.
A cascade (`ask_first: 1`, `agree: P`) is held against plain counts (`agree: N`) of the same workers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mixtures_data import recorded

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mollm.asking import Rules  # noqa: E402
from mollm.evaluation.metrics import calibration_error  # noqa: E402
from mollm.evaluation.mixtures.calibrating import FOLDS, fit  # noqa: E402
from mollm.evaluation.mixtures.simulating import Reply, simulate  # noqa: E402
from mollm.final.tally import Tally  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.mixtures.table import Table
    from mollm.final.calibration import Calibration, Said

SETS = ("gsm8k", "math-l5")
WORKERS = 5
AFTER = (1, 2, 3, 5)
EVERY = 10
"""Splits; of one of these the error is cross-validated as well."""
SURE = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
COUNTS = ((1, 2), (2, 2), (1, 3), (3, 3))
"""`ask_first` and `agree`."""


def _leader(finals: Sequence[str | None]) -> int:
    """Whose answer is the answer: of the largest group the first, else the first of all."""
    first, *_ = [*Tally(finals).leading, 0]
    return first


class Split:
    """One half against the other."""

    def __init__(self, table: Table, rng: np.random.Generator, folds: int) -> None:
        rows = rng.permutation(len(table.ids))
        half = len(rows) // 2
        fitting, held_out = table.part(np.sort(rows[:half])), table.part(np.sort(rows[half:]))
        order = np.argsort(-fitting.scores.mean(axis=0), kind="stable")[:WORKERS].tolist()
        members = [table.members[column] for column in order]
        self.table = held_out.among(members)
        self.calibration: Calibration = fit(fitting.among(members), folds=folds)
        self.said = [
            [said for column in range(WORKERS) if (said := self.table.said(row, column))]
            for row in range(len(self.table.ids))
        ]
        self.stated = [[self.calibration.confidence(said[: n + 1]) for n in range(len(said))] for said in self.said]
        self.rng = rng

    def error_after(self, count: int) -> tuple[float, float, float]:
        """The calibration error after so many members: with 15 bins, with 10, and what is possible with 15."""
        told = []
        for row, stated in enumerate(self.stated):
            confidence = stated[min(count, len(stated)) - 1] if stated else None
            if confidence is not None:
                told.append((confidence, self.table.scores[row, _leader(self.table.finals[row][:count])]))
        probabilities, right = np.array(told).T
        drawn = [self.rng.random(len(right)) < probabilities for _ in range(5)]
        possible = float(np.mean([calibration_error(probabilities, chance) for chance in drawn]))
        return calibration_error(probabilities, right > 0), calibration_error(probabilities, right > 0, 10), possible

    def asked(self, rules: Rules) -> tuple[float, float, float, float]:
        """Accuracy and calls of asking by `rules`; for a probability, the accuracy and the mean of what was sure."""
        right, calls, sure = [], [], []
        for row, (said, stated) in enumerate(zip(self.said, self.stated, strict=True)):
            ended = simulate([Reply(one) for one in said], rules, _Known(stated))
            finals = [self.table.finals[row][column] for column in ended.arrived]
            is_right = float(self.table.scores[row, ended.arrived[_leader(finals)]])
            right.append(is_right)
            calls.append(len(ended.started))
            if ended.agreed and rules.sure is not None:
                sure.append((stated[len(ended.arrived) - 1] or 0.0, is_right))
        told = np.array(sure).mean(axis=0) if sure else (np.nan, np.nan)
        return float(np.mean(right)), float(np.mean(calls)), float(told[0]), float(told[1])


class _Known:
    """Confidences that were worked out before, by the number of those that have answered."""

    def __init__(self, stated: Sequence[float | None]) -> None:
        self._stated = stated

    def __call__(self, said: Sequence[Said]) -> float | None:
        return self._stated[len(said) - 1]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=100)
    given = parser.parse_args()
    for name in SETS:
        measured(name, recorded(given.data, name).table, given.splits)


def measured(name: str, table: Table, splits: int) -> None:
    """Print what the splits of a set come to, in percent."""
    errors: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    validated = []
    for number in range(splits):
        split = Split(table, np.random.default_rng(number), FOLDS if number % EVERY == 0 else 0)
        validated.append(np.nan if split.calibration.error is None else split.calibration.error)
        for count in AFTER:
            errors[count].append(split.error_after(count))
        for first, agree in COUNTS:
            rules = Rules(ask_first=first, agree=agree, enough=WORKERS)
            rows[f"ask_first: {first}, agree: {agree}"].append(split.asked(rules))
        for sure in SURE:
            rules = Rules(ask_first=1, sure=sure, enough=WORKERS)
            rows[f"ask_first: 1, agree: {sure}"].append(split.asked(rules))
    print(f"\n{name}: {len(table.ids)} questions, {splits} splits, CPU {time.process_time():.0f} s\n")
    print("| after | error, 15 bins | error, 10 bins | possible, 15 bins |\n|---|---:|---:|---:|")
    for count, found in errors.items():
        print(f"| {count} | {' | '.join(f'{100 * value:.2f}' for value in np.mean(found, axis=0))} |")
    print(f"\ncross-validated on the fitting half, after {WORKERS}: {100 * np.nanmean(validated):.2f}\n")
    print("| rules | right | calls | sure: stated | sure: right |\n|---|---:|---:|---:|---:|")
    for rule, outcomes in rows.items():
        right, calls = np.mean(outcomes, axis=0)[:2]
        stated = np.array([outcome for outcome in outcomes if not np.isnan(outcome[2])])
        told = f"{100 * stated[:, 2].mean():.1f} | {100 * stated[:, 3].mean():.1f}" if len(stated) else " | "
        print(f"| {rule} | {100 * right:.2f} | {calls:.2f} | {told} |", flush=True)


if __name__ == "__main__":
    main()
