"""Open texts agree where their vectors do: in asking, voting and the agreement that is reported."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mollm import MoLLM
from mollm.embeddings.alike import Alike
from mollm.errors import ConfigError, ProviderFailed
from mollm.llms.scripted import Reply, ScriptedLLM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.types import Answer

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
