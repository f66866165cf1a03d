"""What embedders have in common: texts in, a row for each out."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.embeddings.base import Vectors


def readable(text: str, most: int | None = None) -> str:
    """The first `most` characters of a text, with a question mark in place of half a surrogate pair."""
    return text[:most].encode("utf-8", "replace").decode()


def filled(texts: Sequence[str]) -> list[int]:
    """The rows of the texts that are not blank; those of the others are zeros."""
    return [row for row, text in enumerate(texts) if text.strip()]


def placed(vectors: Vectors, rows: Sequence[int], count: int) -> Vectors:
    """Put vectors, shape (m, d), into these rows of zeros, shape (count, d)."""
    found = np.zeros((count, vectors.shape[1]), dtype=np.float32)
    found[rows] = vectors
    return found


def unit(vectors: Vectors) -> Vectors:
    """Vectors, shape (n, d), at length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def vectors_of(found: Any, count: int) -> Vectors | None:
    """What somebody else calls vectors, at length 1, shape (count, d); None if it is not a vector for each text."""
    try:
        vectors = np.array(found, dtype=np.float32)
    except (TypeError, ValueError):
        return None
    if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1] or not np.isfinite(vectors).all():
        return None
    return unit(vectors)


def folder_of(package: str) -> Path | None:
    """Where an installed package lies, without importing it; None if it is not installed."""
    spec = find_spec(package)
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((Path(folder) for folder in folders), None)
