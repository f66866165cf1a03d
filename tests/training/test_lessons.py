"""What ratings teach, and what a router that learned from them would have brought."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from mollm.training.data import Labelled
from mollm.training.lessons import divided, learned
from mollm.training.regret import DIFFERENT, FEWEST, RATED, estimated, mean_scores

if TYPE_CHECKING:
    from collections.abc import Mapping

KNOWN = Labelled(("Brakes?", "Naps?", "Bills?"), ("car", "sleep", "tax"))


@dataclass(frozen=True)
class Rated:
    """A rated answer."""

    question: str
    mixture: str
    score: float = 1.0
    probabilities: Mapping[str, float] = field(default_factory=dict)
    router: str = "learned"
    id: str = "a1"


def taught(*ratings: Rated) -> list[tuple[str, str]]:
    """Questions and mixtures that follow."""
    examples = learned(ratings, KNOWN).examples
    return list(zip(examples.texts, examples.labels, strict=True))


def test_a_good_rating_makes_an_example_of_its_mixture() -> None:
    """Also of one that the caller named; the answer's id is where it stands."""
    assert taught(Rated(" Oil? ", "car")) == [("Oil?", "car")]
    assert taught(Rated("Oil?", "car", router="caller")) == [("Oil?", "car")]
    assert learned([Rated("Oil?", "car", id="x9")], KNOWN).examples.places == ("answer x9",)


def test_a_bad_rating_speaks_for_what_the_router_held_likely_instead() -> None:
    """Only where that is one mixture by far; a rating does not say which is right."""
    clear = {"car": 0.5, "sleep": 0.45, "tax": 0.05}
    open_ = {"car": 0.5, "sleep": 0.3, "tax": 0.2}

    assert taught(Rated("Oil?", "car", -1, clear)) == [("Oil?", "sleep")]
    assert taught(Rated("Oil?", "car", -1, open_)) == []
    assert taught(Rated("Oil?", "car", -1, {"car": 1.0})) == []
    assert taught(Rated("Oil?", "car", -1, clear, router="caller")) == [], "whoever named it does not know the others"


def test_ratings_of_one_question_are_added_up() -> None:
    """Those that contradict each other leave it open, many outweigh one, and the order does not matter."""
    good, bad = Rated("Oil?", "car"), Rated("oil?", "car", -1, {"car": 1.0})
    other = Rated("OIL?", "tax")

    assert taught(good, bad) == []
    assert taught(good, other) == []
    assert taught(good, good, other) == taught(other, good, good) != []
    assert taught(Rated("Oil?", "car", 0.3)) == [], "too weak alone"
    assert taught(Rated("Oil?", "car", 0.3), Rated("Oil?", "car", 0.3)) == [("Oil?", "car")]


def test_what_is_known_stays_right() -> None:
    """Ratings do not overrule the data, do not name new mixtures, and say nothing without a question."""
    found = learned(
        [Rated("brakes?", "tax"), Rated("Oil?", "boats"), Rated(" ", "car"), Rated("Oil?", "car", 0.0)], KNOWN
    )

    assert found.examples.texts == ()
    assert (found.ratings, found.known, found.undecided) == (1, 1, 0)


def test_ratings_of_one_question_are_on_one_side() -> None:
    """So that none is measured on what it learned; the same seed divides alike."""
    ratings = [Rated(f"Question {number % 40}?", "car", id=str(number)) for number in range(80)]

    seen, held_out = divided(ratings, 0.25, seed=3)

    assert {r.question for r in seen}.isdisjoint(r.question for r in held_out)
    assert len(seen) + len(held_out) == 80
    assert 4 <= len(held_out) <= 36
    assert divided(ratings, 0.25, seed=3) == (seen, held_out)
    assert divided(ratings, 0.0, seed=3) == (ratings, [])


# --- regret


def ratings(count: int, mixture: str, score: float) -> list[Rated]:
    """Ratings of one mixture."""
    return [Rated(f"{mixture} {number}?", mixture, score) for number in range(count)]


def test_a_router_that_avoids_bad_answers_has_no_regret() -> None:
    """The estimate, by hand: ten of thirty questions go from -1 to the other mixture's mean of 0.8."""
    held_out = [*ratings(20, "car", 0.5), *ratings(10, "sleep", -1.0)]
    means = mean_scores([*ratings(RATED, "car", 0.8), *ratings(RATED - 1, "sleep", 1.0)])

    different, told, found = estimated(held_out, ["car"] * 30, [r.mixture for r in held_out], means, seed=0)

    assert (different, told) == (10, 10)
    assert found is not None
    assert found.current == pytest.approx(0.0)
    assert found.new == pytest.approx(0.6)
    assert found.regret == pytest.approx(-0.6)
    assert found.interval[0] < -0.6 < found.interval[1] < 0


def test_the_interval_covers_the_true_regret() -> None:
    """Of 60 routers whose true regret is 0.2, about 95 % of the intervals hold it."""
    import numpy as np

    generator = np.random.default_rng(5)
    covered = 0
    for round_ in range(60):
        logged = [Rated(f"{n}?", "car", float(generator.choice([-1.0, 1.0], p=[0.3, 0.7]))) for n in range(60)]
        _, _, found = estimated(logged, ["tax"] * 60, ["car"] * 60, {"tax": 0.2}, seed=round_)
        assert found is not None
        covered += found.interval[0] <= 0.4 - 0.2 <= found.interval[1]
    assert covered >= 52


def test_with_too_few_ratings_it_cannot_be_told() -> None:
    """Few in all, few where the routers differ, or none of the mixture that the new one picks."""
    enough = ratings(FEWEST + DIFFERENT, "car", 1.0)
    picks = ["car"] * FEWEST + ["tax"] * DIFFERENT
    logged = ["car"] * len(enough)

    assert estimated(enough, picks, logged, {"tax": 0.1}, 0)[2] is not None
    assert estimated(enough[6:], picks[6:], logged[6:], {"tax": 0.1}, 0)[2] is None
    assert estimated(enough, ["car", *picks[:-1]], logged, {"tax": 0.1}, 0)[2] is None
    assert estimated(enough, picks, logged, {}, 0)[:2] == (DIFFERENT, 0)
    assert estimated([], [], [], {}, 0) == (0, 0, None)
