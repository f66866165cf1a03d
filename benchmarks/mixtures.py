"""Whether asking several LLMs is worth it, on recorded answers, beside plain sequential majority voting.

    uv run python benchmarks/mixtures.py --data DIR [--splits 100] [--write benchmarks/mixtures.md]
    uv run python benchmarks/mixtures_orders.py     the part of the embedded LLM, some minutes

`--data` is a folder with `answers/gsm8k/` and `answers/math-l5/`: `questions.jsonl` (`id, question, gold`) and one
`LLM.jsonl.gz` (`id, output`) per LLM, as recorded. Everything is measured on random halves; whatever is chosen (who is
asked, in which order, what an agreement is worth) is chosen on the other half. Layers are played by the rules that
serve; `plain` is a sequential majority vote written for this page, which shares nothing with them.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from machine import shape
from mixtures_data import SETS, Half, Layers, halves, put, recorded
from mixtures_depth import depth_lines
from mixtures_orders import loss_lines, read_lines, wrong_answers
from mixtures_time import time_lines

from mollm.asking import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.table import Table

    Way: TypeAlias = Callable[[Half], "tuple[list[float], list[int]]"]

SEED = 13


def asked(workers: int, first: int, agree: int | str | None = None, widen: int = 1) -> tuple[str, int, Rules]:
    """A setting as the YAML has it, how many workers it has, and its rules."""
    count = agree if isinstance(agree, int) else None
    rules = Rules(ask_first=first, agree=count, majority=agree == "majority", widen=widen, enough=workers)
    if agree is None:
        return f"vote of {workers}", workers, rules
    further = f", widen: {widen}" if widen > 1 else ""
    return f"{workers} workers, `ask_first: {first}, agree: {agree}{further}`", workers, rules


SETTINGS = (
    *(asked(workers, workers) for workers in (3, 5, 7, 9)),
    *(asked(workers, 2, 2) for workers in (3, 4, 5, 6, 7, 9)),
    asked(5, 2, 2, 2),
    asked(5, 3, 2, 2),
    *(asked(workers, 3, 3) for workers in (5, 6, 7, 9)),
    *(asked(workers, 4, 4) for workers in (7, 9)),
    *(asked(workers, 2, "majority") for workers in (3, 5, 7, 9)),
    *(asked(workers, 3, "majority") for workers in (5, 7)),
    *(asked(workers, 2, "majority", 2) for workers in (5, 7)),
)
OF_A_POOL = (asked(5, 5), asked(5, 2, 2), asked(5, 3, 3), asked(5, 2, "majority"))
DEPTHS = {"gsm8k": (5,), "math-l5": (5,)}
"""How many workers are asked until it is sure."""
STAGES = ((3,), (5,), (7,), (9,), (2, 3, 5), (2, 3, 5, 7), (2, 3, 5, 7, 9), (3, 5, 7))


def plainly(finals: Sequence[str | None], stages: Sequence[int]) -> tuple[int, int]:
    """Ask so many, stop if more than half of all asked say the same, else ask up to the next number.

    Returns:
        How many were asked, and the place of the answer: of the most frequent, the one that was given first.
    """
    for asked in stages:
        counts = Counter(final for final in finals[:asked] if final is not None)
        most, votes = counts.most_common(1)[0] if counts else (None, 0)
        if 2 * votes > asked or asked == stages[-1]:
            return asked, finals.index(most) if most is not None else 0
    raise ValueError("there are no stages")


@dataclass
class Arm:
    """One way to answer, over all splits."""

    name: str
    accuracy: list[float]
    """Of each split, in percent; so are the next ones."""
    calls: list[float]
    gains: list[float]
    losses: list[float]

    @property
    def line(self) -> str:
        """A row of the table."""
        kept = np.mean([gain >= loss for gain, loss in zip(self.gains, self.losses, strict=True)])
        return (
            f"| {self.name} | {np.mean(self.accuracy):.2f} | {np.mean(self.calls):.2f} | {np.mean(self.gains):.1f} / "
            f"{np.mean(self.losses):.1f} | {100 * kept:.0f} % |"
        )


HEAD = (
    "| | right, % | calls | gains / losses against the best single | splits at least as good |",
    "|---|---:|---:|---:|---:|",
)


def measure(table: Table, found: Sequence[Half], ways: dict[str, Way]) -> list[Arm]:
    """Play every way on every half, and hold it against the best single LLM, as known from the other half."""
    arms = []
    for name, way in ways.items():
        arm = Arm(name, [], [], [], [])
        for half in found:
            best = table.scores[half.rows, half.order[0]]
            right, calls = way(half)
            difference = np.array(right) - best
            arm.accuracy.append(100 * float(np.mean(right)))
            arm.calls.append(float(np.mean(calls)))
            arm.gains.append(float(difference[difference > 0].sum()))
            arm.losses.append(float(-difference[difference < 0].sum()))
        arms.append(arm)
    return arms


def controls(table: Table, size: int = 5) -> dict[str, Way]:
    """The best single LLM, a random member of the best five, and the oracle among them."""

    def of(value: Callable[[Half], Floats], calls: int) -> Way:
        return lambda half: (value(half).tolist(), [calls] * len(half.rows))

    def rows(half: Half) -> Floats:
        return table.scores[half.rows][:, half.order[:size]]

    return {
        "best single": of(lambda half: rows(half)[:, 0], 1),
        f"random member of the best {size}": of(lambda half: rows(half).mean(axis=1), 1),
        f"oracle among the best {size}": of(lambda half: rows(half).max(axis=1), size),
    }


def served(layers: Layers, workers: int, rules: Rules) -> Way:
    """The members in order, by the rules that serve."""

    def way(half: Half) -> tuple[list[float], list[int]]:
        order = half.order[:workers]
        played = [layers.played(row, order, rules) for row in half.rows]
        return [layers.table.scores[row, order[p.place]] for row, p in zip(half.rows, played, strict=True)], [
            p.calls for p in played
        ]

    return way


def beside(table: Table, stages: Sequence[int]) -> Way:
    """The members in order, by a plain sequential majority vote."""

    def way(half: Half) -> tuple[list[float], list[int]]:
        order = half.order[: stages[-1]]
        found = [plainly([table.finals[row][member] for member in order], stages) for row in half.rows]
        return [table.scores[row, order[place]] for row, (_, place) in zip(half.rows, found, strict=True)], [
            calls for calls, _ in found
        ]

    return way


def accuracy_lines(table: Table, found: Sequence[Half]) -> list[str]:
    """What is right and how many calls it takes, the front of both, and the plain vote beside it."""
    layers = Layers(table)
    ours = measure(table, found, {name: served(layers, workers, rules) for name, workers, rules in SETTINGS})
    plain = measure(table, found, {f"plain, {', '.join(map(str, stages))}": beside(table, stages) for stages in STAGES})
    lines = [*HEAD, *(arm.line for arm in measure(table, found, controls(table)))]
    return [*lines, *(arm.line for arm in ours), *(arm.line for arm in plain), "", *front(ours, plain)]


def front(ours: Sequence[Arm], plain: Sequence[Arm]) -> list[str]:
    """Settings that nothing else of their own kind reaches at as few calls."""
    lines = []
    for whose, arms in (("Settings", ours), ("Plain stages", plain)):
        best, kept = 0.0, []
        for arm in sorted(arms, key=lambda arm: np.mean(arm.calls)):
            if np.mean(arm.accuracy) > best:
                best = float(np.mean(arm.accuracy))
                kept.append(f"{best:.2f} at {np.mean(arm.calls):.2f} ({arm.name})")
        lines += [f"{whose} on the front: {'; '.join(kept)}.", ""]
    return lines


def pools(table: Table) -> dict[str, list[int]]:
    """The best LLM with the four worst, and the five that are closest together."""
    accuracy = table.scores.mean(axis=0)
    ranked = sorted(range(len(table.members)), key=lambda member: -accuracy[member])
    begin = min(range(len(ranked) - 4), key=lambda at: accuracy[ranked[at]] - accuracy[ranked[at + 4]])
    return {"one strong, four weak": [ranked[0], *ranked[-4:]], "five equals": ranked[begin : begin + 5]}


def pool_lines(table: Table, splits: int) -> list[str]:
    """A pool that is not worth it beside one that is."""
    lines, layers = [], Layers(table)
    for name, members in pools(table).items():
        shares = ", ".join(f"{100 * table.scores[:, member].mean():.1f}" for member in members)
        found = list(halves(table, splits, SEED, members))
        ways = controls(table) | {name: served(layers, workers, rules) for name, workers, rules in OF_A_POOL}
        lines += [f"{name.capitalize()} ({shares} % right):", "", *HEAD]
        lines += [*(arm.line for arm in measure(table, found, ways)), ""]
    return lines


def report(data: Path, splits: int) -> list[str]:
    """All sections that are made of recorded answers."""
    lines = []
    for name, called in SETS.items():
        table, texts = recorded(data, name)
        found = list(halves(table, splits, SEED))
        wrong = wrong_answers(table)
        replies = [said[row % len(said)] for row, said in enumerate(texts)]
        lines += [f"## {called}", "", f"{len(table.ids)} questions, {len(table.members)} LLMs.", ""]
        lines += ["### Accuracy against calls", "", *accuracy_lines(table, found)]
        if depth := [line for workers in DEPTHS[name] for line in depth_lines(table, found, workers)]:
            lines += ["### Until it is sure", "", *depth]
        lines += ["### Time to answer", "", *time_lines(table, found, SEED)]
        lines += ["### One is wrong and gives orders", "", *loss_lines(table, found, wrong)]
        lines += [*read_lines(wrong, replies), "### Pools", "", *pool_lines(table, splits)]
    return lines


def main() -> None:
    """Print, or write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    began = time.process_time()
    lines = report(args.data, args.splits)
    took = time.process_time() - began
    lines.append(f"{date.today().isoformat()}, {shape()}; {args.splits} splits, seed {SEED}; {took:.0f} s of CPU.")
    put(args.write, "figures", lines)


if __name__ == "__main__":
    main()
