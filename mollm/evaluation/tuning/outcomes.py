"""What comes of a setting on every question, by the rules that serve.

Most questions look the same to a mixture: all agree, or all but the second. Each such pattern is simulated once.
Calls that start together are taken to end in the order in which they are listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mollm.aggregation.base import voted
from mollm.evaluation.mixtures.comparing.arms import Answers
from mollm.evaluation.mixtures.comparing.taking import Taken
from mollm.evaluation.mixtures.simulating import Reply, simulate
from mollm.final.calibration import Said
from mollm.final.forms import PERCENT, unit_of
from mollm.types import Proposal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from mollm.asking import Rules
    from mollm.evaluation.metrics import Bools, Floats
    from mollm.evaluation.mixtures.simulating import Confidence
    from mollm.evaluation.mixtures.table import Table
    from mollm.evaluation.tuning.settings import Setting

Ints: TypeAlias = "npt.NDArray[np.int64]"
Pattern: TypeAlias = "tuple[int, ...]"
"""Of each member the first one with the same final answer, by number; or `FAILED`, or `SILENT`."""

FAILED, SILENT = -2, -1
"""In place of the number of a final answer: the call failed, or its reply has none."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a setting on n questions."""

    scores: Floats
    """0 to 1, shape (n,)."""
    calls: Floats
    """Calls that were started, shape (n,)."""
    cost_usd: Floats
    """Shape (n,); NaN where a member that was asked has no price."""

    def part(self, rows: Sequence[int]) -> Outcome:
        """The same of some of the questions, by number."""
        return Outcome(*(array[list(rows)] for array in (self.scores, self.calls, self.cost_usd)))

    def answers(self, name: str) -> Answers:
        """The same as a comparison takes it."""
        nothing = np.zeros(len(self.scores))
        taken = Taken(np.column_stack([self.calls, nothing, nothing, self.cost_usd, nothing]))
        return Answers("mixture", name, self.scores, taken, nothing)

    @property
    def score(self) -> float:
        """Mean per question; so are the next two."""
        return float(self.scores.mean())

    @property
    def mean_calls(self) -> float:
        """Calls."""
        return float(self.calls.mean())

    @property
    def mean_cost(self) -> float:
        """USD; NaN where that is not known of every question."""
        return float(self.cost_usd.mean())

    @property
    def is_priced(self) -> bool:
        """Whether the cost is known."""
        return not np.isnan(self.mean_cost)


@dataclass(frozen=True, slots=True)
class Course:
    """What a question took: the members that were started, and the one whose proposal is the answer, by number."""

    started: tuple[int, ...]
    picked: int | None
    """None: every call failed."""


OfMembers: TypeAlias = "Callable[[tuple[str, ...]], Confidence]"
"""From members, in the order in which they are asked, to what is calibrated for these."""
Known: TypeAlias = "dict[tuple[Rules, Pattern], Course]"


