"""A function of one's own, given from Python or named in the file, that turns texts into vectors."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Callable
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, Union, cast

from mollm.config.imported import imported
from mollm.embeddings.rows import vectors_of
from mollm.embeddings.signs import PROBES, signs
from mollm.errors import ConfigError, EmbeddingError, MollmError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.embeddings.base import Embedder, Vectors

Function: TypeAlias = Callable[[list[str]], Any]
"""Takes texts; returns a vector for each, as an array of shape (n, d) or as lists. It may be a coroutine function."""
EmbedderLike: TypeAlias = Union["Embedder", Function]
"""What `adopt` takes."""


class OwnEmbedder:
    """Calls the function, in a thread where it is no coroutine function, and checks what it returns."""

    def __init__(self, function: Function, name: str | None = None) -> None:
        """Remember the function; it is not called yet.

        Args:
            function: Any number of threads may call it at once.
            name: For people; None: `python/` and what it is called.
        """
        self._function = function
        self._name = name or f"python/{getattr(function, '__qualname__', type(function).__qualname__)}"

    @property
    def name(self) -> str:
        """For people, and in the manifest of what was trained on its vectors."""
        return self._name

    @cached_property
    def digest(self) -> str:
        """By the vectors of a few texts, for which it is called once. Raises `EmbeddingError`."""
        return hashlib.sha256(self._name.encode()).hexdigest()[:8] + signs(self.embed(PROBES))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Turn texts into vectors of length 1, shape (n, d); zeros stay zeros.

        Raises:
            EmbeddingError: The function failed, or returned something else than a vector of numbers for each text.
        """
        with self._guarded():
            found = self._function(list(texts))
            if inspect.isawaitable(found):
                found = asyncio.run(_awaited(found))
        return self._checked(found, len(texts))

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """Like `embed`; a coroutine function runs on this event loop, any other in a thread."""
        if not inspect.iscoroutinefunction(self._function):
            return await asyncio.to_thread(self.embed, texts)
        with self._guarded():
            found = await self._function(list(texts))
        return self._checked(found, len(texts))

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except MollmError:
            raise
        except Exception as error:  # a function of somebody's own may raise anything
            raise EmbeddingError(f"{self._name} failed ({type(error).__name__})") from error

    def _checked(self, found: Any, texts: int) -> Vectors:
        vectors = vectors_of(found, texts)
        if vectors is None:
            raise EmbeddingError(f"{self._name} returned something else than one vector of numbers for each text")
        return vectors


def named(reference: str) -> Embedder:
    """Find `package.module:function`; what it names may also be a whole embedder.

    Raises:
        ConfigError: There is no such thing, importing it fails, or it cannot be called.
    """
    return adopt(imported(reference), f"python/{reference}")


def adopt(given: object, name: str | None = None) -> Embedder:
    """Take an embedder as it is, and wrap a function.

    Raises:
        ConfigError: It is neither.
    """
    # Not `isinstance`, which would read the digest of an embedder and so load its weights.
    if all(hasattr(type(given), member) for member in ("embed", "aembed")):
        return cast("Embedder", given)
    if not callable(given):
        raise ConfigError(f"{name or 'embedder'}: {type(given).__name__} is neither an embedder nor a function")
    return OwnEmbedder(given, name)


async def _awaited(found: Any) -> Any:
    return await found
