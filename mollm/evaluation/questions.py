"""Questions whose mixture is known, those of several mixtures too, and those that belong nowhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mollm.errors import RequestError
from mollm.evaluation.picks import Picks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from mollm.evaluation.asking import Decisions

SEPARATOR = "|"
"""Between the mixtures of a question that belongs to several."""


def names_in(label: str) -> list[str]:
    """What a label names, as it stands there: the parts of `a|b`, the items of a JSON list, or itself."""
    if label.startswith("["):
        try:
            listed = json.loads(label)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list) and listed and all(isinstance(name, str) for name in listed):
            return listed
    return [part.strip() for part in label.split(SEPARATOR)]


def mixtures_of(label: str) -> tuple[str, ...]:
    """The mixtures that a label names: one, several as `a|b`, or a JSON list of them."""
    return tuple(dict.fromkeys(filter(None, names_in(label)))) or (label,)


def label_of(mixtures: Iterable[str]) -> str:
    """The label that names these mixtures, in whatever order they come; `mixtures_of` reads it back, sorted."""
    names = tuple(sorted(set(mixtures)))
    joined = SEPARATOR.join(names)
    return joined if mixtures_of(joined) == names else json.dumps(names, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Questions:
    """What a router is asked; make it with `of`."""

    texts: tuple[str, ...]
    """Those that belong to mixtures, n in number."""
    wanted: tuple[tuple[str, ...], ...]
    """The mixtures of each."""
    rows: tuple[int, ...]
    """The row of each, from 1."""
    outside: tuple[str, ...] = ()
    """Those that belong nowhere."""

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        out_of_scope: Collection[str] = (),
        outside: Sequence[str] = (),
    ) -> Questions:
        """Tell those that belong somewhere from the others.

        Args:
            texts: The questions, none of them twice for a fair figure.
            labels: What each belongs to, as `mixtures_of` reads it.
            out_of_scope: Labels of questions that belong nowhere.
            outside: More questions that belong nowhere.

        Raises:
            RequestError: No question belongs to a mixture.
        """
        inside = [row for row, label in enumerate(labels) if label not in out_of_scope]
        if not inside:
            raise RequestError("no question of the data belongs to a mixture: there is nothing to measure")
        others = [text for text, label in zip(texts, labels, strict=True) if label in out_of_scope]
        return cls(
            tuple(texts[row] for row in inside),
            tuple(mixtures_of(labels[row]) for row in inside),
            tuple(row + 1 for row in inside),
            (*others, *outside),
        )

    @property
    def mixtures(self) -> tuple[str, ...]:
        """That any of them belongs to, sorted."""
        return tuple(sorted({name for names in self.wanted for name in names}))

    @property
    def has_several(self) -> bool:
        """Whether any belongs to several mixtures."""
        return any(len(names) > 1 for names in self.wanted)

    def judged(self, said: Decisions) -> Picks:
        """Hold what a router said of the n questions against what they belong to."""
        return judged(self.wanted, said.picks, said.probabilities, said.sure)

    def unknown(self, mentioned: Collection[str]) -> dict[str, list[int]]:
        """Rows of questions whose mixture is none of those `mentioned`, by mixture."""
        found: dict[str, list[int]] = {}
        for row, names in zip(self.rows, self.wanted, strict=True):
            for name in names:
                if name not in mentioned:
                    found.setdefault(name, []).append(row)
        return found


def judged(
    wanted: Sequence[tuple[str, ...]],
    picks: Sequence[str],
    probabilities: Sequence[float] | np.typing.NDArray[np.floating],
    is_sure: Sequence[bool] | np.typing.NDArray[np.bool_],
    labels: Iterable[str] = (),
) -> Picks:
    """Hold picks against the mixtures of n questions; of a question with several, any of them is right.

    Args:
        wanted: The mixtures of each question.
        picks: The likeliest mixture of each.
        probabilities: Of these, 0 to 1.
        is_sure: Whether the thresholds let it through.
        labels: Mixtures that there are beside those that occur.
    """
    truth = [pick if pick in names else names[0] for pick, names in zip(picks, wanted, strict=True)]
    known = tuple(sorted({*truth, *picks, *labels}))
    number = {name: place for place, name in enumerate(known)}
    return Picks(
        labels=known,
        truth=np.array([number[name] for name in truth], dtype=np.intp),
        likeliest=np.array([number[name] for name in picks], dtype=np.intp),
        probability=np.asarray(probabilities, dtype=np.float64),
        is_sure=np.asarray(is_sure, dtype=np.bool_),
    )
