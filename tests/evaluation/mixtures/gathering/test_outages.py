"""An LLM that is away for a while: it is waited for, asked again, and what was lost meanwhile counts for nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.cli.gathering import notes_of_outages
from mollm.errors import RunError
from mollm.evaluation.mixtures.gathering.asking import Asker
from mollm.evaluation.mixtures.gathering.ceiling import Ceiling
from mollm.evaluation.mixtures.gathering.gather import Gathering, gather
from mollm.evaluation.mixtures.gathering.journal import Journal
from tests.evaluation.mixtures.gathering.test_gather import described, over_http, row
from tests.upstream import Upstream, error
from tests.upstream import answer as reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mollm.evaluation.mixtures.gathering.gather import Found
    from mollm.evaluation.mixtures.rows import Row
    from tests.upstream import Received, Reply

AWAY = 0.6
"""Seconds of an outage; a breaker here tries again after a quarter of that."""


class Away:
    """A server whose LLMs do not answer for a while, from some call on."""

    def __init__(self, llms: str, after: int, seconds: float = AWAY, status: int = 503) -> None:
        self.llms, self.left, self.seconds, self.status = llms, after, seconds, status
        self.until: float | None = None
        self.asked: dict[str, int] = {}

    def __call__(self, received: Received) -> Reply:
        if received.method != "POST":
            return error(404)
        name = received.body["model"]
        self.asked[name] = self.asked.get(name, 0) + 1
        if name in self.llms:
            self.left -= 1
            if self.left < 0 and self.until is None:
                self.until = time.monotonic() + self.seconds
            if self.until is not None and time.monotonic() < self.until:
                return error(self.status)
        number = received.body["messages"][-1]["content"].split()[2]
        return reply(f"The answer is {number}.")


async def evaluated(
    away: Callable[[Received], Reply],
    rows: Sequence[Row],
    *,
    mixture: dict[str, Any] | None = None,
    journal: Journal | None = None,
    ceiling: Ceiling | None = None,
    patience: float = 20.0,
    concurrency: int = 8,
    retries: int = 0,
) -> tuple[Found, Asker]:
    """Ask a team of a server."""
    async with Upstream() as upstream:
        upstream.reply_to = away
        config = over_http(upstream, described({"team": mixture or {"workers": ["a", "b"]}}))
        for llm in config["llms"].values():
            llm["retries"] = retries
        async with MoLLM(config) as mollm:
            for llm in mollm.catalog.llms.values():
                for address in llm.addresses:
                    address.breaker.open_seconds = AWAY / 4
            asker = Asker(mollm, journal or Journal(), ceiling or Ceiling(), patience)
            return await gather(asker, Gathering(rows, ("team",), concurrency=concurrency)), asker


def wrong(found: Found) -> int:
    """How many answers are not what the server says where it answers."""
    (one,) = found.gathered
    columns = (one.answers, *one.alone.values())
    return sum(record.final != record.id or bool(record.unavailable) for column in columns for record in column)


@pytest.mark.parametrize("concurrency", [1, 8, 40])
@pytest.mark.parametrize(("llms", "status"), [("b", 503), ("ab", 429)])
async def test_an_outage_in_the_middle_leaves_no_wrong_mark(llms: str, status: int, concurrency: int) -> None:
    """Of one LLM or of all, however many are asked at once; what was asked again is told, and is little."""
    away = Away(llms, 30, status=status)
    rows = [row(number) for number in range(100)]

    found, asker = await evaluated(away, rows, concurrency=concurrency)

    assert away.until is not None
    assert wrong(found) == 0
    again = {question for questions in asker.again.values() for question in questions}
    assert 1 <= len(again) <= concurrency + 8
    assert sum(away.asked.values()) <= 2 * (100 + 2 * (concurrency + 8))
    notes = list(notes_of_outages(asker))
    assert any(f"asked again, since {llms[-1]} was not reached or not called the first time" in note for note in notes)
