"""Static vectors: the mean of one vector for each token of a text, in a tenth of a millisecond.

The vectors are those that the package wordllama carries (32,000 tokens, 256 wide, MIT). Its files are read with numpy;
its module is never imported.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.embeddings.rows import folder_of, readable
from mollm.embeddings.tokens import check_installed, read_tokenizer
from mollm.errors import ConfigError, missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.embeddings.base import Vectors

PACKAGE = "wordllama"
WEIGHTS = Path("weights") / "l2_supercat_256.safetensors"
TOKENIZER = Path("tokenizers") / "l2_supercat_tokenizer_config.json"
MOST_CHARACTERS = 65_536
"""Of a text that are read."""
AT_ONCE = 4_096
"""Characters whose vector is made on the event loop; it takes less than a millisecond."""


class StaticEmbedder:
    """The vectors of a folder that is laid out as the package is; read when they are first needed."""

    name = "wordllama"

    def __init__(self, folder: Path) -> None:
        """Check that there is something to read.

        Raises:
            ConfigError: A file is missing, or the library that splits texts into tokens.
        """
        check_installed("wordllama", self.name)
        lacking = [file.name for file in (WEIGHTS, TOKENIZER) if not (folder / file).is_file()]
        if lacking:
            raise ConfigError(f"wordllama: {folder} has no {' and no '.join(lacking)}; install another release of it")
        self._folder = folder
        self._lock = threading.Lock()
        self._vectors: _Vectors | None = None

    @property
    def digest(self) -> str:
        """Of both files, which are read for it. Raises `ConfigError` as `embed`."""
        return self._read().digest

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Turn texts into vectors of length 1, shape (n, 256); a text without any known token becomes zeros.

        Raises:
            ConfigError: The files cannot be read.
        """
        return self._read().of(texts)

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """Like `embed`; what takes longer than a millisecond is done in a thread."""
        if self._vectors is not None and sum(map(len, texts)) <= AT_ONCE:
            return self._vectors.of(texts)
        return await asyncio.to_thread(self.embed, texts)

    def _read(self) -> _Vectors:
        with self._lock:
            if self._vectors is None:
                try:
                    self._vectors = _Vectors.read(self._folder)
                except (OSError, LookupError, TypeError, ValueError) as error:
                    raise ConfigError(f"wordllama: the files in {self._folder} cannot be read: {error}") from error
            return self._vectors


@dataclass(frozen=True, slots=True)
class _Vectors:
    digest: str
    tokenizer: Any
    of_token: np.ndarray[tuple[int, int], np.dtype[np.float16]]

    @classmethod
    def read(cls, folder: Path) -> _Vectors:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        weights, text = (folder / WEIGHTS).read_bytes(), (folder / TOKENIZER).read_bytes()
        tokenizer = read_tokenizer(text.decode(), TOKENIZER.name)
        try:
            vectors = load(weights)["embedding.weight"]
        except SafetensorError as error:
            raise ValueError(f"{WEIGHTS.name}: {error}") from error
        if vectors.ndim != 2 or vectors.dtype != np.float16 or tokenizer.get_vocab_size() > len(vectors):
            raise ValueError("its tokenizer has more tokens than there are vectors")
        return cls(hashlib.sha256(weights + text).hexdigest(), tokenizer, vectors)

    def of(self, texts: Sequence[str]) -> Vectors:
        found = np.zeros((len(texts), self.of_token.shape[1]), dtype=np.float32)
        for row, text in enumerate(texts):
            whole = readable(text, MOST_CHARACTERS)
            if whole.strip() and (tokens := self.tokenizer.encode(whole, add_special_tokens=False).ids):
                mean = self.of_token[tokens].sum(axis=0, dtype=np.float32)
                found[row] = mean / (np.sqrt(mean @ mean) or 1.0)
        return found


def wordllama() -> StaticEmbedder:
    """The vectors of the installed package.

    Raises:
        ConfigError: It is not installed, or the library tokenizers.
    """
    if (folder := folder_of(PACKAGE)) is None:
        raise missing("wordllama", "wordllama: its static vectors (16 MB) are not installed")
    return StaticEmbedder(folder)
