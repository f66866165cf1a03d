"""Recorded scores as files, what is trained on them, and how good that is."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mollm.cli.main import app
from mollm.errors import DataError
from mollm.evaluation.choosing import gap_recovered, measure, weighed
from mollm.evaluation.resampling import bootstrap
from mollm.mixing.predictor import Predictor
from mollm.training.chooser import measured_on, train
from mollm.training.outcomes import Outcomes, read
from tests.fuzz import cases
from tests.mixing.recorded import LLMS, outcomes, predictor, written

if TYPE_CHECKING:
    from pathlib import Path

# --- files


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Whatever else stands in its rows; costs count where every row has them."""
    found = read(written(tmp_path / "data.jsonl"))

    assert (found.questions, found.llms, found.costs) == (outcomes().questions, LLMS, None)
    assert np.array_equal(found.scores, outcomes().scores)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"scores": {"adder": 1.5, "poet": 0, "twin": 0}}, ":1: the score of adder is 1.5, not a number from 0 to 1"),
        ({"scores": {"adder": True, "poet": 0, "twin": 0}}, ":1: the score of adder is True, not a number"),
        ({"scores": {"adder": math.nan, "poet": 0, "twin": 0}}, ":1: the score of adder is nan, not a number"),
        ({"scores": {"adder": 1}}, ":1: has the scores of fewer than two LLMs"),
        ({"scores": {"adder": 1, "poet": 0, "odd": 0}}, ":2: its `scores` are of other LLMs than those of the rows"),
        ({"question": " "}, ":1: the question is empty"),
        ({"question": 7}, ':1: a row is {"question": TEXT, "scores"'),
        ({"cost": {"adder": 1}}, ":1: `cost` does not name every LLM"),
        ({"cost": {"adder": -1, "poet": 0, "twin": 0}}, ":1: the cost of adder is -1, not a number of USD"),
        ({"cost": {"adder": 1e308, "poet": 0, "twin": 0}}, ":1: the cost of adder is 1e+308, not a number of USD"),
        ({"cost": {"adder": 10**400, "poet": 0, "twin": 0}}, ":1: the cost of adder is 1000"),
    ],
)
def test_rows_with_mistakes_are_named_by_number(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    """With what is wrong."""
    with pytest.raises(DataError) as caught:
        read(written(tmp_path / "data.jsonl", **change))

    assert expected in str(caught.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    """And of many mistakes the first few."""
    path = tmp_path / "data.jsonl"
    for content, expected in (
        (None, "there is no such file"),
        (b"\n\n", "has no rows"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[1]\n{\n" + 20 * b"7\n", "12 more rows are wrong"),
    ):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=expected):
            read(path)
    with pytest.raises(DataError, match="is not a file"):
        read(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=cases(20))
@given(rows=st.lists(st.fixed_dictionaries({}, optional={"question": JSON, "scores": JSON, "cost": JSON}) | JSON))
def test_any_rows_are_data_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    """Nothing else is raised, whatever stands in them."""
    path = tmp_path_factory.mktemp("any") / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    try:
        found = read(path)
    except DataError:
        return
    assert found.scores.shape == (len(found.questions), len(found.llms))


def test_the_same_question_is_always_in_the_same_part() -> None:
    """So that nothing that was fitted on is measured."""
    twice = Outcomes(2 * outcomes().questions, LLMS, np.tile(outcomes().scores, (2, 1)))

    rest, held = twice.parted(0.3)

    assert not set(rest.questions) & set(held.questions)
    assert 0 < len(held.questions) == 2 * len(outcomes().parted(0.3)[1].questions)


# --- figures


def test_every_way_to_choose_is_measured() -> None:
    """Chance, each LLM, the best one, the chooser with an interval, and an oracle; with their costs."""
    figures = {figure.name: figure for figure in measured_on(outcomes(), predictor()).figures}

    assert [*figures] == ["random", *LLMS, f"best single ({LLMS[predictor().means.argmax()]})", "chooser", "oracle"]
    assert figures["oracle"].score >= figures["chooser"].score > max(figures[name].score for name in LLMS)
    low, high = figures["chooser"].interval or (0, 0)
    assert 0 < low < high
    assert (figures["poet"].cost_usd, figures["random"].cost_usd) == pytest.approx((0.004, 0.007 / 3))


def test_two_llms_are_measured_by_the_gap_that_is_recovered() -> None:
    """By length too, which is what a chooser has to beat."""
    two = outcomes().of(("adder", "poet"))
    lengths = [len(text) for text in two.questions]

    found = measure(two.scores, two.llms, lengths=lengths, best=1, predicted=two.scores)

    curves = {figure.name: figure.curve for figure in found if figure.curve is not None}
    assert curves.keys() == {"random", "prompt length", "chooser"}
    assert curves["random"] == 0.5
    assert curves["chooser"] is not None
    assert curves["chooser"] > (curves["prompt length"] or 1)


def test_the_gap_is_recovered_early_by_who_knows_where_it_is() -> None:
    """In the first of four questions: 7/8 of the area; in the last: 1/8; two equal LLMs have no gap."""
    scores = np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])

    assert gap_recovered(np.array([4.0, 3, 2, 1]), scores, 0) == 0.875
    assert gap_recovered(np.array([1.0, 2, 3, 4]), scores, 0) == 0.125
    assert math.isnan(gap_recovered(np.arange(4.0), np.full((4, 2), 0.5), 0))


def test_the_interval_is_that_of_a_mean() -> None:
    """Two standard errors to either side, about."""
    differences = np.random.default_rng(3).normal(0.1, 1.0, 400)

    low, high = bootstrap(differences, resamples=500)

    assert low == pytest.approx(differences.mean() - 0.098, abs=0.02)
    assert high == pytest.approx(differences.mean() + 0.098, abs=0.02)


def test_less_weight_of_quality_costs_less() -> None:
    """Down to the cheapest LLM for every question."""
    found = outcomes()
    assert found.costs is not None
    predicted = np.array([predictor().quality(text) for text in found.questions])

    rows = weighed(predictor(), predicted, found.scores, found.costs)

    costs = [usd for _, _, usd in rows]
    assert costs == sorted(costs)
    assert costs[0] == pytest.approx(0.001)
    assert rows[-1][1] > rows[0][1]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (np.zeros((5, 2)), "5 rows to fit on; at least 20 are needed"),
        (np.ones((40, 2)), "the same scores in every row"),
    ],
)
def test_data_that_teaches_nothing_is_refused(scores: Any, expected: str) -> None:
    """Before anything is fitted."""
    questions = tuple(f"question {number}" for number in range(len(scores)))

    with pytest.raises(DataError, match=expected):
        train(Outcomes(questions, ("a", "b"), scores), held_out=0.0)


# --- the command


def test_the_command_trains_and_measures(tmp_path: Path) -> None:
    """A folder that can be used, with its report; and the same figures of it by `eval`."""
    data, out = written(tmp_path / "data.jsonl"), tmp_path / "out"

    trained = CliRunner().invoke(app, ["train", "chooser", str(data), "--out", str(out)], catch_exceptions=False)
    measured = CliRunner().invoke(app, ["eval", "chooser", str(data), "--path", str(out)], catch_exceptions=False)
    alone = CliRunner().invoke(app, ["eval", "chooser", str(data)], catch_exceptions=False)

    assert "held-out ones:" in trained.stdout
    assert "cross-validating, 5 of 5" in trained.stderr
    assert (out / "report.md").read_text().strip() == trained.stdout.strip()
    assert Predictor.load(out).digest == read(data).digest
    assert "| chooser " in measured.stdout
    assert "| oracle " in alone.stdout
    assert "| chooser " not in alone.stdout


def test_an_llm_without_scores_cannot_be_measured() -> None:
    """It is named, with those that have some."""
    with pytest.raises(DataError, match="no scores of twin; there are those of adder, poet"):
        measured_on(outcomes().of(("adder", "poet")), predictor())
