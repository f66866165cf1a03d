"""The scorer that compares by meaning."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.embeddings.static import wordllama
from mollm.errors import ConfigError
from mollm.llms.scripted import ScriptedLLM
from mollm.routing.semantic import ENOUGH, SemanticScorer
from tests.embeddings.toy import ToyEmbedder
from tests.routing.fitted import EXAMPLES
from tests.routing.test_vectors import config

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors are kept for the length of a test."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path / "cache"))


def test_a_question_goes_to_the_nearest_examples() -> None:
    """Without a word in common with them, by real vectors; it tells which are nearest."""
    embedder = wordllama()
    scorer = SemanticScorer.of(EXAMPLES, embedder, fallback="general")

    assert scorer.scores("My vehicle makes noises when I slow down").pick == "car"
    assert scorer.scores("I lie in bed with open eyes for hours").pick == "sleep"
    [nearest, *_] = scorer.nearest(embedder.embed(["The battery of my car is empty"])[0])
    assert (nearest.mixture, nearest.text) == ("car", "The car battery is dead.")
    assert 0.5 < nearest.similarity <= 1.0


def test_familiarity_is_that_of_the_nearest_example() -> None:
    """1 for an example itself, 0 where nothing is shared; then nothing is picked."""
    scorer = SemanticScorer.of(EXAMPLES, ToyEmbedder(), fallback="general")

    assert scorer.scores(EXAMPLES["car"][0]).familiarity == pytest.approx(1.0)
    nothing = scorer.scores("xyzzy")
    assert (nothing.pick, nothing.familiarity) == (None, 0.0)
    assert scorer.decision().decide(nothing, "semantic").mixture == "general"


def test_descriptions_stand_in_for_examples() -> None:
    """Of every mixture but the fallback, which is not one subject among others."""
    told = {
        "car": "Cars, their engines, brakes and tyres.",
        "sleep": "Sleep, naps and snoring.",
        "general": "All else.",
    }
    scorer = SemanticScorer.of({}, ToyEmbedder(), fallback="general", descriptions=told)

    assert scorer.mixtures == ("car", "sleep")
    assert scorer.scores("snoring at night").pick == "sleep"
    with pytest.raises(ConfigError, match="at least two mixtures"):
        SemanticScorer.of({"car": ["x"]}, ToyEmbedder(), fallback="general")


def test_many_examples_are_calibrated_and_few_are_not() -> None:
    """Each example is compared with the others; what few say of themselves would be chance."""
    many = {name: [f"{text} {n}" for text in texts for n in range(4)] for name, texts in EXAMPLES.items()}
    few, fitted = (SemanticScorer.of(found, ToyEmbedder(), fallback="general") for found in (EXAMPLES, many))

    assert len(few.texts) < ENOUGH < len(fitted.texts)
    assert few.familiarity == 0.0
    assert fitted.familiarity > 0.0
    assert fitted.scale != few.scale


def test_examples_are_embedded_once() -> None:
    """And again when they, or the vectors, are others."""
    first, again, other = ToyEmbedder(), ToyEmbedder(), ToyEmbedder(digest="d2")
    for embedder in (first, again, other):
        SemanticScorer.of(EXAMPLES, embedder, fallback="general")

    assert (first.calls, again.calls, other.calls) == (1, 0, 1)


async def test_an_address_that_is_down_at_the_start_is_asked_again() -> None:
    """Meanwhile the fallback answers, unsure, and says why."""
    toy = ToyEmbedder(failures=2)
    async with MoLLM(config({"kind": "semantic"}), llms={"a": ScriptedLLM("Hi")}, embedder=toy) as mollm:
        before, after = [await mollm.aroute("The tyre of my car") for _ in range(2)]

    assert (before.mixture, before.is_sure, before.router) == ("general", False, "semantic")
    assert "no vectors yet (toy is out of order)" in before.reason
    assert (after.mixture, after.is_sure) == ("car", True)


async def test_an_embedder_is_given_from_python() -> None:
    """A function will do; it takes the place of `embeddings`, and what names its own vectors keeps them."""
    toy, other = ToyEmbedder(), ToyEmbedder("other")
    own: Any = {"kind": "semantic", "embedder": {"kind": "wordllama"}}
    for given in (toy, toy.embed):
        with MoLLM({**config({"kind": "semantic"}), "embeddings": "wordllama"}, embedder=given) as mollm:
            assert mollm.route("The tyre of my car").mixture == "car"
    with MoLLM(config(own), embedder=other) as mollm:
        assert mollm.route("The tyre of my car").mixture == "car"

    assert (toy.calls > 0, other.calls) == (True, 0)
    with pytest.raises(ConfigError, match="neither an embedder nor a function"):
        MoLLM(config({"kind": "semantic"}), embedder=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs vectors"):
        MoLLM(config({"kind": "semantic"}))


async def test_an_ensemble_decides_without_the_member_whose_vectors_are_not_there_yet() -> None:
    """The others do, with their weights; the reason says what is missing, and the next question finds it there."""
    toy = ToyEmbedder(failures=3)
    ensemble = {"kind": "ensemble", "members": [{"kind": "semantic"}, {"kind": "llm", "llm": "a"}], "weights": [1, 3]}
    async with MoLLM(config(ensemble), llms={"a": ScriptedLLM("sleep")}, embedder=toy) as mollm:
        before, after = [await mollm.aroute("The tyre of my car") for _ in range(2)]
        planned = mollm.catalog.plan("car")[0]

    assert (before.mixture, before.router) == ("sleep", "ensemble")
    assert "no vectors yet (toy is out of order)" in before.reason
    assert "semantic: car" in after.reason
    assert [call.role for call in planned][:1] == ["router"]


def test_the_weights_of_members_by_meaning_are_fitted() -> None:
    """The examples are embedded together, and not for each question that is held out."""
    toy = ToyEmbedder()
    members = [{"kind": "learned"}, {"kind": "semantic"}]
    with MoLLM(config({"kind": "ensemble", "members": members}), embedder=toy) as mollm:
        scorer: Any = getattr(mollm.catalog.router, "scorer", None)
        weights = [member.weight for member in scorer.members]

    assert weights != [0.5, 0.5]
    assert toy.calls == 2


async def test_its_route_is_explained_by_the_examples_nearest_in_meaning() -> None:
    """Alone and in a chain; the example itself first."""
    for router in ({"kind": "semantic"}, {"kind": "chain", "members": [{"kind": "semantic"}]}):
        async with MoLLM(config(router), llms={"a": ScriptedLLM("Hi")}, embedder=ToyEmbedder()) as mollm:
            found = await mollm.aexplain(EXAMPLES["car"][0])
        assert found.nearest[0].mixture == "car"
        assert found.nearest[0].similarity == pytest.approx(1.0)


async def test_questions_that_come_at_once_share_one_build() -> None:
    """Ten of them do not ask an address that is down for ten times the examples."""
    toy = ToyEmbedder(failures=1)
    async with MoLLM(config({"kind": "semantic"}), llms={"a": ScriptedLLM("Hi")}, embedder=toy) as mollm:
        assert mollm.catalog.router
        tried = toy.calls
        routes = await asyncio.gather(*(mollm.aroute("The tyre of my car") for _ in range(10)))

    assert {route.mixture for route in routes} == {"car"}
    assert toy.calls == tried + 1 + len(routes)
