"""The router without a choice."""

from __future__ import annotations

from mollm.calling.calls import Calls
from mollm.routing.base import Router
from mollm.routing.fixed import FixedRouter
from tests.routing.asked import question


async def test_every_question_goes_to_the_one_mixture() -> None:
    """Whatever is asked, the mixture is the one that was named, with probability 1."""
    router = FixedRouter("general")

    for query in ("How do I sort a list?", "", "\U0001f600" * 10_000):
        route = await router.route(question(query), Calls({}))

        assert route.mixture == "general"
        assert route.probabilities == {"general": 1.0}
        assert route.router == "fixed"
        assert "general" in route.reason


def test_it_is_a_router() -> None:
    """It satisfies the interface of all routers."""
    assert isinstance(FixedRouter("general"), Router)
