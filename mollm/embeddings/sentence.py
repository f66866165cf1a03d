"""Whatever sentence-transformers reads: a folder, or the name of a model that lies in its cache. No hub is asked."""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import threading
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.errors import ConfigError, EmbeddingError, missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.embeddings.base import Vectors


class SentenceEmbedder:
    """A sentence-transformers model, imported and loaded when it is first needed."""

    def __init__(self, path: str) -> None:
        """Check that the library is there.

        Args:
            path: A folder, or a name in the cache.

        Raises:
            ConfigError: It is not.
        """
        if find_spec("sentence_transformers") is None:
            raise missing("sentence-transformers", f"{path}: sentence-transformers, which loads it, is not installed")
        self._path = path
        self._lock = threading.Lock()
        self._loaded: tuple[Any, str] | None = None

    @property
    def name(self) -> str:
        """Its last part: a folder may lie elsewhere tomorrow."""
        return f"sentence-transformers/{self._path.replace(chr(92), '/').rstrip('/').rpartition('/')[2]}"

    @property
    def digest(self) -> str:
        """Of its weights, which are loaded for it. Raises `ConfigError` as `embed`."""
        return self._model()[1]

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Turn texts into vectors of length 1, shape (n, d); a blank one becomes zeros.

        Raises:
            ConfigError: It cannot be loaded.
            EmbeddingError: It failed.
        """
        model, _ = self._model()
        filled = [row for row, text in enumerate(texts) if text.strip()]
        try:
            with self._lock:
                vectors = model.encode(
                    [texts[row] for row in filled] or [" "], normalize_embeddings=True, show_progress_bar=False
                )
        except Exception as error:
            raise EmbeddingError(f"{self.name} failed ({type(error).__name__})") from error
        found = np.zeros((len(texts), vectors.shape[1]), dtype=np.float32)
        found[filled] = vectors[: len(filled)]
        return found

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """Like `embed`, in a thread."""
        return await asyncio.to_thread(self.embed, texts)

    def _model(self) -> tuple[Any, str]:
        with self._lock:
            if self._loaded is None:
                model = _load(self._path)
                self._loaded = model, _digest(model)
            return self._loaded


def _load(path: str) -> Any:
    from sentence_transformers import SentenceTransformer

    try:
        with _silent():
            return SentenceTransformer(path, local_files_only=True)
    except Exception as error:
        if Path(path).exists():
            raise ConfigError(f"{path}: sentence-transformers cannot load it: {error}") from error
        raise ConfigError(
            f"{path}: there is no such folder, and no such model in the cache of sentence-transformers; no hub is "
            f"asked; run `hf download {shlex.quote(path)}`, or name the folder where the model lies"
        ) from error


@contextmanager
def _silent() -> Iterator[None]:
    """Without the bar that shows on standard error how many weights are loaded."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _digest(model: Any) -> str:
    hashed = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        hashed.update(name.encode() + np.ascontiguousarray(weights.detach().float().cpu().numpy()).tobytes())
    return hashed.hexdigest()
