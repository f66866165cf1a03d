"""What ratings of answers teach a router about their questions.

A question that was rated well belongs to the mixture that answered. One that was rated badly does not, and its other
mixtures are as likely as the router held them to be: no rating says which of them is right. The ratings of one question
are added up, and only one that then has a single mixture before it becomes an example.

Recorded probabilities are what the router believed, not how often it would have picked: it always takes the likeliest.
So they weigh mixtures against each other, and nothing is divided by them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mollm.training.checking import normalized
from mollm.training.data import Labelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BELIEVED = 0.5
"""What must speak for a mixture, and how much more than for the next: one rating of 0.5, or a bad one of a question of
which the router held the second mixture to be three times as likely as all others."""
CALLER = "caller"
"""`router` of a rating whose mixture was named in the request."""


class Rating(Protocol):
    """A rated answer; `mollm.feedback` has them."""

    @property
    def id(self) -> str:
        """Of the answer."""

    @property
    def question(self) -> str:
        """Text of the last message of the user."""

    @property
    def mixture(self) -> str:
        """The one that was picked."""

    @property
    def probabilities(self) -> Mapping[str, float]:
        """The router's, of each mixture."""

    @property
    def score(self) -> float:
        """-1 to 1."""

    @property
    def router(self) -> str:
        """What picked it; `caller` if it was named in the request."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """Examples that follow from ratings."""

    examples: Labelled
    ratings: int
    """How many there were of questions and mixtures that the router can learn."""
    undecided: int
    """Questions that the ratings leave open."""
    known: int
    """Questions that stand among the examples already, which decide."""


def learned(ratings: Iterable[Rating], examples: Labelled) -> Lessons:
    """Make examples of ratings, beside those that there are.

    Args:
        ratings: Of answers; those of other mixtures than the examples have teach nothing.
        examples: What is known already, and stays right whatever is rated.
    """
    labels = set(examples.mixtures)
    there = {normalized(text) for text in examples.texts}
    texts: dict[str, tuple[str, str]] = {}
    evidence: dict[str, dict[str, float]] = {}
    count = 0
    for rating in usable(ratings, labels):
        count += 1
        key = normalized(rating.question)
        spelled = (rating.question.strip(), rating.id)
        texts[key] = min(texts.get(key, spelled), spelled)  # whatever the order of the ratings
        found = evidence.setdefault(key, dict.fromkeys(sorted(labels), 0.0))
        for label, weight in _evidence(rating, labels).items():
            found[label] += weight
    found_for = {key: _decided(weights) for key, weights in evidence.items() if key not in there}
    decided = {key: label for key, label in found_for.items() if label is not None}
    keys = sorted(decided)
    known = len(evidence.keys() & there)
    return Lessons(
        Labelled(
            tuple(texts[key][0] for key in keys),
            tuple(decided[key] for key in keys),
            tuple(f"answer {texts[key][1]}" for key in keys),
        ),
        ratings=count,
        undecided=len(evidence) - known - len(keys),
        known=known,
    )


def usable(ratings: Iterable[Rating], labels: Iterable[str]) -> list[Rating]:
    """Those that have a question, say something, and are of one of the mixtures."""
    names = set(labels)
    return [rating for rating in ratings if rating.question.strip() and rating.score and rating.mixture in names]


def divided(ratings: Sequence[Rating], share: float, seed: int) -> tuple[list[Rating], list[Rating]]:
    """Divide ratings into those to learn from and those held out; all of one question are on one side.

    Args:
        ratings: The ratings.
        share: Of the questions that is held out, 0 to 1.
        seed: Another one holds out others.
    """

    def is_held_out(rating: Rating) -> bool:
        digest = hashlib.sha256(f"{seed} {normalized(rating.question)}".encode("utf-8", "replace")).digest()
        return int.from_bytes(digest[:8]) < share * 2.0**64

    return [r for r in ratings if not is_held_out(r)], [r for r in ratings if is_held_out(r)]


def joined(examples: Labelled, lessons: Lessons) -> Labelled:
    """Examples, and what ratings add to them."""
    more = lessons.examples
    places = examples.places or tuple(f"question {row + 1}" for row in range(len(examples.texts)))
    return Labelled(examples.texts + more.texts, examples.labels + more.labels, places + more.places, examples.warnings)


def _evidence(rating: Rating, labels: set[str]) -> dict[str, float]:
    """What a rating says for each mixture, -1 to 1."""
    if rating.score > 0:
        return {rating.mixture: rating.score}
    others = {label: max(0.0, rating.probabilities.get(label, 0.0)) for label in labels if label != rating.mixture}
    rest = sum(others.values())
    against = {rating.mixture: rating.score}
    # Of a mixture that the caller named, the router's opinion is not known.
    if not rest > 0 or rating.router == CALLER:
        return against
    return against | {label: -rating.score * share / rest for label, share in others.items()}


def _decided(evidence: Mapping[str, float]) -> str | None:
    best, second = sorted(evidence, key=lambda label: -evidence[label])[:2]
    leads = evidence[best] - max(0.0, evidence[second]) >= BELIEVED
    return best if leads else None
