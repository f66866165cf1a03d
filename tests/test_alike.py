"""Open texts agree where their vectors do: in asking, voting and the agreement that is reported."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mollm import MoLLM
from mollm.embeddings.alike import Alike
from mollm.embeddings.remote import IN_FLIGHT
from mollm.errors import ConfigError, ProviderFailed
from mollm.llms.scripted import Reply, ScriptedLLM
from tests.upstream import DROP, Upstream, document, error, hang
from tests.upstream import Reply as Upstreams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.types import Answer
    from tests.upstream import Received

SHIP = "The ship sank in the storm, and all of its crew were saved by fishermen."
BOAT = "A storm sank the boat; fishermen rescued everybody who was on board of it."
BREAD = "Bread needs flour, water, salt and some hours in which it can rise."
WORDS = {"storm": 0, "sank": 0, "fishermen": 0, "bread": 1, "flour": 1}


def vectors(texts: Sequence[str]) -> list[list[float]]:
    """By a few words each."""
    found = []
    for text in texts:
        row = [0.0, 0.0]
        for word, at in WORDS.items():
            row[at] += word in text.lower()
        found.append(row)
    return found


def configured(**mixture: Any) -> dict[str, Any]:
    """Three workers that vote."""
    whole = {"description": "x", "workers": ["a", "b", "c"], "aggregator": {"method": "vote"}, **mixture}
    return {"llms": {name: {"model": "scripted/x", "retries": 0} for name in "abc"}, "mixtures": {"m": whole}}


def asked(texts: Sequence[str], embedder: Any = vectors, **mixture: Any) -> Answer:
    """What the three say, and what becomes of it."""
    llms = {name: ScriptedLLM([Reply(text)]) for name, text in zip("abc", texts, strict=True)}
    with MoLLM(configured(**mixture), llms=llms, embedder=embedder) as mollm:
        return mollm.ask("What happened?")


def test_two_texts_that_say_the_same_are_the_answer() -> None:
    """The vote takes the first of them, and the agreement counts both."""
    answer = asked([BREAD, SHIP, BOAT], alike=0.9)

    assert answer.text == SHIP
    assert answer.agreement == pytest.approx(2 / 3)
    assert [p.alike for p in answer.proposals] == ["a", "b", "b"]


def test_without_it_open_texts_agree_with_none() -> None:
    """There is no agreement to report."""
    answer = asked([BREAD, SHIP, BOAT])

    assert answer.agreement is None
    assert answer.text == BREAD


def test_nobody_else_is_asked_once_two_say_the_same() -> None:
    """Agreement of open texts ends a layer as that of final answers does."""
    answer = asked([SHIP, BOAT, BREAD], alike=0.9, ask_first=2, agree=2)

    assert [p.worker for p in answer.proposals] == ["a", "b"]
    assert answer.text == SHIP


def test_a_final_answer_is_compared_by_its_value_alone() -> None:
    """No vector is asked for where there is one."""

    def never(texts: Sequence[str]) -> list[list[float]]:
        raise AssertionError(texts)

    answer = asked(["Answer: 4", "It is 4.", "Answer: 5"], embedder=never, alike=0.9)

    assert answer.agreement == pytest.approx(2 / 3)
    assert {p.alike for p in answer.proposals} == {None}


def test_an_embedder_that_fails_costs_the_agreement_and_not_the_answer() -> None:
    """`degraded` says what happened."""

    class Broken:
        name, digest = "broken", "0"

        def embed(self, _: Sequence[str]) -> Any:
            raise ProviderFailed("is down", llm="vectors", status=500)

        async def aembed(self, texts: Sequence[str]) -> Any:
            return self.embed(texts)

    answer = asked([SHIP, BOAT, BREAD], embedder=Broken(), alike=0.9)

    assert answer.text == SHIP
    assert answer.agreement is None
    assert answer.degraded == ("open texts were not compared: vectors: is down",)


def test_an_embedder_that_hangs_ends_with_the_layer() -> None:
    """What has arrived counts, although it was never compared."""

    class Hanging:
        name, digest = "hanging", "0"

        def embed(self, texts: Sequence[str]) -> Any:
            raise NotImplementedError

        async def aembed(self, _: Sequence[str]) -> Any:
            await asyncio.sleep(60)

    answer = asked([SHIP, BOAT, BREAD], embedder=Hanging(), alike=0.9, deadline=0.2)

    assert answer.text == SHIP
    assert [p.error for p in answer.proposals] == [None] * 3
    assert answer.degraded == ("open texts were not compared: hanging took longer than 0.05 s",)


def test_an_embedder_of_ones_own_may_raise_anything() -> None:
    """What a whole class of somebody raises or returns is named, as what a function does is."""
    raising = asked([SHIP, BOAT, BREAD], embedder=Odd(KeyError("storm")), alike=0.9)
    lying = asked([SHIP, BOAT, BREAD], embedder=Odd([[float("nan")] * 2]), alike=0.9)

    assert raising.text == lying.text == SHIP
    assert raising.agreement is lying.agreement is None
    assert raising.degraded == ("open texts were not compared: odd failed (KeyError)",)
    assert lying.degraded == (
        "open texts were not compared: odd returned something else than one vector of numbers for each text",
    )


class Odd:
    """An embedder that raises or returns what it was given."""

    name, digest = "odd", "0"

    def __init__(self, given: Any) -> None:
        self.given = given

    def embed(self, _: Sequence[str]) -> Any:
        """Never asked for."""
        raise NotImplementedError

    async def aembed(self, _: Sequence[str]) -> Any:
        """Raise it or return it."""
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


def remote(base_url: str, **mixture: Any) -> dict[str, Any]:
    """The same, with vectors from an address."""
    embeddings = {"kind": "openai", "model": "e", "api_base": base_url}
    return {**configured(alike=0.9, **mixture), "embeddings": embeddings}


def said(*texts: str) -> dict[str, ScriptedLLM]:
    """LLMs that say the same to everybody."""
    return {name: ScriptedLLM(text) for name, text in zip("abc", texts, strict=True)}


def rows(*found: Any) -> Any:
    """A reply of an embedder."""
    return document({"data": [{"index": index, "embedding": row} for index, row in enumerate(found)]})


NO_VECTORS = {
    "500": lambda: error(500),
    "429": lambda: error(429, retry_after="60"),
    "too long": lambda: error(400, "This model's maximum context length is 512 tokens"),
    "not finite": lambda: Upstreams((b'{"data": [{"index": 0, "embedding": [NaN, 1.0]}]}',)),
    "too few": rows,
    "too many": lambda: rows([1.0], [0.5]),
    "without numbers": lambda: rows([None, 1.0]),
    "cut off": lambda: Upstreams((b'{"data":', DROP)),
    "hangs": hang,
    "hangs midway": lambda: Upstreams((b'{"data":', asyncio.Event())),
}


async def test_whatever_an_address_sends_costs_the_agreement_and_not_the_answer() -> None:
    """The time is bounded too: where nothing comes, a quarter of the layer's is the most that is waited."""

    async def case(make: Any) -> tuple[Answer, float]:
        async with Upstream() as upstream:
            upstream.reply_to = lambda _: make()
            config = remote(upstream.base_url, deadline=8, ask_first=1, agree=2)
            async with MoLLM(config, llms=said(SHIP, BOAT, BREAD)) as mollm:
                answer = await mollm.aask("What happened?")
                return answer, answer.seconds

    found = dict(zip(NO_VECTORS, await asyncio.gather(*map(case, NO_VECTORS.values())), strict=True))

    for name, (answer, seconds) in found.items():
        assert answer.text == SHIP, name
        assert len(answer.proposals) == 3, name
        assert answer.agreement is None, name
        (why,) = answer.degraded
        assert why.startswith("open texts were not compared: openai/e"), name
        assert seconds < 6, name


