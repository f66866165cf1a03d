"""Asking until the calibrated probability is high enough: how true it is, and what it saves."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from mixtures_data import Layers

from mollm.asking import Rules
from mollm.evaluation.metrics import calibration_error
from mollm.evaluation.mixtures.calibrating import fit
from mollm.evaluation.mixtures.simulating import Reply, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mixtures_data import Half

    from mollm.evaluation.mixtures.simulating import Confidence
    from mollm.evaluation.mixtures.table import Table

SURE = (*((1, sure) for sure in (0.7, 0.8, 0.9, 0.95, 0.97)), (2, 0.7), (2, 0.9))
"""`ask_first` and `agree`."""
RIGHT = 0.5


def depth_lines(table: Table, found: Sequence[Half], workers: int) -> list[str]:
    """The calibration error after all, then accuracy and calls of each probability."""
    layers, errors = Layers(table), []
    right: dict[tuple[int, float], list[float]] = defaultdict(list)
    calls: dict[tuple[int, float], list[float]] = defaultdict(list)
    for half in found:
        order = half.order[:workers]
        calibration = fit(table.among([table.members[member] for member in order]).part(half.others), folds=0)
        replies = [[Reply(layers.said(row, member)) for member in order] for row in half.rows]
        stated = [_remembered(calibration) for _ in replies]
        errors.append(_error(layers, half, order, calibration))
        for first, sure in SURE:
            rules = Rules(ask_first=first, sure=sure, enough=workers)
            ends = [simulate(one, rules, confidence) for one, confidence in zip(replies, stated, strict=True)]
            places = [layers.chosen(row, order, end.arrived) for row, end in zip(half.rows, ends, strict=True)]
            right[first, sure].append(table.scores[half.rows, [order[place] for place in places]].mean())
            calls[first, sure].append(float(np.mean([len(end.started) for end in ends])))
    ten, fifteen = 100 * np.mean(errors, axis=0)
    lines = [f"Calibration error after {workers}: {ten:.2f} percentage points by 10 bins, {fifteen:.2f} by 15.", ""]
    lines += ["| | right, % | calls |", "|---|---:|---:|"]
    for first, sure in SURE:
        name = f"{workers} workers, `ask_first: {first}, agree: {sure}`"
        lines.append(f"| {name} | {100 * np.mean(right[first, sure]):.2f} | {np.mean(calls[first, sure]):.2f} |")
    return [*lines, ""]


def _remembered(calibration: Any) -> Confidence:
    """State the same of the same proposals without working it out again."""
    known = cache(calibration.confidence)
    return lambda said: known(tuple(said))


def _error(layers: Layers, half: Half, order: tuple[int, ...], calibration: Any) -> list[float]:
    """The calibration error once all have answered, 0 to 1, by 10 and by 15 bins."""
    stated, right = [], []
    everyone = Rules(ask_first=len(order), enough=len(order))
    for row in half.rows:
        confidence = calibration.confidence([said for member in order if (said := layers.said(row, member))])
        if confidence is not None:
            stated.append(confidence)
            place = layers.played(row, order, everyone).place
            right.append(layers.table.scores[row, order[place]] >= RIGHT)
    return [calibration_error(np.array(stated), np.array(right), bins=bins) for bins in (10, 15)]
