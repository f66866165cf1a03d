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


@pytest.mark.parametrize(("llms", "status", "concurrency"), [("b", 503, 8), ("ab", 429, 40), ("ab", 503, 1)])
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
    assert any(
        f"asked again: a call to {llms[-1]} had failed by an outage, or was not made for one" in note for note in notes
    )


async def test_one_that_is_down_at_the_beginning_and_answers_later_is_asked_what_it_missed() -> None:
    """Nobody waits for who has never answered; when it does answer, its questions come again at the end."""
    away = Away("b", 0, seconds=0.1)

    found, asker = await evaluated(away, [row(number) for number in range(250)], concurrency=2)

    assert wrong(found) == 0
    assert list(asker.again) == ["b"]


@pytest.mark.parametrize("after", [0, 20])
async def test_one_that_never_comes_back_is_named_and_asked_a_few_times_only(after: int) -> None:
    """Its failures stand, those of others do not, and what it answered before counts."""
    away = Away("b", after, seconds=1e6)
    rows = [row(number) for number in range(100)]

    begun = time.monotonic()
    found, asker = await evaluated(away, rows, patience=1.5)

    assert time.monotonic() - begun < 10
    (one,) = found.gathered
    assert [record.final for record in one.answers] == [record.final for record in one.alone["a"]]
    assert sum(record.error is None for record in one.alone["b"]) == after
    assert away.asked["b"] < after + 60
    assert away.asked["a"] <= 100 + 10
    assert {llm for llm, _ in asker.failures} == {"b"}
    assert any("HTTP 503" in why for _, why in asker.failures)


async def test_all_that_never_come_back_end_it_when_they_have_been_waited_for() -> None:
    """With the cause; those who never answered are not waited for at all."""
    rows = [row(number) for number in range(100)]
    for after, patience, least in ((0, 1e6, 0.0), (20, 1.0, 0.9)):
        away = Away("ab", after, seconds=1e6)
        begun = time.monotonic()
        with pytest.raises(RunError, match=r"given up: 25 questions in a row were answered by nobody; the last: "):
            await evaluated(away, rows, patience=patience)
        assert least <= time.monotonic() - begun < 10
        assert sum(away.asked.values()) < after + 60


async def test_a_question_that_breaks_the_server_is_asked_once_more_and_has_failed_then() -> None:
    """While others are answered it is no outage."""
    asked = 0

    def breaks(received: Received) -> Reply:
        nonlocal asked
        if received.method == "POST" and received.body["model"] == "b" and " 7 " in str(received.body["messages"]):
            asked += 1
            return error(500)
        return good(received)

    good = Away("", 0)
    found, asker = await evaluated(breaks, [row(number) for number in range(20)], concurrency=1, patience=2.0)

    (one,) = found.gathered
    assert [record.id for record in one.alone["b"] if record.error is not None] == ["7"]
    assert 2 <= asked <= 4
    assert dict(asker.again) == {"b": {"7"}}


@pytest.mark.parametrize("status", [503, 401, 429])
async def test_going_on_asks_what_an_outage_has_cost_and_only_that(tmp_path: Path, status: int) -> None:
    """Also where the mixture had an answer without the LLM that was away, or whose key was wrong; not at once."""
    rows = [row(number) for number in range(100)]
    asked = []
    for left in (20, 0, 1000):
        journal = Journal.open(tmp_path / "j.jsonl", "q", "m")
        away = Away("b", left, seconds=1e6, status=status)
        found, _ = await evaluated(away, rows, journal=journal, patience=0.0)
        journal.close()
        asked.append(away.asked.get("a", 0))

    assert 100 <= asked[0] <= 110
    assert asked[1] <= 10
    assert asked[2] == 80
    assert wrong(found) == 0


async def test_an_aggregator_that_was_away_is_asked_again() -> None:
    """The mixture did answer, by another rule than it has."""
    away = Away("c", 20)
    mixture = {"workers": ["a", "b"], "aggregator": {"method": "synthesize", "llm": "c"}}

    found, asker = await evaluated(away, [row(number) for number in range(60)], mixture=mixture)

    assert wrong(found) == 0
    assert not any(record.degraded for record in found.gathered[0].answers)
    assert list(asker.again) == ["c"]


@pytest.mark.parametrize("most", [150, 201])
async def test_what_is_asked_again_keeps_to_the_ceiling(most: int) -> None:
    """To the call; what it does not allow stays as it was."""
    away = Away("b", 30)
    ceiling = Ceiling(most)

    found, _ = await evaluated(away, [row(number) for number in range(100)], ceiling=ceiling)

    assert sum(away.asked.values()) <= most
    assert ceiling.calls <= most
    assert found.reached is not None


async def test_a_retry_counts_as_a_call() -> None:
    """A ceiling is one of requests: what is tried again leaves less for the questions that follow."""
    away = Away("a", 3, seconds=0.05)
    rows = [row(number) for number in range(30)]
    ceiling = Ceiling(20)

    found, _ = await evaluated(away, rows, mixture={"workers": ["a"]}, ceiling=ceiling, concurrency=1, retries=2)

    assert ceiling.retries >= 1
    assert away.asked["a"] == ceiling.calls + ceiling.retries == 20
    assert "among them) was reached" in (found.reached or "")
