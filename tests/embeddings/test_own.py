"""Functions of one's own as embedders, and digests of vectors that nobody can look into."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import numpy as np
import pytest

from mollm.embeddings.own import OwnEmbedder, adopt, named
from mollm.embeddings.pledged import PledgedEmbedder
from mollm.embeddings.signs import PROBES, same, signs
from mollm.errors import ConfigError, EmbeddingError
from tests.embeddings.toy import ToyEmbedder
from tests.fuzz import cases


def lengths(texts: list[str]) -> list[list[float]]:
    """Two numbers for each text."""
    return [[3.0 * len(text), 4.0 * len(text)] for text in texts]


async def later(texts: list[str]) -> list[list[float]]:
    """The same, as a coroutine."""
    return lengths(texts)


@pytest.mark.parametrize("function", [lengths, later])
def test_a_function_becomes_an_embedder(function: Any) -> None:
    """Plain or a coroutine function, from blocking code and on an event loop; its vectors are brought to length 1."""
    embedder = OwnEmbedder(function)

    for vectors in (embedder.embed(["abc", ""]), asyncio.run(embedder.aembed(["abc", ""]))):
        assert vectors.tolist() == pytest.approx(np.array([[0.6, 0.8], [0.0, 0.0]]))
    assert embedder.name == f"python/{function.__name__}"


@pytest.mark.parametrize(
    "wrong", [None, [], [[1.0], [1.0, 2.0]], [1.0, 2.0], [["a"], ["b"]], [[float("nan")], [1.0]], [[1.0]], [[], []]]
)
def test_what_is_no_vectors_is_an_error(wrong: Any) -> None:
    """As is an exception, whose text may hold anything and is not shown."""

    def broken(_: list[str]) -> Any:
        raise KeyError("s3cret")

    with pytest.raises(EmbeddingError, match="one vector of numbers for each text"):
        OwnEmbedder(lambda _: wrong).embed(["a", "b"])
    with pytest.raises(EmbeddingError, match=r"failed \(KeyError\)$"):
        OwnEmbedder(broken).embed(["a"])


def test_a_name_leads_to_a_function_or_an_embedder() -> None:
    """`package.module:function`; anything else says what is wrong with it."""
    assert named("tests.embeddings.test_own:lengths").name == "python/tests.embeddings.test_own:lengths"
    for wrong in ("nothing", "no.such.module:f", "tests.embeddings.test_own:no", "tests.embeddings.toy:STEMS"):
        with pytest.raises(ConfigError, match=r"no `package|cannot be imported|neither an embedder"):
            named(wrong)
    toy = ToyEmbedder()
    assert adopt(toy) is toy


@pytest.mark.fuzz
def test_digests_stand_some_noise_and_no_other_model() -> None:
    """Whoever computes in half precision gets other last digits; another model gives other signs."""
    random = Random(7)  # noqa: S311 - the same ones each time
    for _ in range(cases(20)):
        ours = np.random.default_rng(random.randrange(1 << 30)).normal(size=(len(PROBES), 64)).astype(np.float32)
        other = np.random.default_rng(random.randrange(1 << 30)).normal(size=(len(PROBES), 64)).astype(np.float32)
        assert same("m" + signs(ours), "m" + signs(ours * 1.01 + 1e-4))
        assert not same("m" + signs(ours), "m" + signs(other))
        assert not same("m" + signs(ours), "n" + signs(ours))
        assert not same("m" + signs(ours), "m" + signs(ours[:, :32]))
    assert not same("signs-2-xx", "signs-2-yy")


def test_vectors_of_another_name_or_digest_are_refused() -> None:
    """With both names, before any vector is made."""
    with pytest.raises(ConfigError, match="vectors of 'minilm', and 'toy' is configured"):
        PledgedEmbedder(ToyEmbedder(), "minilm", "d1")
    other = ToyEmbedder(digest="d2")
    pledged = PledgedEmbedder(other, "toy", "d1")
    with pytest.raises(ConfigError, match=r"'toy' d1.*'toy' d2"):
        asyncio.run(pledged.aembed(["Hi"]))
    assert not other.calls
    assert PledgedEmbedder(ToyEmbedder(), "toy", "d1").embed(["car"]).any()
