"""A router that learns from ratings as well, and is compared with the one in force before anybody goes over to it."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mollm.errors import ConfigError
from mollm.routing import versions
from mollm.routing.learned import LearnedScorer
from mollm.training.lessons import CALLER, divided, joined, learned, usable
from mollm.training.methods import fitted, quiet
from mollm.training.regret import Regret, estimated, mean_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.training.data import Labelled
    from mollm.training.lessons import Lessons, Rating
    from mollm.training.methods import Step, Training


def updated(
    data: Labelled, ratings: Sequence[Rating], how: Training, out: Path, step: Step = quiet
) -> tuple[Lessons, Regret]:
    """Find what ratings teach beside the data, and what that would change.

    The comparison is made by a router that has not learned from the ratings that it is made on.

    Args:
        data: What is known without ratings.
        ratings: Of answers, in any order.
        how: As the router is trained.
        out: Folder of the versions.
        step: Is told of the progress.

    Raises:
        ConfigError: There is nothing to learn, or the method cannot be had here.
    """
    ratings = sorted(usable(ratings, data.mixtures), key=lambda rating: rating.id)
    if not ratings:
        raise ConfigError(
            "no answer is rated that one of these mixtures gave to a question, so there is nothing to learn"
        )
    everything = learned(ratings, data)
    seen, held_out = divided(ratings, how.held_out, how.seed)
    held_out = [rating for rating in held_out if rating.router != CALLER]
    against, current = "", [rating.mixture for rating in held_out]
    new = current
    if held_out:
        comparing = step(f"{how.method}: comparing on {len(held_out):,} ratings")
        with comparing as tell, tempfile.TemporaryDirectory() as folder:
            scorer = fitted(joined(data, learned(seen, data)), how, how.method, Path(folder), tell)
            new = _picks(scorer, held_out)
            against, in_force = _in_force(out, how)
            current = current if in_force is None else _picks(in_force, held_out)
    different, told, estimate = estimated(held_out, new, current, mean_scores(seen), how.seed)
    regret = Regret(
        against=against,
        learned=len(everything.examples.texts),
        ratings=everything.ratings,
        undecided=everything.undecided,
        known=everything.known,
        held_out=len(held_out),
        different=different,
        told=told,
        estimate=estimate,
        answers=tuple(rating.id for rating in ratings),
    )
    return everything, regret


def _in_force(out: Path, how: Training) -> tuple[str, LearnedScorer | None]:
    """The version in force and its router; none if there is none that can be used."""
    with suppress(ConfigError):
        version = versions.current(out)
        if version is not None:
            return version, LearnedScorer.load(out, embedder=how.embedder)
    return "", None


def _picks(scorer: LearnedScorer, ratings: Sequence[Rating]) -> list[str]:
    decision = scorer.decision()
    scores = scorer.scores_of([rating.question for rating in ratings])
    return [decision.decide(one, scorer.kind).mixture for one in scores]
