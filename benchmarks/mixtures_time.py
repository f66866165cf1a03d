"""How long an answer takes, simulated: recorded lengths at speeds that are drawn, and calls that straggle."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from mixtures_data import Layers

from mollm.asking import Rules
from mollm.evaluation.mixtures.simulating import Reply, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mixtures_data import Half

    from mollm.evaluation.metrics import Floats
    from mollm.evaluation.mixtures.table import Table

MEDIAN, BETWEEN, WITHIN = 60.0, 0.4, 0.3
"""Tokens per second of the median LLM; sigma of the logarithm of an LLM's own speed, and of that of one call."""
STRAGGLES, SLOWER = 0.05, 10.0
"""Share of calls that take so many times as long."""
QUESTIONS = 60
"""Drawn from each half."""
LONGEST = 24 * 3600.0
"""Where no deadline is set nothing is cut off, since it is the waiting that is measured."""


@dataclass(frozen=True)
class Setting:
    """How is asked; times are multiples of a typical one: the median of all calls to those who are asked."""

    workers: int
    rules: Rules
    widen_after: float | None = None
    grace: float = 0.0
    deadline: float | None = None

    @property
    def name(self) -> str:
        """As the YAML has it."""
        rules, parts = self.rules, []
        if rules.ask_first < self.workers:
            parts.append(f"ask_first: {rules.ask_first}")
        if rules.agree:
            parts.append(f"agree: {rules.agree}")
        if rules.widen > 1:
            parts.append(f"widen: {rules.widen}")
        if self.widen_after is not None:
            parts.append(f"widen_after: {self.widen_after:g} t")
        if rules.enough < self.workers:
            parts.append(f"enough: {rules.enough}")
        if self.grace:
            parts.append(f"grace: {self.grace:g} t")
        if self.deadline is not None:
            parts.append(f"deadline: {self.deadline:g} t")
        return f"{self.workers} workers" + (f", `{', '.join(parts)}`" if parts else ", all are waited for")

    def timed(self, typical: float) -> Rules:
        """Its rules, in seconds."""
        after = None if self.widen_after is None else self.widen_after * typical
        deadline = LONGEST if self.deadline is None else self.deadline * typical
        return replace(self.rules, widen_after=after, grace=self.grace * typical, deadline=deadline)


def setting(workers: int, first: int, agree: int | None = None, *, enough: int | None = None, widen: int = 1,
            after: float | None = None, grace: float = 0.0, deadline: float | None = None) -> Setting:  # fmt: skip
    """Say how is asked."""
    rules = Rules(ask_first=first, agree=agree, widen=widen, enough=enough or workers)
    return Setting(workers, rules, after, grace, deadline)


ALL = setting(5, 5)
SETTINGS = (
    ALL,
    setting(5, 5, 3),
    setting(5, 5, 2),
    setting(5, 5, enough=3),
    setting(5, 5, enough=3, grace=0.5),
    setting(3, 3, 2),
    setting(5, 3, 2),
    setting(5, 2, 2),
    *(setting(5, 2, 2, after=after) for after in (1.0, 2.0, 3.0, 4.0, 8.0)),
    *(setting(5, 2, 2, enough=4, after=after) for after in (1.5, 2.0)),
    *(setting(5, 2, 2, deadline=deadline) for deadline in (7.0, 8.0)),
    *(setting(5, 2, 2, after=after, deadline=10.0) for after in (2.5, 3.0)),
    setting(5, 2, 2, after=2.5, deadline=9.0),
    setting(6, 2, 2),
    *(setting(6, 2, 2, enough=enough, after=3.0) for enough in (4, 5)),
    setting(6, 2, 2, enough=5, after=2.0),
    setting(7, 2, 2, enough=5, grace=0.5, after=1.5),
)


@dataclass
class Times:
    """What one setting comes to."""

    right: list[float]
    calls: list[int]
    ended: list[int]
    """Calls whose reply was read to its end; the others were cancelled."""
    seconds: list[float]


def drawn(tokens: Floats, rng: random.Random) -> Floats:
    """Seconds of each call, for tokens of shape (n, m): n questions, m LLMs."""
    own = np.array([rng.gauss(math.log(MEDIAN), BETWEEN) for _ in range(tokens.shape[1])])
    speeds = np.exp(own + np.array([[rng.gauss(0, WITHIN) for _ in row] for row in tokens]))
    slower = np.array([[SLOWER if rng.random() < STRAGGLES else 1.0 for _ in row] for row in tokens])
    seconds: Floats = np.maximum(tokens, 1.0) / speeds * slower
    return seconds


def simulated(table: Table, found: Sequence[Half], seed: int) -> list[Times]:
    """Play all settings on the same questions with the same speeds."""
    rng, layers = random.Random(f"{seed} time {len(table.ids)}"), Layers(table)
    times = [Times([], [], [], []) for _ in SETTINGS]
    for half in found:
        rows = rng.sample(half.rows, QUESTIONS)
        order = half.order[: max(setting.workers for setting in SETTINGS)]
        seconds = drawn(table.tokens[rows][:, order], rng)
        typical = float(np.median(seconds))
        rules = [setting.timed(typical) for setting in SETTINGS]
        for row, taken in zip(rows, seconds, strict=True):
            replies = [Reply(layers.said(row, member), float(took)) for member, took in zip(order, taken, strict=True)]
            for one, found_rules, setting in zip(times, rules, SETTINGS, strict=True):
                ended = simulate(replies[: setting.workers], found_rules)
                place = layers.chosen(row, order, ended.arrived)
                one.right.append(table.scores[row, order[place]] if ended.arrived else 0.0)
                one.calls.append(len(ended.started))
                one.ended.append(len(ended.arrived))
                one.seconds.append(ended.seconds)
    return times


def time_lines(table: Table, found: Sequence[Half], seed: int) -> list[str]:
    """What each setting comes to, beside asking all five and waiting for all."""
    lines = [
        "| | right, % | calls | of these read to the end | p50, s | p95, s | p95 over that of all five |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    times = simulated(table, found, seed)
    whole = float(np.percentile(times[SETTINGS.index(ALL)].seconds, 95))
    for one, setting in zip(times, SETTINGS, strict=True):
        p50, p95 = np.percentile(one.seconds, [50, 95])
        lines.append(
            f"| {setting.name} | {100 * np.mean(one.right):.1f} | {np.mean(one.calls):.2f} | {np.mean(one.ended):.2f} "
            f"| {p50:.1f} | {p95:.1f} | {p95 / whole:.2f} |"
        )
    return [*lines, ""]
