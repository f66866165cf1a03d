"""Routers that are learned on vectors, alone or beside n-grams."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mollm import MoLLM
from mollm.errors import ConfigError
from mollm.llms.scripted import ScriptedLLM
from mollm.routing.learned import LearnedScorer, Method
from mollm.routing.vector_model import BothModel, VectorModel
from tests.embeddings.toy import ToyEmbedder
from tests.routing.fitted import EXAMPLES, same

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METHODS: tuple[Method, ...] = ("embeddings", "both")


@pytest.fixture(scope="module")
def fitted() -> dict[str, LearnedScorer]:
    """By method; fitted once."""
    return {m: LearnedScorer.fit(EXAMPLES, fallback="general", method=m, embedder=ToyEmbedder()) for m in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_a_question_goes_where_its_vector_lies(fitted: dict[str, LearnedScorer], method: Method) -> None:
    """And one that has none, and no known word, is unfamiliar."""
    scorer = fitted[method]

    assert scorer.scores("The tyre of the car").pick == "car"
    assert scorer.scores("A nap at night").pick == "sleep"
    nothing = scorer.scores("xyzzy")
    assert (nothing.familiarity or 0.0) < scorer.familiarity < (scorer.scores("car engine").familiarity or 0.0)
    assert not scorer.decision().decide(nothing, "learned").is_sure
    assert scorer.method == method


@pytest.mark.parametrize("method", METHODS)
def test_it_is_written_and_read_to_the_last_bit(
    fitted: dict[str, LearnedScorer], method: Method, tmp_path: Path
) -> None:
    """With the name and the digest of the vectors in the manifest."""
    fitted[method].save(tmp_path)
    found = LearnedScorer.load(tmp_path, embedder=ToyEmbedder())

    ours = LearnedScorer(**{**{f: getattr(found, f) for f in found.__slots__}, "embedder": fitted[method].embedder})
    assert same(ours, fitted[method])
    assert json.loads((tmp_path / "router.json").read_text())["embeddings"] == {"name": "toy", "digest": "d1"}


@pytest.mark.parametrize(
    ("embedder", "said"),
    [
        (ToyEmbedder(name="minilm"), "vectors of 'toy', and 'minilm' is configured"),
        (ToyEmbedder(digest="d2"), "vectors of 'toy' d1, and those here are of 'toy' d2"),
        (None, "vectors of 'toy'; say under `embeddings`"),
    ],
)
def test_other_vectors_are_refused(
    fitted: dict[str, LearnedScorer], embedder: ToyEmbedder | None, said: str, tmp_path: Path
) -> None:
    """By both names and the folder."""
    fitted["both"].save(tmp_path)

    with pytest.raises(ConfigError, match=said) as caught:
        LearnedScorer.load(tmp_path, embedder=embedder)
    assert str(tmp_path) in str(caught.value)


def damaged(name: str, change: Callable[[Any], Any]) -> Any:
    """Arrays of a model with one of them changed."""

    def apply(arrays: dict[str, Any]) -> dict[str, Any]:
        return {**arrays, name: change(arrays[name].copy())}

    return apply


@pytest.mark.parametrize(
    "change",
    [
        damaged("weights", lambda a: a[:, :-1]),
        damaged("weights", lambda a: a[:0]),
        damaged("weights", lambda a: a[0]),
        damaged("weights", lambda a: a.astype(np.float64)),
        damaged("weights", lambda a: np.full_like(a, np.nan)),
        damaged("weights", lambda a: np.full_like(a, 1e9)),
        damaged("means", lambda a: a[:, :-1]),
        damaged("intercept", lambda a: np.full_like(a, 1e9)),
        damaged("first", lambda a: a[::-1].copy()),
        damaged("first", lambda a: a + 1),
        damaged("first", lambda a: a[:-1]),
        damaged("first", lambda a: a.astype(np.float64)),
        damaged("usual", lambda a: a * 0.0),
        damaged("usual", lambda a: a[:1]),
        lambda arrays: {name: array for name, array in arrays.items() if name != "means"},
    ],
)
def test_arrays_that_are_no_model_are_refused(
    fitted: dict[str, LearnedScorer], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Alone and as a part of both."""
    vectors, both = fitted["embeddings"].model, fitted["both"].model
    part = {name.removeprefix("vectors."): a for name, a in both.arrays().items() if name.startswith("vectors.")}

    with pytest.raises((LookupError, TypeError, ValueError)):
        VectorModel.read(change(dict(vectors.arrays())), 3)
    whole = {name: a for name, a in both.arrays().items() if not name.startswith("vectors.")}
    with pytest.raises((LookupError, TypeError, ValueError)):
        BothModel.read(whole | {f"vectors.{name}": a for name, a in change(part).items()}, 3)


