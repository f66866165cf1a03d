"""The threshold that leaves a wanted share of recent questions in doubt."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm import MoLLM, load_config
from mollm.errors import ConfigError
from mollm.routing.decision import Decision, ScoringRouter
from mollm.routing.recent import LEAST, Recent, moved
from mollm.routing.registry import build_router
from tests.fuzz import cases

weights = st.floats(0.0, 1.0)


@settings(max_examples=cases(60))
@given(
    noted=st.lists(weights, min_size=LEAST, max_size=90),
    rate=st.floats(0.02, 0.9),
    bounds=st.tuples(weights, weights).map(lambda two: (min(two), max(two))),
    most=st.integers(LEAST, 70),
)
def test_it_leaves_at_most_the_wanted_share_in_doubt(
    noted: list[float], rate: float, bounds: tuple[float, float], most: int
) -> None:
    """Of the last questions, whatever came before them; and it is the highest such threshold within the bounds."""
    recent = Recent(rate, bounds, most)
    for weight in noted:
        recent.note(weight)
    last = sorted(noted[-most:])
    threshold = recent.threshold()

    assert len(recent) == len(last)
    if threshold is None:
        assert len(last) < recent.enough
        return
    assert bounds[0] <= threshold <= bounds[1]
    assert threshold == bounds[0] or sum(weight < threshold for weight in last) <= rate * len(last)
    assert threshold == bounds[1] or sum(weight <= threshold for weight in last) > rate * len(last)


def test_nothing_is_moved_before_enough_questions_were_seen() -> None:
    """The threshold that was set stays, with its reason; after that the reason says what set it."""
    recent, decision = Recent(0.5, (0.0, 1.0), LEAST), Decision("general", 0.9)
    for number in range(LEAST - 1):
        recent.note(number / LEAST)
    before = recent.applied(decision)
    recent.note(1.0)

    assert before == decision
    assert recent.applied(decision).threshold == 25 / LEAST
    assert recent.applied(decision).why == " (50 recent questions set it)"


def test_threads_lose_nothing() -> None:
    """What several note at once is all there."""
    recent = Recent(0.1, (0.0, 1.0), 1000)

    def note() -> None:
        for _ in range(200):
            recent.note(0.5)

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(recent) == 800
    assert recent.threshold() == 0.5


@pytest.mark.parametrize(
    ("rate", "bounds", "most"), [(0.0, (0, 1), 50), (0.1, (0.6, 0.5), 50), (0.1, (0, 1.1), 50), (0.1, (0, 1), 49)]
)
def test_what_cannot_be_kept_is_refused(rate: float, bounds: tuple[float, float], most: int) -> None:
    """A share of nothing, bounds that are none, and too few questions."""
    with pytest.raises(ConfigError, match="no threshold can be moved"):
        Recent(rate, bounds, most)


SHARES = {"value": 0.0}


def by_share(_: Any) -> dict[str, float]:
    """Find one mixture as likely as the test says."""
    return {"car": SHARES["value"]}


CONFIG: dict[str, Any] = {
    "llms": {"a": {"model": "scripted/x"}},
    "mixtures": {"car": {"description": "Cars.", "workers": ["a"]}, "general": {"description": "x", "workers": ["a"]}},
    "router": {"kind": "python", "path": f"{__name__}:by_share", "threshold": 0.6, "fallback_rate": 0.2, "recent": 60},
}


def test_the_router_of_a_file_moves_its_threshold() -> None:
    """A fifth of the questions falls to the fallback, and the reason names the threshold and where it comes from."""
    with MoLLM(CONFIG) as mollm:
        sure = []
        for number in range(120):
            SHARES["value"] = 0.5 + 0.3 * ((number * 37) % 60) / 60
            route = mollm.route("Hi")
            sure.append(route.is_sure)
        SHARES["value"] = 0.51
        reason = mollm.route("Hi").reason
        mollm.use(CONFIG)
        fresh = mollm.route("Hi").reason

    assert 0.25 < sure[:50].count(False) / 50 < 0.4, "the threshold of the file leaves a third in doubt"
    assert 0.15 < sure[60:].count(False) / 60 < 0.25
    assert "0.51 is below the threshold 0.56 (60 recent questions set it)" in reason
    assert "below the threshold 0.60," in fresh, "a configuration that is put in force begins anew"


def test_the_bounds_hold() -> None:
    """However unsure the questions are."""
    router = build_router(load_config({**CONFIG, "router": {**CONFIG["router"], "bounds": [0.55, 0.58]}}))
    recent = getattr(router, "recent", None)

    assert isinstance(recent, Recent)
    for _ in range(60):
        recent.note(0.1)
    assert recent.threshold() == 0.55
    assert not isinstance(router, ScoringRouter), "a function decides by it as a scorer does"


def test_thresholds_that_move_are_told_with_their_place() -> None:
    """Also those of a chain's members, once enough was asked."""
    member = {**CONFIG["router"], "recent": 50}
    with MoLLM({**CONFIG, "router": {"kind": "chain", "members": [member]}}) as mollm:
        before = mollm.catalog.thresholds()
        SHARES["value"] = 0.5
        for _ in range(LEAST):
            mollm.route("Hi")

        assert before == {}
        assert mollm.catalog.thresholds() == {"router.members[0]": 0.5}
        assert dict(moved(mollm.catalog.router)) == mollm.catalog.thresholds()
