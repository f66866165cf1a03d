"""What agreed proposals are kept against where the caller asks for JSON, and while others read along."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from mollm.aggregation.aggregate import aggregate
from mollm.aggregation.base import Brief
from mollm.calling.calls import Calls
from mollm.events import Token
from mollm.formats import value_of
from mollm.options import Settings
from mollm.types import Proposal
from tests.aggregation.test_keeping import KEEPING, Heard, Making, proposals, written

if TYPE_CHECKING:
    from mollm.aggregation.base import Aggregator, Result

OBJECT = Settings(response_format={"type": "json_object"})


def made(aggregator: Aggregator, given: list[Proposal], **changes: Any) -> tuple[str, list[str], tuple[str, ...]]:
    """The answer, what was shown of it, and why it is not as planned."""
    heard = Heard()
    brief = Brief([], given, observer=heard, confidence=0.95, planned=len(given), **changes)
    answer = asyncio.run(aggregate(aggregator, brief, Calls({}), keeping=KEEPING))
    return answer.message["content"], heard.shown, answer.degraded


@pytest.mark.parametrize("text", ['{"answer": 42}', '{"answer": 7}'])
def test_words_do_not_take_the_place_of_json_that_was_asked_for(text: str) -> None:
    """They could not be the answer; so nothing has to wait for the whole answer either."""
    aggregator = Making(written(text))

    found, shown, degraded = made(aggregator, proposals("Answer: 42", "It is 42.", "Answer: 5"), caller=OBJECT)

    assert (found, shown, degraded) == (text, [], ())
    made(aggregator, proposals("Answer: 42", "It is 42.", "Answer: 5"), caller=OBJECT, streams=True)
    assert aggregator.streamed == [False, True]


def test_json_that_nobody_asked_workers_for_is_read_by_the_answer_that_it_names() -> None:
    """Another explanation is no contradiction."""
    given = proposals('{"answer": 42, "why": "so"}', '{"answer": 42}', '{"answer": 5}')

    agrees = made(Making(written('{"answer": 42, "unit": null}')), given, caller=OBJECT)
    contradicts = made(Making(written('{"answer": 7}')), given, caller=OBJECT)

    assert agrees[0] == '{"answer": 42, "unit": null}'
    assert contradicts[0] == given[0].text
    assert "contradicts 2 of 3 proposals" in contradicts[2][0]


def test_json_that_workers_were_asked_for_is_read_as_a_whole() -> None:
    """As it is counted."""
    texts = ('{"x": 1, "y": 2}', '{"y": 2, "x": 1}', '{"x": 3, "y": 2}')
    given = [Proposal(name, name, 1, text, value_of(text)) for name, text in zip("abc", texts, strict=True)]

    assert made(Making(written('{"y":2,"x":1}')), given, caller=OBJECT)[2] == ()
    assert made(Making(written(texts[2])), given, caller=OBJECT)[0] == texts[0]


@dataclass
class Showing:
    """An aggregator of somebody's own that shows what it writes, whether it may or not."""

    async def aggregate(self, brief: Brief, _: Calls) -> Result:
        """Write something else than they say."""
        await brief.observer.show(Token("Answer: 7", {"content": "Answer: 7"}))
        return written("Answer: 7")


def test_an_aggregator_that_shows_unasked_shows_nothing_that_is_taken_back() -> None:
    """Nobody may read what is not the answer."""
    found, shown, _ = made(Showing(), proposals("Answer: 42", "It is 42.", "Answer: 5"), streams=True)

    assert (found, shown) == ("Answer: 42", ["Answer: 42"])
