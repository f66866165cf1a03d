"""The usage that a provider reports, by whatever names and in whatever form of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mollm.types import Usage

_PLAIN = ("prompt_tokens", "completion_tokens", "total_tokens")
"""All that most servers report."""
_PROMPT = ("prompt_tokens", "input_tokens")
_COMPLETION = ("completion_tokens", "output_tokens")
_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_COMPLETION_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_CACHED = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens", "num_cached_tokens")


def usage_of(reported: Any) -> Usage | None:
    """Read a usage; None where it does not say how many tokens were sent and how many written.

    Args:
        reported: In the form of OpenAI, DeepSeek, Anthropic or LangChain.
    """
    if type(reported) is dict and len(reported) == len(_PLAIN):
        counts: list[Any] = [reported.get(name) for name in _PLAIN]
        is_plain = all(type(count) is int and count >= 0 for count in counts)
        if is_plain and counts[2] == counts[0] + counts[1]:
            return Usage(counts[0], counts[1], counts[2])
    if not isinstance(reported, Mapping):
        return None
    prompt, completion = _first(reported, _PROMPT), _first(reported, _COMPLETION)
    total = _count(reported.get("total_tokens"))
    if total is not None:
        if prompt is None and completion is not None:
            prompt = max(0, total - completion)
        elif completion is None and prompt is not None:
            completion = max(0, total - prompt)
    if prompt is None or completion is None:
        return None
    cached = _detail(reported, _PROMPT_DETAILS, ("cached_tokens", "cache_read"))
    cached = _first(reported, _CACHED) if cached is None else cached
    reasoning = _detail(reported, _COMPLETION_DETAILS, ("reasoning_tokens", "reasoning"))
    reasoning = _count(reported.get("reasoning_tokens")) if reasoning is None else reasoning
    if "cache_read_input_tokens" in reported and "prompt_tokens" not in reported:
        # Anthropic counts what it read from and wrote to its cache beside the input.
        prompt += (cached or 0) + (_count(reported.get("cache_creation_input_tokens")) or 0)
    total = prompt + completion if total is None else max(total, prompt + completion)
    return Usage(prompt, completion, total, cached_tokens=cached or 0, reasoning_tokens=reasoning or 0)


# Loops and no generators: this runs for every call.


def _first(reported: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in reported and (count := _count(reported[name])) is not None:
            return count
    return None


def _detail(reported: Mapping[str, Any], holders: tuple[str, ...], names: tuple[str, ...]) -> int | None:
    for holder in holders:
        details = reported.get(holder)
        if details and isinstance(details, Mapping) and (count := _first(details, names)) is not None:
            return count
    return None


def _count(value: Any) -> int | None:
    """A number of tokens; some write it as text or with a fraction. None: it is none."""
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, str | float):
        try:
            number = float(value)
        except ValueError:
            return None
        return int(number) if math.isfinite(number) and number >= 0 else None
    return None
