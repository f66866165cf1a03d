"""Mixtures of many examples, which have separators for kinds of questions beside their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mollm.routing.fitting import OF_A_KIND, SEVERAL, fit
from mollm.routing.folding import FOLDS
from mollm.routing.kinds import directions_of, firsts, kinds_of
from mollm.routing.models import NgramModel, with_kinds

SUBJECTS = (("brake", "tyre", "engine"), ("nap", "snore", "dream"))


def many(each: int) -> tuple[list[str], Any]:
    """So many questions of either mixture, of three subjects each."""
    texts = [
        f"{subjects[n % 3]} {n} {'why' if n % 2 else 'how'} {subjects[n % 3]}s {n * 7}"
        for subjects in SUBJECTS
        for n in range(each)
    ]
    return texts, np.repeat([0, 1], each)


@pytest.fixture(scope="module")
def model() -> NgramModel:
    """Of mixtures with just enough examples."""
    fitted = fit(*many(SEVERAL * OF_A_KIND)).model
    assert isinstance(fitted, NgramModel)
    return fitted


def test_only_mixtures_of_many_examples_have_kinds(model: NgramModel) -> None:
    """A model of few is no larger than its mixtures."""
    few = fit(*many(60)).model

    assert isinstance(few, NgramModel)
    assert (len(few.first), len(few.intercept)) == (0, 2)
    assert len(model.first) == 2
    assert len(model.intercept) >= 2 + 2 * 2


def test_a_mixture_counts_with_the_likeliest_of_its_kinds(model: NgramModel) -> None:
    """Added to what speaks for it as a whole."""
    found = with_kinds(np.array([[1.0, 2.0, 0.5, 3.0, -1.0]]), np.array([0, 2]))

    assert found.tolist() == [[4.0, 1.0]]
    assert model.measure("why is my engine loud, engines")[0].argmax() == 0
    assert model.measure("how long may I nap, naps")[0].argmax() == 1


def test_kinds_are_written_and_read(model: NgramModel) -> None:
    """To the last bit; kinds that are none are refused."""
    again = NgramModel.read(model.arrays(), 2)
    asked = "brake 3 why brakes"

    assert again.measure(asked)[0].tolist() == model.measure(asked)[0].tolist()
    kinds = len(model.intercept) - 2
    for first in ([1, 2], [0, 0], [0, kinds], [0]):
        wrong = replace(model, first=np.array(first, dtype=np.int64)).arrays()
        with pytest.raises(ValueError, match="kinds"):
            NgramModel.read(wrong, 2)


def test_kinds_of_one_label_stand_side_by_side() -> None:
    """One label's before the next one's, and clusters too small to be held out are none."""
    from mollm.routing.counting import count

    texts, labels = many(60)
    features = count(texts).weigh(np.ones(len(texts), dtype=np.bool_)).features
    kinds = kinds_of(directions_of(features), labels, size=20, most=9)
    first = firsts(kinds, labels)

    assert first.tolist() == [0, kinds[:60].max() + 1]
    assert sorted(set(kinds.tolist())) == list(range(int(kinds.max()) + 1))
    assert min(np.bincount(kinds)) >= FOLDS
