"""Digests that tell whether what was measured of a mixture is still about it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from mollm.config.config import Config
    from mollm.config.mixtures import MixtureConfig

SAMPLING = ("model", "max_tokens", "temperature", "top_p", "stop", "seed")
"""Keys of an LLM that bear on what it says; its address, key and price do not."""


def members_digest(config: Config, section: MixtureConfig) -> str:
    """A digest of who answers: the LLMs, their prompts and sampling settings, in listed order."""
    return _digest(_members(config, section))


def mixture_digest(config: Config, section: MixtureConfig) -> str:
    """A digest of who answers, by which rules, and how the answer is made of the proposals."""
    # Without defaults: a key that a later version brings says nothing about what was measured before.
    plain = section.model_dump(
        mode="json", exclude={"workers", "description", "examples", "arms"}, exclude_defaults=True
    )
    writers = [_sampling(config, name) for name in section.llms if name in config.llms]
    return _digest([_members(config, section), plain, writers])


def _members(config: Config, section: MixtureConfig) -> list[Any]:
    return [
        [worker.model_dump(mode="json", exclude_defaults=True), _sampling(config, worker.llm)]
        for worker in section.listed
    ]


def _sampling(config: Config, llm: str) -> dict[str, Any]:
    return config.llms[llm].model_dump(mode="json", include=set(SAMPLING)) if llm in config.llms else {}


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
