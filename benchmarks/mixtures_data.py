"""Recorded answers as a table, its halves, and layers on them by the rules that serve."""

from __future__ import annotations

import gzip
import json
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mollm.aggregation.base import voted  # noqa: E402
from mollm.evaluation.mixtures.simulating import Reply, simulate  # noqa: E402
from mollm.evaluation.mixtures.table import Table  # noqa: E402
from mollm.final.forms import PERCENT, unit_of  # noqa: E402
from mollm.final.replies import final_answer, is_right  # noqa: E402
from mollm.types import Proposal, Usage  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from mollm.asking import Rules
    from mollm.final.calibration import Said

    Label: TypeAlias = int | str | tuple[str, str] | None

SETS = {"gsm8k": "GSM8K", "math-l5": "MATH level 5"}
"""Name of the folder to how it is called."""
CHARACTERS_PER_TOKEN = 4


class Recorded(NamedTuple):
    """All replies to one set."""

    table: Table
    texts: list[tuple[str, ...]]
    """Of the replies, n tuples of m."""


def recorded(data: Path, name: str) -> Recorded:
    """Read all replies to one set; an empty one did not arrive."""
    folder = data / "answers" / name
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text("utf-8").splitlines()]
    columns: dict[str, list[str]] = {}
    for file in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            outputs = {row["id"]: row["output"] for row in map(json.loads, lines)}
        columns[file.name.removesuffix(".jsonl.gz")] = [outputs.get(row["id"]) or "" for row in rows]
    finals = {llm: [final_answer(text) if text else None for text in texts] for llm, texts in columns.items()}
    golds = [row["gold"] for row in rows]
    right = [[is_right(text, gold) for text, gold in zip(texts, golds, strict=True)] for texts in columns.values()]
    lengths = np.array([[float(len(text)) for text in texts] for texts in columns.values()]).T
    unknown = np.full(lengths.shape, np.nan)
    table = Table(
        ids=tuple(row["id"] for row in rows),
        members=tuple(columns),
        finals=tuple(zip(*finals.values(), strict=True)),
        scores=np.array(right, dtype=float).T,
        arrived=lengths > 0,
        tokens=lengths / CHARACTERS_PER_TOKEN,
        cost_usd=unknown,
        seconds=np.zeros(lengths.shape),
        logprobs=unknown,
        lengths=lengths,
    )
    return Recorded(table, list(zip(*columns.values(), strict=True)))


class Half(NamedTuple):
    """One half of the questions, on which is measured, and the order of the members on the other."""

    rows: list[int]
    others: list[int]
    order: tuple[int, ...]
    """Numbers of the members, the best on `others` first."""


def halves(table: Table, splits: int, seed: int, members: Sequence[int] | None = None) -> Iterator[Half]:
    """Draw halves, and order `members` (all of them if None) by their accuracy on the other half."""
    rng = random.Random(f"{seed} {len(table.ids)}")
    kept = list(range(len(table.members))) if members is None else list(members)
    for _ in range(splits):
        rows = list(range(len(table.ids)))
        rng.shuffle(rows)
        measured, others = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        accuracy = table.scores[others].mean(axis=0)
        yield Half(measured, others, tuple(sorted(kept, key=lambda member: -accuracy[member])))


class Played(NamedTuple):
    """What came of one question."""

    calls: int
    place: int
    """Which of the planned calls brought the answer."""


@dataclass
class Layers:
    """Layers on the answers of a table, by the rules that serve.

    Who agrees with whom decides everything but the time. So what calls that take equally long come to is worked out
    once for all questions on which the same ones agree.
    """

    table: Table
    _labels: dict[tuple[int, tuple[int, ...]], tuple[Label, ...]] = field(default_factory=dict)
    _known: dict[Rules, dict[tuple[Label, ...], Played]] = field(default_factory=dict)

    def labels(self, row: int, order: Sequence[int]) -> tuple[Label, ...]:
        """The answers in this order by what can be told of them: which are equal, and in which units."""
        finals = [self.table.finals[row][member] for member in order]
        if any(final is not None and unit_of(final) == PERCENT for final in finals):
            return tuple(final and (str(final), unit_of(final)) for final in finals)
        values: dict[str, int] = {}
        units: dict[str, int] = {"": 0}

        def label(final: str) -> int:
            value = values.setdefault(str(final), len(values))
            return value * len(finals) * 2 + units.setdefault(unit_of(final), len(units))

        return tuple(None if final is None else label(final) for final in finals)

    def played(self, row: int, order: tuple[int, ...], rules: Rules) -> Played:
        """Ask the members of `order` by `rules`; all take equally long."""
        known = self._known.setdefault(rules, {})
        key = self._labels.get((row, order))
        if key is None:
            key = self._labels[row, order] = self.labels(row, order)
        if key not in known:
            ended = simulate([Reply(self.said(row, member)) for member in order], rules)
            known[key] = Played(len(ended.started), self.chosen(row, order, ended.arrived))
        return known[key]

    def said(self, row: int, member: int) -> Said | None:
        """What a member says; None if its call failed."""
        return self.table.said(row, member)

    def chosen(self, row: int, order: Sequence[int], arrived: Sequence[int]) -> int:
        """Return the place in `order` of the proposal that `vote` takes; 0 if none arrived."""
        places = {str(place): place for place in sorted(arrived)}
        proposals = [
            Proposal(name, name, 1, "", self.table.finals[row][order[place]], None, False, Usage(), None, 0.0)
            for name, place in places.items()
        ]
        return places[voted(proposals).worker] if proposals else 0


def put(page: Path | None, mark: str, lines: Sequence[str]) -> None:
    """Write `lines` between the marks `<!-- mark -->` and `<!-- /mark -->` of a page; print them if there is none."""
    text = "\n".join(lines).strip()
    if page is None:
        print(text)
        return
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, _, rest = page.read_text("utf-8").partition(begin)
    after = rest.partition(end)[2]
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")