async def test_vectors_of_another_length_leave_no_share_of_those_before() -> None:
    """What two of three agree on is not two thirds where the third was not compared."""
    async with (
        Upstream(rows([1.0, 0.0]), rows([1.0, 0.0]), rows([1.0, 0.0, 0.0])) as upstream,
        MoLLM(remote(upstream.base_url), llms=said(SHIP, BOAT, BREAD)) as mollm,
    ):
        answer = await mollm.aask("What happened?")

    assert answer.agreement is None
    assert {p.alike for p in answer.proposals} == {None}
    assert answer.degraded == ("open texts were not compared: the vectors of two texts have different lengths",)


async def test_one_that_hung_is_not_waited_for_by_the_next_question() -> None:
    """It is asked again after a while, by one text alone."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: hang()
        async with MoLLM(remote(upstream.base_url, deadline=1), llms=said(SHIP, BOAT, BREAD)) as mollm:
            await mollm.aask("What happened?")
            before = len(upstream.received)
            answer = await mollm.aask("What happened?")

    assert len(upstream.received) == before
    assert answer.degraded[0].startswith("open texts were not compared: openai/e took longer than 0.25 s; it is asked ")


async def test_fifty_questions_share_the_connections_of_an_embedder() -> None:
    """Also where they come with panels of their own, and they are closed at the end."""
    go = asyncio.Event()

    def together(_: Received) -> Any:
        if len(upstream.received) == IN_FLIGHT:
            go.set()
        return Upstreams(rows([1.0, 0.0]).parts, before=go)

    async with Upstream() as upstream:
        upstream.reply_to = together
        config = remote(upstream.base_url, deadline=60)
        panel = {"workers": ["a", "b"], "aggregator": {"method": "vote"}, "alike": 0.9}
        async with MoLLM(config, llms=said(SHIP, BOAT, BREAD)) as mollm:
            asked: list[Any] = [{**panel, "deadline": 30 + number} for number in range(10)] + ["m"] * 40
            asking = [mollm.aask("What happened?", mixture=mixture) for mixture in asked]
            answers = await asyncio.gather(*asking)
        connections = upstream.connections

    assert {answer.agreement for answer in answers} == {1.0}
    assert {answer.degraded for answer in answers} == {()}
    assert connections == IN_FLIGHT


async def test_whom_a_text_agrees_with_hangs_on_no_later_text() -> None:
    """It joins the group of the first text that it is most like; a text without known words joins none."""

    class Angles:
        name, digest = "angles", "0"

        def embed(self, texts: Sequence[str]) -> Any:
            angles = np.radians([float(text) for text in texts])
            return np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[text != "0.0"] for text in texts]

        async def aembed(self, texts: Sequence[str]) -> Any:
            return self.embed(texts)

    texts = Alike(Angles(), np.cos(np.radians(31))).texts()

    assert [
        await texts.group(name, angle) for name, angle in zip("abcde", ("10", "50", "35", "70", "0.0"), strict=True)
    ] == [
        "a",
        "b",
        "b",
        "b",
        None,
    ]


def test_it_needs_vectors_and_several_proposals() -> None:
    """A setting without effect is an error at load."""
    with pytest.raises(ConfigError, match=r"mixtures\.m\.alike: needs `embeddings`"):
        MoLLM(configured(alike=0.9))
    with pytest.raises(ConfigError, match=r"mixtures\.m\.alike: has no effect on a single proposal"):
        MoLLM(configured(alike=0.9, workers=["a"], aggregator={}))
