"""What was learned: a text, and its vector where the model needs one, as one raw score for each mixture.

A model knows neither the names of the mixtures nor what is decided; `learned.LearnedScorer` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from mollm.routing.features import NGRAMS, NOWHERE, Block, Floats, normalize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LARGEST = 1e6
"""Of the numbers of a router that is read; fitted ones stay below a thousand, and sums of these are finite."""


class Model(Protocol):
    """K raw scores and a familiarity for a text."""

    kind: ClassVar[str]
    """Names the class in a manifest: a key of `MODELS`."""
    needs_vector: ClassVar[bool]
    """Whether `measure` must be given the vector of the text."""

    def measure(self, text: str, vector: Floats | None = None) -> tuple[Floats, float]:
        """Score a text.

        Args:
            text: Any text.
            vector: Its vector, of length 1, shape (d,), if `needs_vector`.

        Returns:
            Raw scores, shape (K,), higher for a mixture that suits better, and the familiarity of the text, 0 to 1:
            what speaks for it being of the kind of the examples at all, whichever mixture is likeliest.
            It is 0 where nothing of it is known.
        """
        ...

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """What it consists of, as arrays that `read` takes."""
        ...

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], mixtures: int) -> Model:
        """Make a model of arrays that nobody vouches for.

        Args:
            arrays: As in a file.
            mixtures: K.

        Raises:
            LookupError, TypeError, ValueError: They do not make a model of K mixtures.
        """
        ...


@dataclass(frozen=True, slots=True)
class NgramModel:
    """Sums what the n-grams of a text say."""

    kind: ClassVar[str] = "ngrams"
    needs_vector: ClassVar[bool] = False

    blocks: tuple[Block, ...]
    """As in `NGRAMS`; their weights are for K mixtures."""
    intercept: Floats
    """Shape (K,)."""

    def measure(self, text: str, vector: Floats | None = None) -> tuple[Floats, float]:  # noqa: ARG002 - needs none
        """Score a text by its n-grams; its familiarity is the share of it that is known."""
        text = normalize(text)
        total, known, length = self.intercept, 0.0, 0.0
        for ngrams, block in zip(NGRAMS, self.blocks, strict=True):
            rows, values = block.weigh(ngrams(text))
            if len(rows):
                square = float(values @ values)
                total = total + values @ block.weights[rows].astype(np.float64) / math.sqrt(square)
                familiar = values[rows < len(block.idf) - 1]
                known, length = known + float(familiar @ familiar), length + square
        return total, known / length if length else 0.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Hashes, weights and frequencies of each block, and the intercept."""
        arrays: dict[str, NDArray[Any]] = {"intercept": self.intercept}
        for number, block in enumerate(self.blocks):
            arrays |= {
                f"hashes_{number}": block.hashes,
                f"idf_{number}": block.idf,
                f"weights_{number}": block.weights,
            }
        return arrays

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], mixtures: int) -> NgramModel:
        """Check order, shapes, types and ranges."""
        blocks = []
        for number in range(len(NGRAMS)):
            hashes = arrays[f"hashes_{number}"]
            if (
                hashes.dtype != np.uint64
                or not hashes.size
                or hashes[-1] != NOWHERE
                or (hashes[1:] <= hashes[:-1]).any()
            ):
                raise ValueError("n-grams that are not in order")
            idf = finite(arrays[f"idf_{number}"], np.float64, (len(hashes),))
            if not 1.0 <= idf.min() <= idf.max() <= LARGEST:
                raise ValueError("an n-gram that does not count, or that alone does")
            blocks.append(Block(hashes, idf, finite(arrays[f"weights_{number}"], np.float16, (len(hashes), mixtures))))
        intercept = finite(arrays["intercept"], np.float64, (mixtures,))
        if np.abs(intercept).max() > LARGEST:
            raise ValueError("a mixture that all belongs to")
        return cls(tuple(blocks), intercept)


def finite(array: NDArray[Any], dtype: type[np.floating[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array that is what it should be.

    Raises:
        ValueError: Its type or shape is another one, or a number in it is not finite.
    """
    if array.shape != shape or array.dtype != dtype or not np.isfinite(array).all():
        raise ValueError(f"an array of shape {array.shape} where finite numbers of shape {shape} belong")
    return array


MODELS: dict[str, type[Model]] = {NgramModel.kind: NgramModel}
"""The classes by their kinds."""