class Outcomes:
    """Works out what comes of settings on the questions of one table."""

    def __init__(self, table: Table, fitted: OfMembers | None = None, known: Known | None = None) -> None:
        """Number the final answers.

        Args:
            table: What every member says alone.
            fitted: How probable it is that what leads is right, for settings that are `sure`.
            known: How patterns end, as found on other tables already; what is found here is added.
        """
        self._table, self._fitted = table, fitted
        self._told: dict[tuple[tuple[str, ...], int], dict[tuple[str, ...], float | None]] = {}
        self._known: Known = {} if known is None else known
        self._columns = {member: column for column, member in enumerate(table.members)}
        self._numbers = numbers_of(table)
        self._odd = np.array([not is_plain(row) for row in table.finals], bool)
        self._patterns: dict[tuple[str, ...], tuple[list[Pattern], Ints]] = {}

    def of(self, setting: Setting) -> Outcome:
        """What comes of a setting; nothing is called."""
        count, size = len(self._table.ids), len(setting.members)
        columns = np.array([self._columns[member] for member in setting.members])
        if setting.sure is None:
            patterns, pattern_of = self._grouped(setting.members, columns)
            ended = [self._end(setting.rules, pattern) for pattern in patterns]
            one_by_one = np.flatnonzero(self._odd)
        else:  # how sure it is depends on who said what, at what length
            ended, pattern_of, one_by_one = [], np.zeros(count, np.int64), np.arange(count)
        pattern_of = pattern_of.copy()
        pattern_of[one_by_one] = len(ended) + np.arange(len(one_by_one))
        ended += [self._simulated(setting, columns, int(row)) for row in one_by_one]
        picked = np.array([FAILED if end.picked is None else columns[end.picked] for end in ended])[pattern_of]
        started = np.zeros((len(ended), size), bool)
        for number, end in enumerate(ended):
            started[number, list(end.started)] = True
        asked = started[pattern_of]
        scores = np.where(picked == FAILED, 0.0, self._table.scores[np.arange(count), np.maximum(picked, 0)])
        costs = np.where(asked, self._table.cost_usd[:, columns], 0.0).sum(axis=1)
        return Outcome(scores, asked.sum(axis=1).astype(float), costs)

    def _grouped(self, members: tuple[str, ...], columns: Ints) -> tuple[list[Pattern], Ints]:
        """The patterns of the members, and the one of each question; that of an odd question means nothing."""
        found = self._patterns.get(members)
        if found is None:
            numbers = self._numbers[:, columns]
            first = (numbers[:, :, None] == numbers[:, None, :]).argmax(axis=2)
            patterns, pattern_of = np.unique(np.where(numbers < 0, numbers, first), axis=0, return_inverse=True)
            found = ([tuple(map(int, row)) for row in patterns], pattern_of.reshape(-1))
            self._patterns[members] = found
        return found

    def _end(self, rules: Rules, pattern: Pattern) -> Course:
        found = self._known.get((rules, pattern))
        if found is None:
            replies = [_reply(number) for number in pattern]
            found = self._known[rules, pattern] = _course(replies, rules)
        return found

    def _simulated(self, setting: Setting, columns: Ints, row: int) -> Course:
        """How one question ends, whatever is special about it."""
        replies = [reply_of(self._table, row, column) for column in columns]
        return _course(replies, setting.rules, self._confidence(setting, row))

    def _confidence(self, setting: Setting, row: int) -> Confidence | None:
        """How sure a layer of these members is of a question, worked out once for whoever has answered."""
        if setting.sure is None or self._fitted is None:
            return None
        confidence, told = self._fitted(setting.members), self._told.setdefault((setting.members, row), {})

        def remembered(said: Sequence[Said]) -> float | None:
            who = tuple(one.worker for one in said)
            if who not in told:
                told[who] = confidence(said)
            return told[who]

        return remembered


def reply_of(table: Table, row: int, column: int) -> Reply:
    """What a member would bring to a question."""
    return Reply(table.said(row, column))


def _course(replies: Sequence[Reply], rules: Rules, confidence: Confidence | None = None) -> Course:
    """Run the layer, and take the proposal that most agree on."""
    ended = simulate(replies, rules, confidence)
    # The aggregator reads proposals as they are listed, in whatever order they came.
    arrived = sorted(ended.arrived)
    finals = [said.final if (said := replies[number].said) else None for number in arrived]
    proposals = [
        Proposal(str(number), str(number), 1, "", final) for number, final in zip(arrived, finals, strict=True)
    ]
    return Course(ended.started, int(voted(proposals).worker) if proposals else None)


def _reply(number: int) -> Reply:
    if number == FAILED:
        return Reply(None)
    return Reply(Said("", None if number == SILENT else str(number)))


def numbers_of(table: Table) -> Ints:
    """The final answers of each question as numbers, equal ones as the same one, shape (n, m)."""
    rows = [_numbers(row, arrived) for row, arrived in zip(table.finals, table.arrived, strict=True)]
    return np.array(rows, np.int64).reshape(len(table.ids), len(table.members))


def votes_of(table: Table) -> Bools:
    """Whether each member gives each of the values that are given to a question, shape (n, m, m)."""
    votes: Bools = numbers_of(table)[:, :, None] == np.arange(len(table.members))
    return votes


def _numbers(finals: Sequence[str | None], arrived: Sequence[bool]) -> list[int]:
    known: dict[str, int] = {}
    return [
        FAILED if not there else SILENT if final is None else known.setdefault(str(final), len(known))
        for final, there in zip(finals, arrived, strict=True)
    ]


def is_plain(finals: Sequence[str | None]) -> bool:
    """Whether answers of the question count as equal exactly where they are, whoever else is asked.

    They do not where some are percentages, or one number stands there in two units: see `Tally`.
    """
    seen: dict[str, str] = {}
    units = [(str(final), unit) for final in finals if final is not None and (unit := unit_of(final))]
    return all(unit != PERCENT and seen.setdefault(value, unit) == unit for value, unit in units)
