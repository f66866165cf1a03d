"""What every member says alone, as arrays: n questions, m members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mollm.final.calibration import Said

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from mollm.evaluation.metrics import Bools, Floats
    from mollm.evaluation.mixtures.records import Record

ARRAYS = ("scores", "arrived", "tokens", "cost_usd", "seconds", "logprobs", "lengths")


@dataclass(frozen=True, slots=True)
class Table:
    """Answers of m members to n questions."""

    ids: tuple[str, ...]
    """Of the questions, n of them."""
    members: tuple[str, ...]
    """Names of the workers, m of them."""
    finals: tuple[tuple[str | None, ...], ...]
    """Final answers, n tuples of m; None where there is none."""
    scores: Floats
    """0 to 1, shape (n, m); 0 where a call failed."""
    arrived: Bools
    """Whether the call succeeded, shape (n, m)."""
    tokens: Floats
    """Of the replies, shape (n, m)."""
    cost_usd: Floats
    """Shape (n, m); NaN where there is no price."""
    seconds: Floats
    """Shape (n, m)."""
    logprobs: Floats
    """Mean log-probability of the tokens, shape (n, m); NaN where none was given."""
    lengths: Floats
    """Characters of the replies, shape (n, m)."""

    @classmethod
    def of(cls, alone: Mapping[str, Sequence[Record]], scores: Floats) -> Self:
        """Make it of the records of each member, and of their scores, shape (n, m)."""
        columns = list(alone.values())

        def array(field: str) -> Floats:
            return np.array([[_number(record, field) for record in row] for row in zip(*columns, strict=True)])

        return cls(
            ids=tuple(record.id for record in columns[0]),
            members=tuple(alone),
            finals=tuple(tuple(record.final for record in row) for row in zip(*columns, strict=True)),
            scores=scores,
            arrived=np.array([[record.error is None for record in row] for row in zip(*columns, strict=True)]),
            tokens=array("tokens"),
            cost_usd=array("cost_usd"),
            seconds=array("seconds"),
            logprobs=array("logprob"),
            lengths=array("length"),
        )

    def said(self, row: int, column: int) -> Said | None:
        """What a member says of a question, by their numbers; None if its call failed."""
        if not self.arrived[row, column]:
            return None
        logprob = float(self.logprobs[row, column])
        given = None if np.isnan(logprob) else logprob
        return Said(self.members[column], self.finals[row][column], given, int(self.lengths[row, column]))

    def among(self, members: Sequence[str]) -> Self:
        """The same of some of the members, in this order."""
        kept = [self.members.index(member) for member in members]
        return type(self)(
            self.ids,
            tuple(members),
            tuple(tuple(row[column] for column in kept) for row in self.finals),
            *(getattr(self, name)[:, kept] for name in ARRAYS),
        )

    def part(self, rows: Sequence[int] | Bools) -> Self:
        """The same of some of the questions: their numbers, or whether each is one of them."""
        kept = np.arange(len(self.ids))[np.asarray(rows)]
        return type(self)(
            tuple(self.ids[row] for row in kept),
            self.members,
            tuple(self.finals[row] for row in kept),
            *(getattr(self, name)[kept] for name in ARRAYS),
        )


def _number(record: Record, field: str) -> float:
    if field == "tokens":
        return float(record.usage.completion_tokens)
    if field == "length":
        return float(len(record.text))
    found = getattr(record, field)
    return float("nan") if found is None else float(found)
