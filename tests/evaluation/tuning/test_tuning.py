"""A pool that is worth a mixture, and pools that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mollm.errors import DataError
from mollm.evaluation.mixtures.records import Record
from mollm.evaluation.mixtures.rows import Row
from mollm.evaluation.mixtures.scores.exact import Exact
from mollm.evaluation.mixtures.table import Table
from mollm.evaluation.tuning.search import Dial, search
from mollm.evaluation.tuning.tune import section_of, table_of, tune
from tests.evaluation.tuning import pools

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOPSIDED = {"strong": 0.9, "a": 0.3, "b": 0.3, "c": 0.3, "d": 0.3}
EQUALS = dict.fromkeys("abcde", 0.7)


def test_one_strong_and_four_weak_is_the_strong_one() -> None:
    """Nothing that was tried is better, and the reason says so."""
    found = tune(pools.pool(LOPSIDED, 300))

    assert not found.is_mixture
    assert found.chosen.members == ("strong",)
    assert "strong alone" in found.reason
    assert found.reason.startswith("One LLM alone, since no mixture was better on the held-out half")
    assert section_of(found, {"strong": "strong"}, "Sums.") == {"description": "Sums.", "workers": ["strong"]}


def test_equals_with_errors_of_their_own_are_a_mixture_that_stops_early() -> None:
    """Some are asked first, it is better on questions that the search never saw, and takes fewer calls than all."""
    found = tune(pools.pool(EQUALS, 300))

    assert found.is_mixture
    setting = found.chosen
    assert setting.agree is not None
    assert setting.ask_first < len(setting.members)
    assert found.confirmed.gain is not None
    assert found.confirmed.gain.interval[0] > 0
    assert found.confirmed.outcome is not None
    assert found.confirmed.outcome.mean_calls < len(setting.members)


def test_a_dial_of_calls_asks_two_first() -> None:
    """The setting stays below it where it was searched, and asks two first."""
    found = tune(pools.pool(EQUALS, 300), dial=Dial(calls=3.2))

    assert found.is_mixture
    assert found.chosen.ask_first == 2
    assert found.found.outcome is not None
    assert found.found.outcome.mean_calls <= 3.2


def test_a_dial_that_nothing_stays_below_leaves_one() -> None:
    """Two take two calls."""
    found = tune(pools.pool(EQUALS, 60), dial=Dial(calls=1.5))

    assert found.chosen.members == found.found.by_score[:1]
    assert "stays below what was allowed" in found.reason


def test_twins_are_not_worth_asking() -> None:
    """LLMs that always say the same gain nothing."""
    right = [str(n) for n in range(80)]
    said: list[str | None] = [answer if n % 3 else "0.5" for n, answer in enumerate(right)]

    found = tune(pools.table_of({"a": said, "b": said, "c": said}, right))

    assert found.chosen.members == ("a",)
    assert found.confirmed.gain is not None
    assert (found.confirmed.gain.gains, found.confirmed.gain.losses) == (0, 0)


def test_one_llm_is_no_mixture() -> None:
    """There is nothing to search."""
    found = tune(pools.pool({"only": 0.8}, 20))

    assert found.chosen.members == ("only",)
    assert "the only LLM" in found.reason
    assert found.gap is None


def test_five_questions_tell_nothing() -> None:
    """The verdict says so, and how many would be enough."""
    found = tune(pools.pool(EQUALS, 5))

    assert not found.is_mixture
    assert found.confirmed.verdict.kind == "cannot be told"
    assert found.confirmed.verdict.enough is not None
    assert found.confirmed.verdict.enough > 5


def test_one_question_has_no_halves() -> None:
    """It is the user's to give more."""
    with pytest.raises(DataError, match="halves"):
        tune(pools.pool(EQUALS, 1))


def test_failures_are_never_right() -> None:
    """An LLM that mostly fails counts by what it brings, and one that always fails is no best member."""
    right = [str(n) for n in range(60)]
    answers: dict[str, list[str | None]] = {
        "down": ["-"] * 60,
        "up": [answer if n % 4 else None for n, answer in enumerate(right)],
    }

    found = tune(pools.table_of(answers, right))

    assert found.chosen.members == ("up",)
    assert found.found.alone.score == pytest.approx(0.75, abs=0.1)


def test_of_those_that_score_alike_the_cheaper_is_the_best_member() -> None:
    """Ties go to the price, then to the order of the file."""
    alone: dict[str, Sequence[Record]] = {
        name: tuple(Record(str(n), "1", "1", cost_usd=cost) for n in range(4))
        for name, cost in (("dear", 0.5), ("cheap", 0.1), ("also", 0.1))
    }

    found = search(Table.of(alone, np.ones((4, 3))))

    assert found.by_score == ("cheap", "also", "dear")


def test_a_ceiling_of_cost_needs_prices() -> None:
    """Without one nobody knows what stays below it."""
    with pytest.raises(DataError, match="without a price"):
        tune(pools.pool(EQUALS, 20), dial=Dial(cost_usd=0.1))


def test_the_same_seed_finds_the_same() -> None:
    """To the last figure; another seed draws other halves."""
    table = pools.pool(EQUALS, 100)
    one, again = tune(table, seed=3), tune(table, seed=3)

    assert one.chosen == again.chosen
    assert one.held_out == again.held_out != tune(table, seed=4).held_out
    assert one.reason == again.reason


class Picky(Exact):
    """Has nothing to hold against a reference that asks back, and fails on the answer 13."""

    def problem(self, row: Row) -> str | None:
        return "is no reference" if row.reference == "?" else None

    async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
        return {who: None if text == "13" else float(text == row.reference) for who, text in texts.items()}


async def test_questions_that_cannot_be_scored_do_not_count() -> None:
    """They are named by their line, with the reason, and nobody is right or wrong about them."""
    rows = [Row(str(n), "How many?", reference, None, f"d:{n}") for n, reference in enumerate(("4", "?", "5"))]
    alone = {"a": [Record("0", "4", "4"), Record("1", "4", "4"), Record("2", "13", "13")]}

    table, excluded = await table_of(rows, alone, Picky())

    assert table.ids == ("0",)
    assert excluded == {"1": "d:1: is no reference", "2": "d:2: the answer of a could not be scored"}
    with pytest.raises(DataError, match="no question counts: d:1"):
        await table_of(rows[1:], {"a": alone["a"][1:]}, Picky())
