"""What answers take: calls, tokens, money, time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.evaluation.metrics import Floats, Ints
    from mollm.evaluation.mixtures.records import Record


@dataclass(frozen=True, slots=True)
class Taken:
    """What the answers to n questions took."""

    values: Floats
    """Calls, tokens of prompt and of completion, USD (NaN where an LLM has no price), seconds; shape (n, 5)."""

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        """What recorded answers took."""
        # Where others have a price, one that failed without any cost nothing.
        failed = 0.0 if any(record.cost_usd is not None for record in records) else math.nan
        rows = [
            (r.calls, r.usage.prompt_tokens, r.usage.completion_tokens, _cost(r, failed), r.seconds) for r in records
        ]
        return cls(np.array(rows, dtype=float).reshape(len(rows), 5))

    @classmethod
    def beside(cls, all_taken: Sequence[Taken]) -> Self:
        """Several answers to each question, given side by side: what all of them take, in the time of the slowest."""
        values = np.stack([taken.values for taken in all_taken])
        return cls(np.concatenate([values[:, :, :4].sum(axis=0), values[:, :, 4:].max(axis=0)], axis=1))

    @classmethod
    def mean_of(cls, all_taken: Sequence[Taken]) -> Self:
        """One of several answers to each question, each as likely."""
        return cls(np.mean([taken.values for taken in all_taken], axis=0))

    @classmethod
    def picked(cls, all_taken: Sequence[Taken], picks: Ints) -> Self:
        """For each question the answer with this number."""
        return cls(np.stack([taken.values for taken in all_taken])[picks, np.arange(len(picks))])

    @property
    def means(self) -> tuple[float | None, float | None, float | None, float | None, float | None]:
        """Per question, of which there is at least one, in the order of `values`; None for a cost that is not known."""
        calls, prompt, completion, usd, seconds = self.values.mean(axis=0).tolist()
        return calls, prompt, completion, None if math.isnan(usd) else usd, seconds

    def ratio_to(self, other: Taken) -> tuple[float | None, Literal["cost", "tokens", "calls"]]:
        """How many times as much this takes as another: money, tokens where prices are lacking, else calls."""
        calls, prompt, completion, usd, _ = self.values.mean(axis=0).tolist()
        other_calls, other_prompt, other_completion, other_usd, _ = other.values.mean(axis=0).tolist()
        if usd > 0 and other_usd > 0:
            return usd / other_usd, "cost"
        if prompt + completion > 0 and other_prompt + other_completion > 0:
            return (prompt + completion) / (other_prompt + other_completion), "tokens"
        return (calls / other_calls if other_calls > 0 else None), "calls"


def _cost(record: Record, failed: float) -> float:
    """A mixture's cost is summed over those LLMs that have prices: without one of them it is not known."""
    if any(proposal.error is None and proposal.cost_usd is None for proposal in record.proposals):
        return math.nan
    if record.cost_usd is None:
        return failed if record.error is not None else math.nan
    return record.cost_usd
