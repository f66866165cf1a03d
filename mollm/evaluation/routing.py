"""How often a router is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.routing.learned import LearnedScorer


def accuracy(scorer: LearnedScorer, texts: Sequence[str], labels: Sequence[str]) -> float:
    """Share of questions, 0 to 1, whose likeliest mixture is the right one; thresholds play no part."""
    right = sum(scorer.scores(text).pick == label for text, label in zip(texts, labels, strict=True))
    return right / len(texts)
