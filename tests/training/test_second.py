"""Two mixtures for one question: learned from questions of several."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.evaluation import metrics
from mollm.routing.learned import LearnedScorer
from mollm.training.data import Labelled
from mollm.training.methods import Training
from mollm.training.router import train
from mollm.training.second import ENOUGH, _Decisions, examples, joined
from tests.fuzz import cases
from tests.training.test_router import DATA

if TYPE_CHECKING:
    from pathlib import Path

BOTH = Labelled(
    tuple(f"What about the {car} and the {sleep}?" for car, sleep in product(
        ("brakes", "engine", "tyres", "gearbox", "clutch"), ("dreams", "naps", "snoring", "insomnia", "bedtime")
    )),
    ("car|sleep",) * 25,
)  # fmt: skip


def test_a_question_of_several_is_an_example_only_where_a_mixture_has_no_other() -> None:
    """It is as much like one as like the other."""
    data = Labelled(("a1", "both", "c and a"), ("a", "a|b", "a|c"))

    assert examples(data) == {"a": ["a1"], "b": ["both"], "c": ["c and a"]}


def test_the_bound_is_fitted_to_questions_of_both_kinds() -> None:
    """Those of two mixtures get the second, and those of one do not."""
    scorer = LearnedScorer.fit(DATA.by_mixture(), fallback="tax")
    scorer = replace(scorer, threshold=0.0, familiarity=0.0)  # so few examples leave most pairs in doubt
    texts, labels = BOTH.texts + DATA.texts, BOTH.labels + DATA.labels

    found = joined(scorer, scorer.scores_of(texts), labels)

    assert found is not None
    assert found.several == len(BOTH.texts)
    assert 0.0 < found.bound < 1.0
    assert found.joined.micro_f1 > found.first_only.micro_f1
    few = labels[: ENOUGH - 1] + DATA.labels
    assert joined(scorer, scorer.scores_of(texts[: ENOUGH - 1] + DATA.texts), few) is None


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "ab", "bc"]), st.integers(-1, 4)), min_size=1)
)
@settings(max_examples=cases(60))
def test_no_bound_is_better_than_the_best(rows: list[tuple[str, str, int]]) -> None:
    """By trying all of them; of those that are as good it is the highest."""
    suits = np.array([suit / 5 if suit >= 0 else -1.0 for _, _, suit in rows])
    both: list[tuple[str, ...]] = [(first, "b" if first != "b" else "c") for first, _, _ in rows]
    both = [pair if suit >= 0 else pair[:1] for pair, suit in zip(both, suits, strict=True)]
    wanted = [tuple(names) for _, names, _ in rows]
    decisions = _Decisions(wanted, [pair[:1] for pair in both], both, suits)

    def f1(bound: float) -> float:
        return metrics.of_sets(wanted, decisions.found(np.full(len(rows), bound))).micro_f1

    best = decisions.best(np.ones(len(rows), dtype=np.bool_))

    assert f1(best) == pytest.approx(max(map(f1, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))))
    assert all(f1(bound) < f1(best) - 1e-12 for bound in (0.2, 0.4, 0.6, 0.8, 1.0) if bound > best + 1e-9)


def test_training_fits_the_second_threshold_and_reports_f1(tmp_path: Path) -> None:
    """What is kept has the bound that was found; the report has F1 with and without the second mixture."""
    data = Labelled(DATA.texts + BOTH.texts, DATA.labels + BOTH.labels)

    report = train(data, Training(fallback="tax", held_out=0.8), tmp_path)
    plain = report.to_plain()
    text = (tmp_path / "versions" / report.version / "report.md").read_text("utf-8")

    several = plain["held_out"]["several"]
    assert several["several"] == ENOUGH
    assert several["joined"]["micro_f1"] >= several["first_only"]["micro_f1"]
    assert LearnedScorer.load(tmp_path).second == plain["router"]["second"] == several["bound"]
    assert LearnedScorer.load(tmp_path).mixtures == ("car", "sleep", "tax")
    assert "| with a second mixture | " in text
