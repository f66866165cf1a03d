"""No regression: what proposals agree on is not lost to an aggregator that says otherwise."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM, load_config
from mollm.aggregation.aggregate import aggregate
from mollm.aggregation.base import Brief, Picked, voted
from mollm.aggregation.keeping import Keeping
from mollm.calling.calls import Calls
from mollm.errors import BadRequest, ConfigError
from mollm.events import Token
from mollm.final.replies import final_answer
from mollm.llms.scripted import ScriptedLLM
from mollm.types import Proposal, Written
from tests.calibrations import written as calibration

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.aggregation.base import Result
    from mollm.events import Event

KEEPING = Keeping(0.9)
TOOL = {"type": "function", "function": {"name": "count", "parameters": {"type": "object"}}}


@dataclass
class Heard:
    """Hears what is shown."""

    shown: list[str] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        """Nothing is told here."""

    async def show(self, token: Token) -> None:
        self.shown.append(token.text)


@dataclass
class Making:
    """An aggregator that makes one thing, and shows it if it may."""

    result: Any
    streamed: list[bool] = field(default_factory=list)

    async def aggregate(self, brief: Brief, _: Calls) -> Result:
        self.streamed.append(brief.streams)
        if isinstance(self.result, Exception):
            raise self.result
        found: Result = self.result
        return found


def proposals(*texts: str) -> list[Proposal]:
    """One of each text, with its final answer."""
    return [Proposal(f"w{n}", f"w{n}", 1, text, final_answer(text)) for n, text in enumerate(texts)]


def written(text: str) -> Written:
    """What an LLM wrote."""
    return Written({"role": "assistant", "content": text})


def made(result: Any, *texts: str, confidence: float | None = 0.95, streams: bool = False) -> tuple[Written, Heard]:
    """The answer that comes of what an aggregator makes of these proposals."""
    heard = Heard()
    brief = Brief(
        [{"role": "user", "content": "?"}],
        proposals(*texts),
        observer=heard,
        streams=streams,
        confidence=confidence,
        planned=len(texts),
    )
    return asyncio.run(aggregate(Making(result), brief, Calls({}), keeping=KEEPING)), heard


def test_the_group_is_the_answer_where_the_aggregator_contradicts_it() -> None:
    """`degraded` says who said what, and how probable it is."""
    answer, _ = made(written("I see it otherwise. The answer is 7."), "Answer: 42", "Answer: 5", "It is 42.")

    assert answer.message["content"] == "Answer: 42"
    (why,) = answer.degraded
    assert why == (
        "the aggregator says 7, which contradicts 2 of 3 proposals, whose 42 is right with a probability of 0.95; "
        "the proposal of w0 is the answer"
    )


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (written("Both say so, and they are right: the answer is 42."), None),
        (written("Here is a poem about numbers, which rhymes."), None),
        (Picked(Proposal("w1", "w1", 1, "Answer: 5", "5")), "Answer: 42"),
        (Picked(Proposal("w2", "w2", 1, "It is 42.", "42")), "It is 42."),
        ("Answer: 5", "Answer: 42"),
    ],
)
def test_only_another_final_answer_contradicts(result: Any, text: str | None) -> None:
    """What agrees, or has no final answer, stays as the aggregator made it; a proposal or a text may contradict too."""
    answer, _ = made(result, "Answer: 42", "Answer: 5", "It is 42.")

    assert answer.message["content"] == (text or result.message["content"])
    assert bool(answer.degraded) is (text == "Answer: 42")


@pytest.mark.parametrize(
    ("texts", "confidence"),
    [(("Answer: 42", "It is 42.", "Answer: 5"), 0.89), (("Answer: 42", "It is 42."), None), (("Answer: 42", "Hm."), 1)],
)
def test_below_the_threshold_and_without_a_group_the_aggregator_decides(
    texts: tuple[str, ...], confidence: float | None
) -> None:
    """One proposal is no group, however probable."""
    answer, _ = made(written("Answer: 7"), *texts, confidence=confidence)

    assert answer.message["content"] == "Answer: 7"


@pytest.mark.parametrize("text", ["Answer: 7", "Answer: 42, of course."])
def test_nothing_is_shown_that_may_have_to_be_taken_back(text: str) -> None:
    """A stream waits for the whole answer, and then has what is the answer, once."""
    answer, heard = made(written(text), "Answer: 42", "It is 42.", "Answer: 5", streams=True)

    assert heard.shown == [answer.message["content"]]


def test_an_aggregator_that_fails_leaves_the_group() -> None:
    """As it does without this; nothing is told twice."""
    answer, _ = made(BadRequest("no"), "Answer: 42", "It is 42.", "Answer: 5")

    assert answer.message["content"] == "Answer: 42"
    assert len(answer.degraded) == 2
    assert "contradicts" not in " ".join(answer.degraded)


def configured(path: Path, aggregator: dict[str, Any], **mixture: Any) -> dict[str, Any]:
    """Three workers that are calibrated, and an LLM that writes."""
    llms = {name: {"model": "scripted/x", "retries": 0} for name in ("a", "b", "c", "boss")}
    section = {"description": "x", "workers": ["a", "b", "c"], "aggregator": {"llm": "boss", **aggregator}, **mixture}
    whole: dict[str, Any] = {"llms": llms, "mixtures": {"m": section}}
    section["calibration"] = str(calibration(path, whole, supports={"a": 4.0}))
    return whole


@pytest.mark.parametrize("engine", ["auto", "graph"])
def test_a_mixture_keeps_what_is_probable_enough(tmp_path: Path, engine: Any) -> None:
    """From the file to the answer and the stream, in both engines."""
    said = {"a": "Answer: 42", "b": "It is 42.", "c": "Answer: 5", "boss": "On reflection, the answer is 7."}
    llms = {name: ScriptedLLM(text) for name, text in said.items()}
    with MoLLM(configured(tmp_path / "c.json", {"keep_above": 0.6}), llms=llms, engine=engine) as mollm:
        answer = mollm.ask("How many?")
        shown = "".join(event.text for event in mollm.stream("How many?") if isinstance(event, Token))

    assert answer.text == shown == "Answer: 42"
    assert answer.confidence is not None
    assert answer.confidence > 0.9
    assert "contradicts 2 of 3 proposals" in answer.degraded[0]


@pytest.mark.parametrize(
    ("aggregator", "mixture", "why"),
    [
        ({}, {"agree": 2}, "has no effect with `agree: 2`"),
        ({}, {"agree": 0.5}, "has no effect with `agree: 0.5`"),
        (
            {"method": "vote"},
            {},
            "has no effect where `vote` takes what most agree on; if it is for requests with tools",
        ),
        ({"llm": "a"}, {"enough": 1}, "has no effect on a single proposal"),
    ],
)
def test_where_it_could_keep_nothing_it_is_an_error(
    tmp_path: Path, aggregator: dict[str, Any], mixture: dict[str, Any], why: str
) -> None:
    """With the key, at load."""
    whole = configured(tmp_path / "c.json", aggregator, **mixture)
    whole["mixtures"]["m"]["aggregator"]["keep_above"] = 0.9

    with pytest.raises(ConfigError, match=re.escape(f"mixtures.m.aggregator.keep_above: {why}")):
        load_config(whole)


@pytest.mark.parametrize(("aggregator", "mixture"), [({}, {"agree": 2}), ({"method": "vote"}, {})])
def test_it_may_be_for_requests_with_tools_alone(
    tmp_path: Path, aggregator: dict[str, Any], mixture: dict[str, Any]
) -> None:
    """An LLM writes the answer to these whatever has agreed, so it is no error where `on_tools` says who."""
    whole = configured(tmp_path / "c.json", aggregator, on_tools="after", **mixture)
    whole["mixtures"]["m"]["aggregator"]["keep_above"] = 0.6
    llms = {name: ScriptedLLM("Answer: 42") for name in "abc"} | {"boss": ScriptedLLM("Answer: 7")}

    with MoLLM(whole, llms=llms) as mollm:
        answer = mollm.ask("How many?", tools=[TOOL])

    assert (answer.text, answer.proposed_by) == ("Answer: 42", "a")


def test_it_needs_a_calibration(tmp_path: Path) -> None:
    """A probability comes from nowhere else."""
    whole = configured(tmp_path / "c.json", {"keep_above": 0.9})
    del whole["mixtures"]["m"]["calibration"]

    with pytest.raises(ConfigError, match="keep_above: needs `calibration`"):
        load_config(whole)


def test_what_one_is_sure_of_is_the_answer_and_not_what_was_listed_before() -> None:
    """A layer that ended since one is sure goes by the final answer that it is sure of."""
    brief = Brief(
        [], proposals("Let me think about it for a while, and then some more.", "The answer is 5."), agreed=True
    )

    answer = asyncio.run(aggregate(Making("nobody asks"), brief, Calls({})))

    assert answer.message["content"] == "The answer is 5."
    assert answer.degraded == ()


def test_a_vote_in_which_no_two_agree_takes_the_first_that_answers() -> None:
    """A reply without a final answer is no vote."""
    found = voted(proposals("Let me think about it for a while, and then some more.", "Answer: 5", "Answer: 6"))

    assert found.text == "Answer: 5"
