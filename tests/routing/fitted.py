"""Examples of two subjects, and what makes two scorers equal."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from mollm.routing.learned import LearnedScorer
from mollm.routing.models import NgramModel

EXAMPLES = {
    "car": [
        "My car does not start in the morning.",
        "How do I change a tyre?",
        "Why do my brakes squeak?",
        "Which oil does the engine need?",
        "The car battery is dead.",
        "How often do I change the oil of my car?",
    ],
    "sleep": [
        "Why can't I sleep at night?",
        "How long should a nap be?",
        "What helps against snoring?",
        "I wake up tired every morning.",
        "How many hours of sleep does a child need?",
        "Why do I have nightmares when I sleep?",
    ],
    "general": ["Hello there!", "Who was Napoleon?", "How do I bake bread?", "What is the capital of Peru?"],
}


def same(one: LearnedScorer, other: LearnedScorer) -> bool:
    """Whether two scorers are equal to the last bit."""
    for field in fields(LearnedScorer):
        if field.name != "model" and getattr(one, field.name) != getattr(other, field.name):
            return False
    ours, theirs = one.model.arrays(), other.model.arrays()
    return ours.keys() == theirs.keys() and all(
        np.array_equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in ours
    )


def ngrams_of(scorer: LearnedScorer) -> NgramModel:
    """The model of a scorer that was fitted on n-grams."""
    assert isinstance(scorer.model, NgramModel)
    return scorer.model
