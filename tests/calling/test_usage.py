"""The usage that providers report, in all their forms."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mollm.calling.usage import usage_of
from mollm.types import Usage


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}, Usage(7, 2, 9)),
        ({"prompt_tokens": 7, "completion_tokens": 2}, Usage(7, 2, 9)),
        ({"prompt_tokens": 7.0, "completion_tokens": "2"}, Usage(7, 2, 9)),
        ({"prompt_tokens": 7, "total_tokens": 9}, Usage(7, 2, 9)),
        ({"completion_tokens": 2, "total_tokens": 9}, Usage(7, 2, 9)),
        ({"input_tokens": 7, "output_tokens": 2}, Usage(7, 2, 9)),
        ({"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 3}, Usage(7, 2, 9)),
        ({"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 20}, Usage(7, 2, 20)),
        (
            {
                "prompt_tokens": 7,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            Usage(7, 2, 9, cached_tokens=5, reasoning_tokens=1),
        ),
        (
            {
                "prompt_tokens": 7,
                "completion_tokens": 2,
                "prompt_tokens_details": None,
                "completion_tokens_details": {},
            },
            Usage(7, 2, 9),
        ),
        (
            {"prompt_tokens": 7, "completion_tokens": 2, "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 2},
            Usage(7, 2, 9, cached_tokens=5),
        ),
        ({"prompt_tokens": 7, "completion_tokens": 2, "cached_tokens": 5}, Usage(7, 2, 9, cached_tokens=5)),
        (
            {"input_tokens": 2, "output_tokens": 2, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 1},
            Usage(7, 2, 9, cached_tokens=4),
        ),
        (
            {
                "input_tokens": 7,
                "output_tokens": 2,
                "total_tokens": 9,
                "input_token_details": {"cache_read": 5},
                "output_token_details": {"reasoning": 1},
            },
            Usage(7, 2, 9, cached_tokens=5, reasoning_tokens=1),
        ),
    ],
)
def test_a_usage_is_read(reported: dict[str, Any], usage: Usage) -> None:
    """OpenAI's form, DeepSeek's, Anthropic's, LangChain's; numbers as numbers or as text."""
    assert usage_of(reported) == usage


@pytest.mark.parametrize(
    "reported",
    [
        None,
        [],
        "7",
        {},
        {"total_tokens": 9},
        {"prompt_tokens": 7},
        {"prompt_tokens": True, "completion_tokens": 2},
        {"prompt_tokens": "many", "completion_tokens": 2},
        {"prompt_tokens": math.nan, "completion_tokens": 2},
        {"prompt_tokens": math.inf, "completion_tokens": 2},
        {"prompt_tokens": -1, "completion_tokens": 2},
    ],
)
def test_what_is_no_usage_is_none(reported: Any) -> None:
    """It is estimated then, and marked; a cost of nothing would be a lie."""
    assert usage_of(reported) is None


def test_parts_of_a_usage_are_summed() -> None:
    """As everything else of it."""
    one = Usage(7, 2, 9, cached_tokens=5, reasoning_tokens=1)
    assert one + one == Usage(14, 4, 18, cached_tokens=10, reasoning_tokens=2)