@pytest.mark.parametrize("change", [damaged("shares", lambda a: -a - 1.0), damaged("usual", lambda a: a[:2])])
def test_what_joins_both_is_checked_too(fitted: dict[str, LearnedScorer], change: Any) -> None:
    """The shares and what is usual."""
    with pytest.raises(ValueError, match=r"out of range|belong"):
        BothModel.read(change(dict(fitted["both"].model.arrays())), 3)


def test_a_mixture_of_many_examples_has_several_separators() -> None:
    """Two subjects at opposite ends belong to one mixture, and what lies between them to the other."""
    ends = [f"{n} {words} {words.split()[n % 2] * (n % 7)}" for n in range(90) for words in ("car brake", "sleep nap")]
    between = [f"{n} car sleep {'bread ' * (n % 5)}{'hello ' * (n % 3)}" for n in range(60)]
    examples = {"ends": ends, "between": between}
    scorer = LearnedScorer.fit(examples, fallback="ends", method="embeddings", embedder=ToyEmbedder())

    assert isinstance(scorer.model, VectorModel)
    assert len(scorer.model.intercept) > len(scorer.mixtures)
    assert scorer.scores("a brake of a car").pick == scorer.scores("tired, and a nap").pick == "ends"
    assert scorer.scores("sleep in the car").pick == "between"


@pytest.mark.parametrize(("method", "embedder"), [("both", None), ("embeddings", None), ("transformer", ToyEmbedder())])
def test_a_method_without_what_it_needs_is_refused(method: Method, embedder: ToyEmbedder | None) -> None:
    """Before anything is fitted."""
    with pytest.raises(ConfigError, match=r"needs vectors|is not one of these"):
        LearnedScorer.fit(EXAMPLES, fallback="general", method=method, embedder=embedder)


def config(router: dict[str, Any]) -> dict[str, Any]:
    """Mixtures with examples, and this router."""
    mixtures = {name: {"description": name, "workers": ["a"], "examples": texts} for name, texts in EXAMPLES.items()}
    return {"llms": {"a": {"model": "scripted/x"}}, "mixtures": mixtures, "router": router}


class Slow(ToyEmbedder):
    """Brings vectors of examples at once, and that of a question never."""

    async def aembed(self, texts: Any) -> Any:  # noqa: ARG002 - it never looks at them
        """Hang."""
        await asyncio.sleep(60)


@pytest.mark.parametrize(("slow", "said"), [(False, "toy is out of order"), (True, "no vector in time")])
async def test_an_embedder_that_fails_costs_an_opinion_and_not_the_answer(
    fitted: dict[str, LearnedScorer], slow: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fallback answers, or the next member of a chain; the reason says why."""
    fitted["both"].save(tmp_path)
    toy = Slow() if slow else ToyEmbedder()
    monkeypatch.setattr("tests.embeddings.toy.TOY", toy, raising=False)
    learned = {
        "kind": "learned",
        "path": str(tmp_path),
        "embedder": {"kind": "python", "path": "tests.embeddings.toy:TOY"},
    }
    chain = {"kind": "chain", "fallback": "general", "members": [learned, {"kind": "llm", "llm": "a"}]}
    limits = {"limits": {"seconds": 0.2}} if slow else {}
    for router, reply, expected in (({**learned, "fallback": "general"}, "Hi", "general"), (chain, "car", "car")):
        async with MoLLM({**config(router), **limits}, llms={"a": ScriptedLLM(reply)}) as mollm:
            assert mollm.catalog.router
            toy.failures = 1
            route = await mollm.aroute("The tyre of my car")
        assert route.mixture == expected
        assert said in route.reason
        assert route.is_sure == (expected == "car")
