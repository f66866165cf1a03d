"""Ways to learn a router, and what is to be said for each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mollm.routing.learned import LearnedScorer
from mollm.routing.naming import OF_DATA
from mollm.training.course import Tell, unheard
from mollm.training.second import examples

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.embeddings.base import Embedder
    from mollm.routing.learned import Method
    from mollm.training.data import Labelled

Step: TypeAlias = Callable[[str], AbstractContextManager[Tell]]
"""Is told what is done while the block runs; the block is given what to tell how far it is."""


@dataclass(frozen=True, slots=True)
class Training:
    """How a router is trained."""

    method: Method = "linear"
    fallback: str = "general"
    """The mixture that answers what no other one knows; it may have questions."""
    false_alarms: float = 0.05
    """Share of the questions, 0 to 1, that both thresholds together may call into doubt."""
    held_out: float = 0.2
    """Share of each mixture's questions, 0 to below 1, that the reported figures are measured on."""
    seed: int = 0
    """Which questions these are."""
    embedder: Embedder | None = None
    """Makes the vectors of `embeddings` and `both`."""


def quiet(what: str) -> AbstractContextManager[Tell]:  # noqa: ARG001 - nobody is told
    """A `Step` of which nothing is shown."""
    return nullcontext(unheard)


def fitted(data: Labelled, how: Training, method: Method, folder: Path, tell: Tell = unheard) -> LearnedScorer:
    """Fit a router by `method`, and write it to `folder`, which is made if missing.

    Args:
        data: The questions.
        how: Settings; the method is the next argument.
        method: How it learns.
        folder: Of the router.
        tell: Is told how far the training of an encoder is; the other methods are done before there is much to tell.

    Raises:
        ConfigError: The method cannot be had here.
        OSError: The folder cannot be written.
    """
    if method == "transformer":
        from mollm.training import transformer

        return transformer.train(
            examples(data), folder, fallback=how.fallback, false_alarms=how.false_alarms, tell=tell
        )
    scorer = LearnedScorer.fit(
        examples(data),
        fallback=how.fallback,
        false_alarms=how.false_alarms,
        method=method,
        named=OF_DATA,
        embedder=how.embedder,
    )
    scorer.save(folder)
    return scorer
