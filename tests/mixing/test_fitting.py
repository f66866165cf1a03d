"""Ridge regression on what each LLM gains, and the penalty that orders questions best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from mollm.evaluation.choosing import gap_recovered
from mollm.mixing.fitting import PENALTIES, fit, gains_of, ordering, ridge
from tests.fuzz import cases
from tests.mixing.recorded import POEMS, SUMS, outcomes


@settings(max_examples=cases(20))
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 40), st.integers(1, 4))
def test_every_penalty_is_solved_as_if_it_were_the_only_one(seed: int, rows: int, columns: int, targets: int) -> None:
    """Against the closed form; a target of zeros, as two LLMs with equal scores have, gives weights of zero."""
    generator = np.random.default_rng(seed)
    dense = generator.uniform(0, 1, (rows, columns)) * (generator.uniform(size=(rows, columns)) < 0.5)
    wanted = generator.normal(size=(rows, targets))
    wanted[:, 0] *= seed % 2
    for penalty, weights in zip(PENALTIES, ridge(csr_matrix(dense), wanted, PENALTIES), strict=True):
        exact = np.linalg.solve(dense.T @ dense + penalty * np.eye(columns), dense.T @ wanted)
        assert weights == pytest.approx(exact, abs=2e-2 * max(1.0, float(np.abs(exact).max())))


def test_gains_say_nothing_about_how_hard_a_question_is() -> None:
    """Questions that all LLMs find harder by the same amount have the same gains."""
    scores = np.array([[0.9, 0.5], [0.5, 0.1]])

    assert gains_of(scores) == pytest.approx(np.array([[0.2, -0.2], [0.2, -0.2]]))


def test_ordering_is_what_the_curve_of_two_llms_has_above_chance() -> None:
    """In the unit of scores, so that it can be averaged over pairs with gaps of any size."""
    generator = np.random.default_rng(1)
    scores = (generator.uniform(size=(400, 2)) < [0.8, 0.6]).astype(np.float64)
    predicted = scores + generator.normal(size=(400, 2))
    gap = float(np.subtract(*scores.mean(axis=0)))

    above = gap_recovered(predicted[:, 0] - predicted[:, 1], scores, 0) - 0.5

    assert ordering(predicted, scores) == pytest.approx(above * gap, abs=0.002)
    assert ordering(0.01 * predicted + [3.0, 0.0], scores) == pytest.approx(ordering(predicted, scores))


def test_who_is_better_at_which_questions_is_learned() -> None:
    """On questions of the same kinds that nobody recorded; and predictions for recorded ones are of others' making."""
    found = outcomes()
    fitted = fit(found.questions, found.scores)

    sums, _ = fitted.model.measure("What is 71 plus 12, and then minus 4?")
    poems, _ = fitted.model.measure("Write a merry poem about snow in the evening.")

    assert sums[0] > sums[1]
    assert poems[1] > poems[0]
    assert fitted.penalty == max(fitted.orderings, key=fitted.orderings.__getitem__)
    assert fitted.predicted[: len(SUMS), 0].mean() > 0.1 > fitted.predicted[len(SUMS) :, 0].mean()
    assert len(fitted.predicted) == len(SUMS) + len(POEMS)
