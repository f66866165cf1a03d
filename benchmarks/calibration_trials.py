"""How small a calibration error can be on so few questions, and whether another model comes nearer to that.

    uv run python benchmarks/calibration_trials.py --data DIR [--splits 100] [--first 0] [--only NAME ...]

`DIR` and the splits are those of `calibration.py`: five members, ordered and fitted on one half, measured on the other
once all five have answered. For each way to fit, the same probabilities are measured with bins of the same width and of
the same number of questions, 10 and 15 of each; debiased; by log loss and Brier score, which a model that says the same
of every question cannot win; and by what is right at so many calls where it is asked until it is sure. `possible` is
what each measure comes to where the outcomes are drawn from the stated probabilities, so that these are exactly right;
or from a model of all questions, so that a model of the same form must only be fitted on a half of what was drawn.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from calibration_ways import SERVED, WAYS, WORKERS, States, last_only, sigmoid, states_of
from machine import shape
from mixtures_data import recorded

from mollm.evaluation.metrics import calibration_error
from mollm.evaluation.mixtures.calibrating import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.table import Table

SETS = {"gsm8k": (1.2, 1.8, 2.0), "math-l5": (2.0, 3.0, 3.4)}
"""And at which numbers of calls the accuracy is told, where is asked until it is sure."""
DRAWS = 20
ALL_ALONE = "after all alone"


def same_mass(stated: Floats, right: Floats, bins: int) -> float:
    """The calibration error by bins of as many questions each."""
    order = np.argsort(stated, kind="stable")
    gaps = [abs((stated[part] - right[part]).sum()) for part in np.array_split(order, bins)]
    return float(sum(gaps) / len(right))


def debiased(stated: Floats, right: Floats, bins: int) -> float:
    """The root of the squared error by bins of equal mass, less what chance adds to it; 0 where it is all of it.

    As in Kumar, Liang and Ma, "Verified uncertainty calibration" (NeurIPS 2019), after Bröcker (2012).
    """
    total = 0.0
    for part in np.array_split(np.argsort(stated, kind="stable"), bins):
        share = right[part].mean()
        total += len(part) * ((stated[part].mean() - share) ** 2 - share * (1 - share) / (len(part) - 1))
    return float(total / len(right))


SURE = np.array([*np.linspace(0.3, 0.99, 60), 0.993, 0.996])


def asked_until_sure(stated: Floats, states: States, questions: int) -> Floats:
    """Calls and accuracy for each of `SURE`, shape (2, probabilities): one is asked after the other."""
    sure, right = np.full((questions, WORKERS), -1.0), np.zeros((questions, WORKERS))
    sure[states.question, states.asked - 1] = stated
    right[states.question, states.asked - 1] = states.right
    sure[:, -1] = np.inf
    ends = (sure[:, :, None] >= SURE).argmax(axis=1)
    return np.array([1 + ends.mean(axis=0), np.take_along_axis(right, ends, axis=1).mean(axis=0)])


MEASURES = ("10 wide", "15 wide", "10 equal", "15 equal", "squared, debiased", "log loss", "Brier")
LOSS = MEASURES.index("log loss")


def measures(stated: Floats, right: Floats) -> list[float]:
    """As `MEASURES` has them."""
    is_right = right > 0.5
    return [
        calibration_error(stated, is_right, 10),
        calibration_error(stated, is_right, 15),
        same_mass(stated, right, 10),
        same_mass(stated, right, 15),
        debiased(stated, right, 15),
        float(-np.log(np.where(is_right, stated, 1 - stated)).mean()),
        float(((stated - right) ** 2).mean()),
    ]


class Split(NamedTuple):
    """One half against the other."""

    questions: int
    """Held out."""
    fitting: States
    held_out: States
    true: tuple[Floats, Floats]
    """What a model of all questions says of both halves after all members: as good as the truth, for drawing from."""


def split_of(table: Table, number: int) -> Split:
    """Draw halves, and order the members by their accuracy on the first."""
    rng = np.random.default_rng(number)
    rows = rng.permutation(len(table.ids))
    half = len(rows) // 2
    parts = table.part(np.sort(rows[:half])), table.part(np.sort(rows[half:]))
    order = np.argsort(-parts[0].scores.mean(axis=0), kind="stable")[:WORKERS]
    names = [table.members[column] for column in order]
    fitting, held_out = (part.among(names) for part in parts)
    members = fit(fitting, folds=0).members
    found, others = states_of(fitting, members), states_of(held_out, members)
    true = last_only(States(*(np.concatenate(both) for both in zip(found.last, others.last, strict=True))))
    return Split(len(held_out.ids), found, others, (sigmoid(true(found.last)), sigmoid(true(others.last))))


class Tried(NamedTuple):
    """What comes of one way, a value for each split."""

    measured: list[list[float]]
    """`MEASURES` after all members, then the log loss after each number of them."""
    asked: list[Floats]
    """As `asked_until_sure` has it."""

    def cells(self, calls: Sequence[float]) -> list[str]:
        """Of the table."""
        *errors, squared, loss, brier, of_all = np.mean(self.measured, axis=0)
        cells = [*(f"{100 * error:.2f}" for error in errors), f"{1e4 * squared:.1f}", f"{loss:.4f}", f"{brier:.4f}"]
        if not self.asked:
            return [*cells, *[""] * (1 + len(calls))]
        taken, right = np.mean(self.asked, axis=0)
        return [*cells, f"{of_all:.4f}", *(f"{100 * np.interp(most, taken, right):.2f}" for most in calls)]


def tried(table: Table, splits: Sequence[int], only: Sequence[str] | None = None) -> dict[str, Tried]:
    """What comes of each way; and what is possible."""
    found: dict[str, Tried] = defaultdict(lambda: Tried([], []))
    for number in splits:
        split, rng = split_of(table, number), np.random.default_rng([number, 1])
        last = split.held_out.last
        for name in only or WAYS:
            model = WAYS[name](split.fitting)
            stated = sigmoid(model(last))
            of_all = sigmoid(model(split.held_out))
            loss = measures(of_all, split.held_out.right)[LOSS]
            found[name].measured.append([*measures(stated, last.right), loss])
            found[name].asked.append(asked_until_sure(of_all, split.held_out, split.questions))
            if name == SERVED:
                drawn = [measures(stated, (rng.random(len(stated)) < stated).astype(float)) for _ in range(DRAWS)]
                found["*possible: what is served were exactly right*"].measured.append(
                    [*np.mean(drawn, axis=0), np.nan]
                )
            if name == ALL_ALONE:
                found["*possible: fitted on as many, of the right form*"].measured.append(refitted(split, rng))
    return found


def refitted(split: Split, rng: np.random.Generator) -> list[float]:
    """What is measured where the model has the right form, and only its weights must be found on one half."""
    rows = []
    for _ in range(DRAWS // 4):
        fitting, held_out = ((rng.random(len(true)) < true).astype(float) for true in split.true)
        model = last_only(split.fitting.last._replace(right=fitting))
        rows.append(measures(sigmoid(model(split.held_out.last)), held_out))
    return [*np.mean(rows, axis=0), np.nan]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first split")
    parser.add_argument("--only", action="append", choices=tuple(WAYS))
    given = parser.parse_args()
    for name, calls in SETS.items():
        began = time.process_time()
        table = recorded(given.data, name).table
        columns = [*MEASURES, "log loss, after 1 to 5", *(f"right at {most:g} calls" for most in calls)]
        print(f"\n### {name}: splits {given.first} to {given.first + given.splits - 1}\n")
        print(f"| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
        for way, found in tried(table, range(given.first, given.first + given.splits), given.only).items():
            print(f"| {way} | {' | '.join(found.cells(calls))} |", flush=True)
        print(f"\n{date.today().isoformat()}, {shape()}; {time.process_time() - began:.0f} s of CPU.", flush=True)


if __name__ == "__main__":
    main()
