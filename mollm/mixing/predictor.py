"""A question as the quality of each LLM, learned from recorded scores; and what was learned as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mollm.errors import ConfigError
from mollm.routing import artifacts
from mollm.routing.models import LARGEST, NgramModel, finite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mollm.routing.features import Floats

KIND: Final = "chooser"
"""What the files of a predictor are called, and are."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """Predicts how good the answer of each LLM to a question is; `training.chooser` makes one, `load` reads one."""

    llms: tuple[str, ...]
    """K in number."""
    means: Floats
    """The mean score of each on the questions that it was fitted on, 0 to 1, shape (K,)."""
    covariance: Floats
    """Of what predicted gains are off by, shape (K, K): two LLMs that fail on the same questions share a lot."""
    spread: float
    """How far apart predicted gains are, of 90 % of LLMs and questions: what a unit of quality is beside price."""
    model: NgramModel
    """Scores what each LLM gains, above the mean of all, on a question."""
    digest: str
    """Of what it was fitted on."""

    def quality(self, text: str) -> Floats:
        """Predict the score of each LLM on a question as hard as the mean one, shape (K,).

        About 0 to 1; only the differences between LLMs are learned from the text. Of one that has nothing known the
        means are returned.
        """
        gains, _ = self.model.margins(text)
        return np.asarray(self.means.mean() + gains, dtype=np.float64)

    def save(self, folder: str | Path) -> None:
        """Write it to `folder`, made if missing; a reader never sees half a file.

        Raises:
            OSError: The folder cannot be made or written.
        """
        manifest = {"llms": list(self.llms), "spread": self.spread, "digest": self.digest}
        arrays = {**self.model.arrays(), "means": self.means, "covariance": self.covariance}
        artifacts.write(Path(folder), manifest, arrays, kind=KIND)

    @classmethod
    def load(cls, folder: str | Path) -> Predictor:
        """Read what `save` wrote.

        Raises:
            ConfigError: There is no trained chooser in `folder`, or not one that can be used as it is.
        """
        manifest, arrays = artifacts.read(Path(folder), kind=KIND)
        try:
            return _predictor_of(manifest, arrays)
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"{folder}: its contents do not make a chooser ({error}); train it again") from error


def _predictor_of(manifest: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Predictor:
    llms = tuple(str(name) for name in manifest["llms"])
    count, spread = len(llms), float(manifest["spread"])
    if not (len(set(llms)) == count >= 2 and 0.0 < spread <= LARGEST):
        raise ValueError("LLMs or spread out of range")
    means = finite(arrays["means"], np.float64, (count,))
    covariance = finite(arrays["covariance"], np.float64, (count, count))
    if not 0.0 <= means.min() <= means.max() <= 1.0:
        raise ValueError("a mean score that is not 0 to 1")
    if np.diag(covariance).min() < 0.0 or np.abs(covariance).max() > 1.0:
        raise ValueError("a covariance that no scores have")
    model = NgramModel.read(arrays, count)
    return Predictor(llms, means, covariance, spread, model, str(manifest["digest"]))
