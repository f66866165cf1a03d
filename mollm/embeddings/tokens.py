"""Texts as tokens: the one place that reads what the library tokenizers wrote."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from mollm.errors import missing


def check_installed(extra: str, who: str) -> None:
    """See that the library, which `who` needs, is there. Raises `ConfigError` with the command that brings `extra`."""
    if find_spec("tokenizers") is None:
        raise missing(extra, f"{who}: the library tokenizers, which splits texts into tokens, is not installed")


def read_tokenizer(content: str, name: str, most: int | None = None) -> Any:
    """Read what splits texts into tokens, set to no padding.

    Args:
        content: Of its file.
        name: Of its file, for the error.
        most: Tokens of a text; what follows is cut off. None: all of them.

    Raises:
        ValueError: The file holds no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # the library raises no other kind
        raise ValueError(f"{name}: {error}") from error
    tokenizer.no_padding()
    if most is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(most)
    return tokenizer
