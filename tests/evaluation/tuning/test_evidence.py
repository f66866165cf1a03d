"""What people read of what was found: each figure with its name, and no two settings under one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mollm.evaluation.tuning.evidence import lines
from mollm.evaluation.tuning.search import search
from mollm.evaluation.tuning.settings import ORDERS, Order, Setting, shapes
from mollm.evaluation.tuning.tune import tune
from tests.evaluation.tuning import pools


def test_every_setting_has_a_label_of_its_own() -> None:
    """Whoever is asked, in which order, how many at first, until when, and how many more at a time."""
    orders: dict[Order, str] = {"score": "abcd", "gain": "acbd", "cost": "dcba"}
    letters = dict(zip("abcd", "ABCD", strict=True))
    settings = {shape.of(orders) for shape in shapes(ORDERS, 4, (0.9, 0.95))} | {Setting((name,)) for name in "abcd"}

    assert len({setting.label(letters) for setting in settings}) == len(settings) > 40


def test_what_each_price_buys_is_told_once() -> None:
    """Two orders that list the same members alike are one setting, in one row."""
    found = search(pools.pool(dict.fromkeys("abcd", 0.6), 40, seed=15), most=4)

    listed = [setting for setting, _ in found.front]
    assert len(set(listed)) == len(listed) > 1


def test_calls_are_always_told_and_usd_where_all_have_prices() -> None:
    """In columns of their own, and no line is longer than a narrow terminal."""
    table = pools.pool(dict.fromkeys("abcdef", 0.7), 120)
    priced = [*lines(tune(replace(table, cost_usd=np.full_like(table.scores, 0.00123))))]
    prices = np.full_like(table.scores, 0.00123)
    prices[:, 3] = np.nan
    some = [*lines(tune(replace(table, cost_usd=prices)))]

    assert [line.split()[-2:] for line in priced if line.split()[:1] == ["searched"]] == [["calls", "USD"]]
    assert next(line for line in priced if line.endswith("0.001230")).split()[-2:] == ["1.00", "0.001230"]
    assert [line.split()[-1] for line in some if line.split()[:1] == ["searched"]] == ["calls"]
    assert max(len(line) for line in priced if line.startswith(" ")) == 60


def test_a_small_p_is_a_bound() -> None:
    """Nobody can know that it is 1.4e-17."""
    said = [*lines(tune(pools.pool(dict.fromkeys("abcde", 0.6), 300)))]

    assert [line.endswith(", p < 0.001") for line in said if line.startswith("Gain")] == [True]
