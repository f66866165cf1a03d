"""Ways to fit how probable it is that the leading answer is right: the served one, and what was tried in its place."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mollm.evaluation.mixtures.calibrating import PRIOR, SHRINKAGE, regression  # noqa: E402
from mollm.final.calibration import MOST_DOUBT, SIGNALS, VOTES, features  # noqa: E402
from mollm.final.tally import Tally  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.table import Table
    from mollm.final.calibration import Said

    Share: TypeAlias = "Callable[[States], Floats]"
    Model: TypeAlias = "Callable[[States], Floats]"
    """From n states to log-odds, shape (n,)."""

WORKERS, FOLDS = 5, 5
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
    votes: Any
    """For what leads, shape (n,)."""
    looks: Floats
    """By how many standard deviations the best reply that gives it is shorter, and longer, than usual; shape (n, 2)."""

    def part(self, rows: Any) -> States:
        """Some of the rows."""
        return States(*(array[rows] for array in self))

    @property
    def last(self) -> States:
        """Of each question the row after all members."""
        return self.part(np.append(self.question[1:] != self.question[:-1], True))


def states_of(table: Table, members: Any) -> States:
    """Lay out what was said of every question."""
    rows: list[tuple[list[float], float, int, int, int, list[float]]] = []
    for question in range(len(table.ids)):
        said: list[Said] = []
        columns: list[int] = []
        for column in range(len(table.members)):
            if (one := table.said(question, column)) is None:
                continue
            said.append(one)
            columns.append(column)
            if (values := features(said, members)) is not None:
                leading = Tally(one.final for one in said).leading
                right = table.scores[question, columns[leading[0]]]
                longer = [_longer(said[place], members) for place in leading]
                looks = [-min(longer), max(longer)]
                rows.append((values, right, question, len(said), len(leading), looks))
    listed, *others = (np.array(column) for column in zip(*rows, strict=True))
    listed[:, len(VOTES) + SIGNALS.index("unlikely")] = 0.0  # nobody gave log-probabilities
    return States(listed, *others)


def _longer(said: Said, members: Any) -> float:
    """Standard deviations by which a reply is longer than usual."""
    mean, deviation = members[said.worker].length
    return float((np.log1p(said.length) - mean) / deviation) if deviation > 0 else 0.0


def logistic(states: States, times: float = 1.0, *, votes: float = 1.0, signals: float = 1.0, members: float = 1.0,
             prior: float = PRIOR * WORKERS) -> Model:  # fmt: skip
    """The model that is served, with its penalties so many times as strong."""
    penalties = np.empty(states.values.shape[1])
    penalties[COUNTED] = times * votes * SHRINKAGE["votes"]
    penalties[LOOKED_AT] = times * signals * SHRINKAGE["signals"]
    penalties[OF_MEMBERS] = times * members * SHRINKAGE["members"]
    base, weights = regression(states.values, states.right, penalties, prior)
    return lambda states: base + states.values @ weights


def crossed(states: States, way: Callable[[States], Model]) -> Floats:
    """Log-odds of each row by a model of the other questions."""
    found = np.empty(len(states.right))
    for fold in range(FOLDS):
        inside = states.question % FOLDS == fold
        found[inside] = way(states.part(~inside))(states.part(inside))
    return found


def by_last(way: Callable[[States], Model], mended: Callable[[Floats, Floats], Callable[[Floats], Floats]]) -> Any:
    """A model whose log-odds after all members are mended by what is seen of them on other questions."""

    def fitted(states: States) -> Model:
        model, is_last = way(states), np.append(states.question[1:] != states.question[:-1], True)
        mend = mended(crossed(states, way)[is_last], states.right[is_last])
        return lambda states: mend(model(states))

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
    return lambda states: logit(np.mean([sigmoid(model(states)) for model in models], axis=0))


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
    return lambda states: rows(states.values) @ weights


def table_of_counts(states: States) -> Model:
    """The share that is right of each number of votes for what leads, with the next answer's and the others'."""
    last = states.last
    keys = [tuple(np.round(row[COUNTED], 6)) for row in last.values]
    share, found = float(last.right.mean()), defaultdict(list)
    for key, right in zip(keys, last.right, strict=True):
        found[key].append(right)
    known = {key: (sum(of) + 5 * share) / (len(of) + 5) for key, of in found.items()}
    return lambda states: logit(np.array([known.get(tuple(np.round(row[COUNTED], 6)), share) for row in states.values]))


def looking(good: Share | None, bad: Share, usual: tuple[float, float] = (0.0, 0.0), **keys: float
            ) -> Callable[[States], Model]:  # fmt: skip
    """The served model with other shares for what looks better than usual, and for what looks worse.

    One more vote for what leads never makes its answer less probable as long as it lowers no `good` share and raises no
    `bad` one.

    Args:
        good: None: as if it were usual.
        bad: Of what looks worse.
        usual: How much a reply of usual length is doubted already, for being long and for being short.
        keys: Of `logistic`.
    """

    def fitted(states: States) -> Model:
        model = logistic(shared(states), **keys)
        return lambda states: model(shared(states))

    def shared(states: States) -> States:
        better = np.clip(states.looks, [-MOST_DOUBT, -2.0], [2.0, MOST_DOUBT]) - usual
        values, least = states.values.copy(), good(states)[:, None] if good else 0.0
        looks = better * np.where(better > 0, least, bad(states)[:, None])
        values[:, LOOKED_AT] = np.column_stack([looks, np.zeros(len(looks))])
        return states._replace(values=values)

    return fitted


def constant(states: States) -> Model:
    """The share that is right, whatever was said."""
    share = float(states.last.right.mean())
    return lambda states: np.full(len(states.right), float(logit(np.array([share]))[0]))


def whole(of: States) -> Floats:
    """Shared out among nobody."""
    return np.ones(len(of.votes))


def by_share(of: States) -> Floats:
    """By the square of the share that agrees."""
    found: Floats = np.square(of.votes / of.asked)
    return found


def by_votes(of: States) -> Floats:
    """Twice by those who agree."""
    found: Floats = np.square(1 / of.votes)
    return found


def by_asked(of: States) -> Floats:
    """By all that have answered."""
    found: Floats = 1 / of.asked
    return found


def by_asked_twice(of: States) -> Floats:
    """And once more."""
    found: Floats = np.square(1 / of.asked)
    return found


def first_alone(of: States) -> Floats:
    """The looks of one reply alone."""
    return np.where(of.asked == 1, 1.0, 0.0)


BEFORE = 1 / 3
"""Of the penalty of members: what it was."""
DOUBTED = (2.0, 3.0)
"""Of a usual reply, as it was before."""
WAYS: dict[str, Callable[[States], Model]] = {
    "as it is served": logistic,
    "as it was before": looking(by_votes, by_votes, DOUBTED, members=BEFORE),
    "looks as before, members as served": looking(by_votes, by_votes, DOUBTED),
    "looks as served, members as before": lambda states: logistic(states, members=BEFORE),
    "penalties x 0.1": lambda states: logistic(states, 0.1),
    "penalties x 0.3": lambda states: logistic(states, 0.3),
    "penalties x 3": lambda states: logistic(states, 3.0),
    "penalties x 10": lambda states: logistic(states, 10.0),
    "votes x 0.1": lambda states: logistic(states, votes=0.1),
    "signals x 0.3": lambda states: logistic(states, signals=0.3),
    "signals x 3": lambda states: logistic(states, signals=3.0),
    "no looks": lambda states: logistic(states, signals=1e6),
    "no members": lambda states: logistic(states, members=1e6),
    "counts alone": lambda states: logistic(states, members=1e6, signals=1e6),
    "looks as before, / asked squared": looking(by_asked_twice, by_asked_twice, DOUBTED),
    "looks / votes squared (a vote may lower it)": looking(by_votes, by_votes),
    "looks / asked squared (a vote may lower it)": looking(by_asked_twice, by_asked_twice),
    "looks of the first alone (a vote may lower it)": looking(first_alone, first_alone),
    "good looks whole, bad / asked": looking(whole, by_asked),
    "good looks by share, bad / asked": looking(by_share, by_asked),
    "good looks by share, bad / asked squared": looking(by_share, by_asked_twice),
    "bad looks / asked": looking(None, by_asked),
    "bad looks / asked squared, signals x 30": looking(None, by_asked_twice, signals=30.0),
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
SERVED = "as it is served"


def sigmoid(odds: Floats) -> Floats:
    """From log-odds to probabilities."""
    return 1 / (1 + np.exp(-np.clip(odds, -30, 30)))


def logit(share: Floats) -> Floats:
    """From probabilities to log-odds."""
    share = np.clip(share, 1e-9, 1 - 1e-9)
    found: Floats = np.log(share) - np.log1p(-share)
    return found
