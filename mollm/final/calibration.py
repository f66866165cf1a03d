"""How probable it is that the answer which leads is right, given who said it and how many were asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of a proposal that arrived, as far as it bears on whether its answer is right."""

    worker: str
    """Name of the worker."""
    final: str | None
    """Its final answer in canonical form."""
    logprob: float | None = None
    """Mean log-probability of its tokens, 0 or less; None if the provider gave none."""
    length: int = 0
    """Characters of its text."""
