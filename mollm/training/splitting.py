"""A part of the questions that nothing is fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mollm.evaluation.questions import SEPARATOR, mixtures_of

if TYPE_CHECKING:
    from mollm.training.data import Labelled


def split(data: Labelled, share: float, seed: int) -> tuple[Labelled, Labelled]:
    """Divide questions into those to learn from and those held out, each mixture by the same share.

    Those of several mixtures are divided by that share too, all together.

    Args:
        data: The questions.
        share: Of each mixture's questions, 0 to below 1, that is held out, rounded down: of a mixture with few none is.
        seed: Another one holds out others.
    """
    generator = np.random.default_rng(seed)
    kinds = [label if len(mixtures_of(label)) == 1 else SEPARATOR for label in data.labels]
    labels = np.array(kinds)
    held_out: set[int] = set()
    for label in dict.fromkeys(kinds):
        members = np.flatnonzero(labels == label)
        most = min(int(len(members) * share + 1e-9), len(members) - 1)
        held_out.update(generator.permutation(members)[:most].tolist())
    everything = range(len(data.texts))
    return data.only(row for row in everything if row not in held_out), data.only(sorted(held_out))
