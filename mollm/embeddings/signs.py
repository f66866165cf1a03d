"""A digest of vectors whose weights nobody here can read: the signs of the vectors of a few texts.

The same model gives slightly different numbers on another machine, or in another batch, and so a few other signs among
hundreds; another model gives half of them otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from mollm.embeddings.base import Vectors

PROBES: Final = ("How do I renew my passport?", "print the first ten primes", "Das Auto springt morgens nicht an.")
"""The texts."""
MARK: Final = "signs-"
TOLERATED = 0.1
"""Share of signs that may differ."""


def signs(vectors: Vectors) -> str:
    """Write down the signs of the probes' vectors, shape (3, d)."""
    return f"{MARK}{vectors.shape[1]}-{np.packbits(vectors > 0).tobytes().hex()}"


def same(one: str, other: str) -> bool:
    """Whether two digests are of the same vectors: equal, or of signs that hardly differ."""
    if one == other:
        return True
    (head, mark, ours), (other_head, _, theirs) = one.partition(MARK), other.partition(MARK)
    if not mark or head != other_head or len(ours) != len(theirs):
        return False
    (width, _, bits), (other_width, _, other_bits) = ours.partition("-"), theirs.partition("-")
    try:
        differ = int(bits, 16) ^ int(other_bits, 16)
        return width == other_width and differ.bit_count() <= TOLERATED * len(PROBES) * int(width)
    except ValueError:
        return False
