"""Recorded scores of LLMs on questions, as files have them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.errors import DataError
from mollm.evaluation.files import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mollm.routing.calibration import Ints
    from mollm.routing.features import Floats

MOST_USD = 1e6
"""What an answer may cost; sums of more would not be worth their digits."""
SHOWN = 10
"""Mistakes of a file that are told; of more, how many there are."""
ALLOWED = 'a row is {"question": TEXT, "scores": {LLM: 0 to 1, ...}, "cost": {LLM: USD, ...}}; `cost` may be left out'


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How good the answers of K LLMs to n questions were, and what they cost."""

    questions: tuple[str, ...]
    llms: tuple[str, ...]
    scores: Floats
    """0 to 1, shape (n, K)."""
    costs: Floats | None = None
    """USD, shape (n, K); None where not every row has them."""

    def some(self, rows: Ints) -> Outcomes:
        """Those of some rows, by number from 0."""
        costs = None if self.costs is None else self.costs[rows]
        return replace(
            self, questions=tuple(self.questions[row] for row in rows), scores=self.scores[rows], costs=costs
        )

    def of(self, llms: Sequence[str]) -> Outcomes:
        """Those of some of the LLMs, in that order.

        Raises:
            DataError: One of them has no scores here.
        """
        if missing := [name for name in llms if name not in self.llms]:
            raise DataError(f"no scores of {', '.join(missing)}; there are those of {', '.join(self.llms)}")
        columns = [self.llms.index(name) for name in llms]
        costs = None if self.costs is None else self.costs[:, columns]
        return replace(self, llms=tuple(llms), scores=self.scores[:, columns], costs=costs)

    def parted(self, share: float) -> tuple[Outcomes, Outcomes]:
        """Part the rows, about `share` of them (0 to 1) in the second part: always the same ones.

        Rows with the same question are in the same part.
        """
        drawn = np.array([int.from_bytes(hashlib.sha256(_bytes(q)).digest()[:8]) / 2**64 for q in self.questions])
        return self.some(np.flatnonzero(drawn >= share)), self.some(np.flatnonzero(drawn < share))

    @property
    def digest(self) -> str:
        """Changes with any question, LLM or score."""
        head = json.dumps([self.questions, self.llms]).encode()
        return hashlib.sha256(head + b"\n" + np.ascontiguousarray(self.scores).tobytes()).hexdigest()


def read(path: Path) -> Outcomes:
    """Read JSON lines; every row has the scores of the same LLMs, in any order. Further fields of a row are not read.

    Raises:
        DataError: The file cannot be read or has no rows, or rows have mistakes; each is named by its number.
    """
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    llms: tuple[str, ...] = ()
    for number, line in enumerate(text_of(path).split("\n"), 1):
        if not line.strip():
            continue
        row, problem = _row(line, llms)
        if row is None:
            problems.append(f"{path}:{number}: {problem}")
        else:
            llms = llms or tuple(sorted(row["scores"]))
            rows.append(row)
    if problems:
        more = [f"{path}: {len(problems) - SHOWN:,} more rows are wrong"] if len(problems) > SHOWN else []
        raise DataError("\n".join([*problems[:SHOWN], *more]))
    if not rows:
        raise DataError(f"{path}: has no rows; {ALLOWED}")
    has_costs = all(row.get("cost") is not None for row in rows)
    return Outcomes(
        questions=tuple(row["question"] for row in rows),
        llms=llms,
        scores=np.array([[row["scores"][name] for name in llms] for row in rows], dtype=np.float64),
        costs=np.array([[row["cost"][name] for name in llms] for row in rows], dtype=np.float64) if has_costs else None,
    )


def _row(line: str, llms: Sequence[str]) -> tuple[dict[str, Any] | None, str]:
    """Read a row with scores of `llms`, if these are known: the row, or what is wrong with it."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return None, f"is no JSON ({error})"
    if not isinstance(row, dict) or not isinstance(row.get("question"), str) or not isinstance(row.get("scores"), dict):
        return None, ALLOWED
    scores, cost = row["scores"], row.get("cost")
    if not row["question"].strip():
        return None, "the question is empty"
    if len(scores) < 2 and not llms:
        return None, "has the scores of fewer than two LLMs, so there is nothing to choose"
    if llms and set(llms) != scores.keys():
        missing, more = sorted(set(llms) - scores.keys()), sorted(scores.keys() - set(llms))
        said = [f"{what} {', '.join(names)}" for what, names in (("lacks", missing), ("also has", more)) if names]
        return None, f"its `scores` are of other LLMs than those of the rows before: it {' and '.join(said)}"
    for name, score in scores.items():
        if not _is_number(score) or not 0 <= score <= 1:
            return None, f"the score of {name} is {score!r:.40}, not a number from 0 to 1"
    if cost is not None and not (isinstance(cost, dict) and cost.keys() >= scores.keys()):
        return None, "`cost` does not name every LLM that `scores` name"
    for name, usd in (cost or {}).items():
        if not _is_number(usd) or not 0 <= usd <= MOST_USD:
            return None, f"the cost of {name} is {usd!r:.40}, not a number of USD from 0 to {MOST_USD:,.0f}"
    return row, ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
