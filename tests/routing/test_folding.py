"""Which examples are held out together."""

from __future__ import annotations

import numpy as np
import pytest

from mollm.routing.counting import count
from mollm.routing.features import word_ngrams
from mollm.routing.folding import FOLDS, folds

SUBJECTS = ("brakes", "tyres", "mirrors", "wipers", "doors", "seats", "lamps", "belts", "pedals", "keys")


def folds_of(texts: list[str], labels: list[int]) -> list[int]:
    """The fold of each text."""
    return [int(fold) for fold in folds(count(texts, [word_ngrams]).weigh_words(), np.array(labels))]


def test_paraphrases_are_held_out_together() -> None:
    """Of ten questions that were each written down twice, a model that did not see one did not see the other."""
    texts = [f"{subject} {verb}{polite}" for subject in SUBJECTS for verb in ("squeak",) for polite in ("", " loudly")]

    found = folds_of(texts, [0] * len(texts))

    assert found[::2] == found[1::2]
    assert np.bincount(found).tolist() == [len(texts) // FOLDS] * FOLDS


@pytest.mark.parametrize("same", [True, False])
def test_every_label_is_spread_evenly(same: bool) -> None:
    """Paraphrases of which a fold cannot have more are taken apart: all of a label are never held out at once."""
    texts = ["the same question"] * 12 if same else [*SUBJECTS, "horn", "roof"]

    found = folds_of([*texts, "alone"], [0] * 12 + [1])

    assert sorted(np.bincount(found[:12]).tolist()) == ([2, 2, 2, 2, 4] if same else [2, 2, 2, 3, 3])
    assert found[12] == -1, "a label with one example is always seen"


def test_labels_are_spread_apart_from_each_other() -> None:
    """What two labels have in common holds nothing together: a model must see examples of both."""
    found = folds_of(["one and the same"] * 10, [0] * 5 + [1] * 5)

    assert sorted(found[:5]) == sorted(found[5:]) == list(range(FOLDS))
