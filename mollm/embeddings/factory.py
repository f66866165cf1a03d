"""From a section of the configuration to an embedder."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from mollm.config.keys import resolve_key
from mollm.config.variables import expand
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.config.config import Config
    from mollm.config.embeddings import EmbeddingsConfig
    from mollm.config.places import KeyPath
    from mollm.embeddings.base import Embedder


def build_embedder(section: EmbeddingsConfig, config: Config, key: KeyPath) -> Embedder:
    """Build the embedder of a section; no weights are read and nothing is opened yet.

    Embedders that packages carry are shared by all configurations of a process: their weights are read once.

    Args:
        section: Says which.
        config: The configuration that it stands in.
        key: Where it stands, for messages.

    Raises:
        ConfigError: It cannot be had; names the key, and the command that brings what is missing.
    """
    try:
        if section.kind == "openai":
            return _remote(section, config, key)
        if section.path is not None and section.kind == "python":
            from mollm.embeddings.own import named

            return named(section.path)
        if section.path is not None and section.kind == "sentence-transformers":
            return _sentence(section.path)
        return PACKAGED[section.kind]()
    except ConfigError as error:
        place = config.place(*key)
        raise ConfigError([p if p.startswith(place) else f"{place}: {p}" for p in error.problems]) from error


def _remote(section: EmbeddingsConfig, config: Config, key: KeyPath) -> Embedder:
    from mollm.embeddings.remote import RemoteEmbedder

    where = config.place(*key, "api_base")
    secret = section.api_key.get_secret_value() if section.api_key else ""
    api_key = resolve_key(secret, config.place(*key, "api_key"))
    try:
        address = expand(section.api_base or "", where, quote=str.strip)
        return RemoteEmbedder(section.model or "", api_base=address, api_key=api_key)
    except ValueError as error:
        raise ConfigError(f"{where}: the address {error}") from None


@lru_cache(1)
def _wordllama() -> Embedder:
    from mollm.embeddings.static import wordllama

    return wordllama()


@lru_cache(1)
def _minilm() -> Embedder:
    from mollm.embeddings.bert import minilm

    return minilm()


@lru_cache(1)
def _e5() -> Embedder:
    from mollm.embeddings.e5 import e5

    return e5()


@lru_cache(4)
def _sentence(path: str) -> Embedder:
    from mollm.embeddings.sentence import SentenceEmbedder

    return SentenceEmbedder(path)


PACKAGED: dict[str, Callable[[], Embedder]] = {"wordllama": _wordllama, "minilm": _minilm, "e5": _e5}
"""What packages carry."""
