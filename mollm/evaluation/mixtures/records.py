"""What came of asking: by the mixture, and by each of its members alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.evaluation.mixtures.rows import Row
    from mollm.types import Proposal


@dataclass(frozen=True, slots=True)
class Record:
    """What came of one question, asked of a mixture or of one LLM."""

    id: str
    """Of the question."""
    text: str
    """Of the answer; empty if `error` is set."""
    final: str | None = None
    """The final answer in the text, in canonical form."""
    error: str | None = None
    """How it failed, in words; None if it was answered."""
    calls: int = 1
    usage: Usage = Usage()
    cost_usd: float | None = None
    seconds: float = 0.0
    logprob: float | None = None
    """Of a member: the mean log-probability of its tokens; None if the provider gave none."""
    agreement: float | None = None
    confidence: float | None = None
    degraded: tuple[str, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    """Of a mixture; empty for a member."""
    unavailable: tuple[str, ...] = ()
    """LLMs of which a call failed, or was not made, in a way that says nothing of what they know."""
    route: str | None = None
    """The mixture that was picked, where the router was asked."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What came of one mixture and of its members on n questions; every tuple of records is in the order of `rows`."""

    mixture: str
    rows: tuple[Row, ...]
    answers: tuple[Record, ...]
    """Of the mixture, as it is served."""
    alone: Mapping[str, tuple[Record, ...]]
    """Of each member alone, by the name of the worker, in listed order; samples of one LLM are one member."""
    readers: Mapping[str, tuple[Record, ...]] = field(default_factory=dict)
    """As many of each LLM alone that reads proposals and is no worker, such as the one that aggregates."""
    itself: tuple[Record, ...] = ()
    """Of the self-mixture: the best member, asked as often as the mixture has workers. Empty if it was not asked."""
    why_not_itself: str | None = None
    """Why there is no self-mixture."""
    digest: str = ""
    """Of the mixture's members and rules: tells whether a report is about the mixture of a configuration."""
    unasked: Mapping[str, str] = field(default_factory=dict)
    """Questions that were not asked of all, by id, and why: a ceiling was reached, or a recording lacks them."""

    @property
    def members(self) -> dict[str, tuple[Record, ...]]:
        """Of everybody who might answer in place of the mixture: each worker, and each LLM that reads what they say."""
        return {**self.alone, **self.readers}
