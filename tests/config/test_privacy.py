"""What is wrong about `privacy`, by its place, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from mollm.config.load import load_config
from mollm.config.problems import warnings
from mollm.errors import ConfigError

REMOTE = {"model": "openai/gpt"}


def config(privacy: Any, **llm: Any) -> dict[str, Any]:
    """One LLM alone."""
    return {
        "llms": {"a": {"model": "scripted/x", **llm}},
        "mixtures": {"m": {"description": "d", "workers": ["a"]}},
        **({} if privacy is None else {"privacy": privacy}),
    }


@pytest.mark.parametrize(
    ("privacy", "said"),
    [
        ({}, r"privacy\.mask: is required"),
        ({"mask": []}, r"privacy\.mask: must be one or more of email, phone, card, iban, key, ip"),
        ({"mask": ["emial"]}, r"privacy\.mask: nothing of the kind 'emial' .* did you mean 'email'\?"),
        ({"mask": ["name"]}, r"privacy\.mask: nothing of the kind 'name' can be recognized"),
        ({"mask": ["key", "key"]}, r"privacy\.mask: 'key' stands here twice"),
        ({"mask": "email", "four": "all"}, r"privacy\.four: unknown key; did you mean 'for'\?"),
        ({"mask": "email", "for": "local"}, r"privacy\.for: must be 'remote' or 'all'"),
        ({"mask": "email", "region": "DE"}, r"privacy\.region: has no effect, since `phone` is not masked"),
        (
            {"mask": "phone", "region": "Germany"},
            r"privacy\.region: must be a country in two capital letters, as in `DE`",
        ),
        (True, r"privacy: must be a mapping of: mask, for, region"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_place(privacy: Any, said: str) -> None:
    """Whatever has no effect, and what nobody recognizes."""
    with pytest.raises(ConfigError, match=said):
        load_config(config(privacy))


@pytest.mark.parametrize("privacy", [None, {"mask": "email"}, {"mask": "email", "for": "all"}])
def test_an_llm_is_private_only_for_what_is_masked_for_the_others(privacy: Any) -> None:
    """Where every LLM reads the same, it says nothing."""
    with pytest.raises(ConfigError, match=r"llms\.a\.private: has no effect without `privacy` for `remote`"):
        load_config(config(privacy, private=True))


def test_it_is_told_where_nobody_reads_placeholders() -> None:
    """All LLMs are private, and those alone are exempt."""
    told = [*warnings(load_config(config({"mask": "email", "for": "remote"})))]
    assert any("privacy.for: nothing is masked for anybody, since every LLM is private" in text for text in told)

    for privacy, llm in (({"mask": "email"}, {}), ({"mask": "email", "for": "remote"}, {"private": False})):
        assert not any("privacy" in text for text in warnings(load_config(config(privacy, **llm))))
