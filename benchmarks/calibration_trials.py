"""How small a calibration error can be on so few questions, and whether another model comes nearer to that.

    uv run python benchmarks/calibration_trials.py --data DIR [--splits 100] [--first 0] [--only NAME ...]

`DIR` and the splits are those of `calibration.py`: five members, ordered and fitted on one half, measured on the other
once all five have answered. For each way to fit, the same probabilities are measured with bins of the same width and
of the same number of questions, 10 and 15 of each; debiased; and by log loss and Brier score, which a model that says
the same of every question cannot win. `possible` is what each measure comes to where the outcomes are drawn from the
stated probabilities, so that these are exactly right.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from machine import shape
from mixtures_data import recorded

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mollm.evaluation.metrics import calibration_error  # noqa: E402
from mollm.evaluation.mixtures.calibrating import PRIOR, SHRINKAGE, fit, regression  # noqa: E402
from mollm.final.calibration import MOST_DOUBT, SIGNALS, USUAL, VOTES, features  # noqa: E402
from mollm.final.tally import Tally  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    from mollm.evaluation.metrics import Bools, Floats
    from mollm.evaluation.mixtures.table import Table

    Model: TypeAlias = "Callable[[Floats], Floats]"
    """From features, shape (n, f), to log-odds, shape (n,)."""

SETS = ("gsm8k", "math-l5")
WORKERS, FOLDS, DRAWS = 5, 5, 20
COUNTED = slice(0, len(VOTES))
LOOKED_AT = slice(len(VOTES), len(VOTES) + len(SIGNALS))
OF_MEMBERS = slice(len(VOTES) + len(SIGNALS), None)


class States(NamedTuple):
    """What was said of some questions after each member in turn: one row for each question and number of members."""

    values: Floats
    """Features, shape (n, f)."""
    right: Floats
    """Whether what leads is right, shape (n,)."""
    question: Any
    """Number of the question of each, shape (n,)."""
    asked: Any
    """How many had answered, shape (n,)."""

    def part(self, rows: Any) -> States:
        """Some of the rows."""
        return States(*(array[rows] for array in self))

    @property
    def last(self) -> States:
        """Of each question the row after all members."""
        return self.part(np.append(self.question[1:] != self.question[:-1], True))


def states_of(table: Table, members: Any) -> States:
    """Lay out what was said of every question."""
    rows = []
    for question in range(len(table.ids)):
        said, columns = [], []
        for column in range(len(table.members)):
            if (one := table.said(question, column)) is None:
                continue
            said.append(one)
            columns.append(column)
            if (values := features(said, members)) is not None:
                leads = columns[Tally(one.final for one in said).leading[0]]
                rows.append((values, table.scores[question, leads], question, len(said)))
    values, right, question, asked = zip(*rows, strict=True)
    found = np.array(values)
    found[:, len(VOTES) + SIGNALS.index("unlikely")] = 0.0  # nobody gave log-probabilities
    return States(found, np.array(right), np.array(question), np.array(asked))


def logistic(states: States, times: float = 1.0, *, votes: float = 1.0, signals: float = 1.0, members: float = 1.0,
             prior: float = PRIOR * WORKERS) -> Model:  # fmt: skip
    """The model that is served, with its penalties so many times as strong."""
    penalties = np.empty(states.values.shape[1])
    penalties[COUNTED] = times * votes * SHRINKAGE["votes"]
    penalties[LOOKED_AT] = times * signals * SHRINKAGE["signals"]
    penalties[OF_MEMBERS] = times * members * SHRINKAGE["members"]
    base, weights = regression(states.values, states.right, penalties, prior)
    return lambda values: base + values @ weights


def crossed(states: States, way: Callable[[States], Model]) -> Floats:
    """Log-odds of each row by a model of the other questions."""
    found = np.empty(len(states.right))
    for fold in range(FOLDS):
        inside = states.question % FOLDS == fold
        found[inside] = way(states.part(~inside))(states.values[inside])
    return found


def by_last(way: Callable[[States], Model], mended: Callable[[Floats, Floats], Callable[[Floats], Floats]]) -> Any:
    """A model whose log-odds after all members are mended by what is seen of them on other questions."""

    def fitted(states: States) -> Model:
        model, is_last = way(states), np.append(states.question[1:] != states.question[:-1], True)
        mend = mended(crossed(states, way)[is_last], states.right[is_last])
        return lambda values: mend(model(values))

    return fitted


def newton(rows: Floats, right: Floats, start: Floats, penalty: Floats) -> Floats:
    """Logistic regression, drawn toward `start`."""
    found = start.copy()
    for _ in range(50):
        sure = sigmoid(rows @ found)
        slope = rows.T @ (sure - right) + penalty * (found - start)
        curve = (rows * (sure * (1 - sure))[:, None]).T @ rows + np.diag(penalty + 1e-9)
        found = found - np.linalg.solve(curve, slope)
    return found


def platt(odds: Floats, right: Floats) -> Callable[[Floats], Floats]:
    """A straight line through the log-odds (Platt, 1999)."""
    level, slope = newton(np.column_stack([np.ones_like(odds), odds]), right, np.array([0.0, 1.0]), np.full(2, 1.0))
    return lambda new: level + slope * new


def temperature(odds: Floats, right: Floats) -> Callable[[Floats], Floats]:
    """The log-odds times a number (Guo et al., 2017)."""
    (slope,) = newton(odds[:, None], right, np.array([1.0]), np.full(1, 1.0))
    return lambda new: slope * new


def beta(odds: Floats, right: Floats) -> Callable[[Floats], Floats]:
    """Beta calibration (Kull, Silva Filho and Flach, 2017)."""

    def rows(of: Floats) -> Floats:
        sure = np.clip(sigmoid(of), 1e-6, 1 - 1e-6)
        return np.column_stack([np.ones_like(of), np.log(sure), -np.log1p(-sure)])

    weights = newton(rows(odds), right, np.array([0.0, 1.0, 1.0]), np.full(3, 1.0))
    return lambda new: rows(new) @ weights


def isotonic(odds: Floats, right: Floats) -> Callable[[Floats], Floats]:
    """A rising staircase, by pooling neighbors that fall (Zadrozny and Elkan, 2002); straight between its steps."""
    order = np.argsort(odds, kind="stable")
    pools: list[list[float]] = []  # sum of log-odds, sum of right, count
    for value, one in zip(odds[order], right[order], strict=True):
        pools.append([float(value), float(one), 1.0])
        while len(pools) > 1 and pools[-2][1] / pools[-2][2] >= pools[-1][1] / pools[-1][2]:
            above = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], above, strict=True)]
    at = [pool[0] / pool[2] for pool in pools]
    shares = [(pool[1] + PRIOR) / (pool[2] + 2 * PRIOR) for pool in pools]
    return lambda new: logit(np.interp(new, at, shares))


def shrunk(share: float) -> Callable[[Floats, Floats], Callable[[Floats], Floats]]:
    """Log-odds drawn toward the share that is right."""

    def mended(odds: Floats, right: Floats) -> Callable[[Floats], Floats]:
        middle = float(logit(np.array([right.mean()]))[0])
        return lambda new: share * middle + (1 - share) * new

    return mended


def bagged(states: States) -> Model:
    """The mean probability of models of four fifths each."""
    models = [logistic(states.part(states.question % FOLDS != fold)) for fold in range(FOLDS)]
    return lambda values: logit(np.mean([sigmoid(model(values)) for model in models], axis=0))


def last_only(states: States) -> Model:
    """Fitted on what was said after all members, and on nothing before."""
    return logistic(states.last, prior=PRIOR)


def weighted_last(states: States) -> Model:
    """What was said after all counts as much as all before together."""
    again = [states, *[states.last] * (WORKERS - 2)]
    return logistic(States(*(np.concatenate(arrays) for arrays in zip(*again, strict=True))))


def unbound(states: States) -> Model:
    """Without signs that are fixed."""
    mean, deviation = states.values.mean(axis=0), states.values.std(axis=0)
    deviation = np.where(deviation > 1e-9, deviation, np.inf)
    penalty = np.full(states.values.shape[1] + 1, SHRINKAGE["votes"])
    penalty[0], penalty[1:][OF_MEMBERS] = 0.0, SHRINKAGE["members"]

    def rows(values: Floats) -> Floats:
        return np.column_stack([np.ones(len(values)), (values - mean) / deviation])

    weights = newton(rows(states.values), states.right, np.zeros(len(penalty)), penalty)
    return lambda values: rows(values) @ weights


def table_of_counts(states: States) -> Model:
    """The share that is right of each number of votes for what leads, with the next answer's and the others'."""
    last = states.last
    keys = [tuple(np.round(row[COUNTED], 6)) for row in last.values]
    share, found = float(last.right.mean()), defaultdict(list)
    for key, right in zip(keys, last.right, strict=True):
        found[key].append(right)
    known = {key: (sum(of) + 5 * share) / (len(of) + 5) for key, of in found.items()}
    return lambda values: logit(np.array([known.get(tuple(np.round(row[COUNTED], 6)), share) for row in values]))


def counts_of(values: Floats) -> tuple[Floats, Floats]:
    """Votes for what leads, and how many have answered, shape (n,) each."""
    silent = np.rint(np.expm1(-values[:, VOTES.index("without")]))
    return np.rint(np.exp(values[:, VOTES.index("leader")])), np.abs(values[:, OF_MEMBERS]).sum(axis=1) + silent


def looked_at(share: Callable[[Floats, Floats], Floats], **keys: Any) -> Callable[[States], Model]:
    """Signals that count so much for so many votes of so many that were asked, beside 1 / votes squared."""

    def fitted(states: States) -> Model:
        model = logistic(states._replace(values=shared(states.values)), **keys)
        return lambda values: model(shared(values))

    def shared(values: Floats) -> Floats:
        votes, asked = counts_of(values)
        values = values.copy()
        values[:, LOOKED_AT] *= share(votes, asked)[:, None]
        return values

    return fitted


def centered(weight: Callable[[Floats, Floats], Floats], **keys: Any) -> Callable[[States], Model]:
    """Signals by how far they are from what is usual, so that a usual reply changes nothing."""

    def fitted(states: States) -> Model:
        model = logistic(states._replace(values=shared(states.values)), **keys)
        return lambda values: model(shared(values))

    def shared(values: Floats) -> Floats:
        votes, asked = counts_of(values)
        doubts = values[:, LOOKED_AT] * votes[:, None] ** 2
        values = values.copy()
        values[:, LOOKED_AT] = (doubts + [USUAL, MOST_DOUBT - USUAL, 0.0]) * weight(votes, asked)[:, None]
        return values

    return fitted


def on_both_sides(good: Callable[[Floats, Floats], Floats], bad: Callable[[Floats, Floats], Floats], **keys: Any
                  ) -> Callable[[States], Model]:  # fmt: skip
    """As `centered`, with other shares on the good side of what is usual and on the bad one.

    One more vote for what leads adds one to votes and to asked. It never makes its answer less probable as long as
    that lowers no `good` share and raises no `bad` one, which `centered` does not hold to.
    """

    def fitted(states: States) -> Model:
        model = logistic(states._replace(values=shared(states.values)), **keys)
        return lambda values: model(shared(values))

    def shared(values: Floats) -> Floats:
        votes, asked = counts_of(values)
        found = values[:, LOOKED_AT] * votes[:, None] ** 2 + [USUAL, MOST_DOUBT - USUAL, 0.0]
        share = np.where(found > 0, good(votes, asked)[:, None], bad(votes, asked)[:, None])
        values = values.copy()
        values[:, LOOKED_AT] = found * share
        return values

    return fitted


def constant(states: States) -> Model:
    """The share that is right, whatever was said."""
    share = float(states.last.right.mean())
    return lambda values: np.full(len(values), float(logit(np.array([share]))[0]))


WAYS: dict[str, Callable[[States], Model]] = {
    "as it is served": logistic,
    "penalties x 0.1": lambda states: logistic(states, 0.1),
    "penalties x 0.3": lambda states: logistic(states, 0.3),
    "penalties x 3": lambda states: logistic(states, 3.0),
    "penalties x 10": lambda states: logistic(states, 10.0),
    "members x 0.2": lambda states: logistic(states, members=0.2),
    "counts alone": lambda states: logistic(states, members=1e6, signals=1e6),
    "no signals": lambda states: logistic(states, signals=1e6),
    "signals: first alone": looked_at(lambda votes, asked: (asked == 1).astype(float)),
    "signals: / asked squared": looked_at(lambda votes, asked: votes**2 / asked**2),
    "signals: / votes * asked": looked_at(lambda votes, asked: votes / asked),
    "first alone, members x 0.3": looked_at(lambda votes, asked: (asked == 1).astype(float), members=0.3),
    "first alone, votes x 0.3": looked_at(lambda votes, asked: (asked == 1).astype(float), votes=0.3),
    "first alone, votes x 0.1": looked_at(lambda votes, asked: (asked == 1).astype(float), votes=0.1),
    "first alone, members x 3": looked_at(lambda votes, asked: (asked == 1).astype(float), members=3),
    "signals: / asked": looked_at(lambda votes, asked: votes**2 / asked),
    "centered": centered(lambda votes, asked: 1 / votes**2),
    "centered, first alone": centered(lambda votes, asked: (asked == 1).astype(float)),
    "centered, / asked": centered(lambda votes, asked: 1 / asked),
    "centered, / votes * asked": centered(lambda votes, asked: 1 / asked / votes),
    "centered, / asked squared": centered(lambda votes, asked: 1 / asked**2),
    "no members": lambda states: logistic(states, members=1e6),
    "signs not fixed": unbound,
    "after all alone": last_only,
    "after all, four times": weighted_last,
    "mean of five folds": bagged,
    "temperature": by_last(logistic, temperature),
    "Platt": by_last(logistic, platt),
    "beta": by_last(logistic, beta),
    "isotonic": by_last(logistic, isotonic),
    "drawn to the share, 0.1": by_last(logistic, shrunk(0.1)),
    "drawn to the share, 0.2": by_last(logistic, shrunk(0.2)),
    "table of counts": table_of_counts,
    "a constant": constant,
}


def sigmoid(odds: Floats) -> Floats:
    """From log-odds to probabilities."""
    return 1 / (1 + np.exp(-np.clip(odds, -30, 30)))


def logit(share: Floats) -> Floats:
    """From probabilities to log-odds."""
    share = np.clip(share, 1e-9, 1 - 1e-9)
    found: Floats = np.log(share) - np.log1p(-share)
    return found


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


MEASURES = ("10 wide", "15 wide", "10 equal", "15 equal", "squared, debiased", "log loss", "Brier")


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


def split_of(table: Table, number: int) -> tuple[States, States]:
    """The half to fit on, and the other as it was after all members."""
    rng = np.random.default_rng(number)
    rows = rng.permutation(len(table.ids))
    half = len(rows) // 2
    fitting, held_out = table.part(np.sort(rows[:half])), table.part(np.sort(rows[half:]))
    order = np.argsort(-fitting.scores.mean(axis=0), kind="stable")[:WORKERS]
    names = [table.members[column] for column in order]
    fitting, held_out = fitting.among(names), held_out.among(names)
    members = fit(fitting, folds=0).members
    return states_of(fitting, members), states_of(held_out, members).last


def tried(table: Table, splits: Sequence[int], only: Bools | Sequence[str] | None = None) -> dict[str, Floats]:
    """The measures of each way on each split, shape (splits, measures); and what is possible of the first."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    for number in splits:
        states, held_out = split_of(table, number)
        rng = np.random.default_rng([number, 1])
        for name, way in WAYS.items():
            if only and name not in only:
                continue
            stated = sigmoid(way(states)(held_out.values))
            found[name].append(measures(stated, held_out.right))
            if name == "as it is served":
                drawn = [measures(stated, (rng.random(len(stated)) < stated).astype(float)) for _ in range(DRAWS)]
                found["possible: its own probabilities were exactly right"].append(list(np.mean(drawn, axis=0)))
    return {name: np.array(rows) for name, rows in found.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first split")
    parser.add_argument("--only", action="append", choices=tuple(WAYS))
    given = parser.parse_args()
    for name in SETS:
        began = time.process_time()
        table = recorded(given.data, name).table
        print(f"\n## {name}: splits {given.first} to {given.first + given.splits - 1}\n")
        print(f"| | {' | '.join(MEASURES)} |\n|---|{'---:|' * len(MEASURES)}")
        for way, rows in tried(table, range(given.first, given.first + given.splits), given.only).items():
            *errors, squared, loss, brier = rows.mean(axis=0)
            cells = [*(f"{100 * error:.2f}" for error in errors), f"{1e4 * squared:.1f}", f"{loss:.4f}", f"{brier:.4f}"]
            print(f"| {way} | {' | '.join(cells)} |", flush=True)
        print(f"\n{date.today().isoformat()}, {shape()}; {time.process_time() - began:.0f} s of CPU.", flush=True)


if __name__ == "__main__":
    main()
