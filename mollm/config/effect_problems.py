"""Keys of a mixture that would have no effect where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.config.problem import MIXTURES, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.config.mixtures import MixtureConfig
    from mollm.config.places import KeyPath


NEEDS_VECTORS = "needs `embeddings`, which says where the vectors of texts come from"


def effect_problems(name: str, mixture: MixtureConfig) -> Iterator[Problem]:
    """Find the keys that could be left out without a change."""
    key: KeyPath = (*MIXTURES, name)
    if mixture.grace is not None and (text := _why_no_grace(mixture)):
        fields = ("grace", "workers", "enough", "ask_first", "agree", "widen", "widen_after")
        yield Problem((*key, "grace"), f"has no effect: {text}", [(*key, field) for field in fields])
    if mixture.alike is not None and mixture.is_bypass:
        alike: KeyPath = (*key, "alike")
        yield Problem(alike, "has no effect on a single proposal", [alike, (*key, "workers")])
    if mixture.aggregator.guard != "none" and (text := _why_no_guard(mixture)):
        aggregator: KeyPath = (*key, "aggregator")
        read = [(*aggregator, "method"), (*aggregator, "llm"), (*key, "workers"), (*key, "enough"), (*key, "grace")]
        yield Problem((*aggregator, "guard"), f"has no effect: {text}", [(*aggregator, "guard"), *read])


def _why_no_guard(mixture: MixtureConfig) -> str | None:
    """Say why no LLM ever writes an answer from proposals that agree; None if one may."""
    aggregator = mixture.aggregator
    if mixture.awaited == 1:
        return "there is only one proposal, and at least two have to agree"
    if aggregator.method == "best" or (aggregator.method == "vote" and aggregator.llm is None):
        return f"the answer of {aggregator.method!r} is a proposal, word for word"
    return None


def _why_no_grace(mixture: MixtureConfig) -> str | None:
    """Say why no call can still be running when enough have arrived; None if one can."""
    planned, enough = mixture.planned, mixture.enough
    if enough is None or enough >= planned:
        return "`enough` is unset" if enough is None else "`enough` are all that are planned"
    first = planned if mixture.ask_first == "all" else mixture.ask_first
    widen = planned if mixture.widen == "all" else mixture.widen
    # One that fails is replaced, so with those that arrived as many run as were started on purpose. Only a further
    # start that leads past `enough` leaves some running; open text, on which nobody can agree, starts all the rest.
    if first > enough or mixture.widen_after is not None or (mixture.agree and first < enough):
        return None
    if (enough - first) % widen:
        return None
    return f"no more than `enough` ({enough}) are asked unless one fails or hangs"
