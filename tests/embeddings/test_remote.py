"""An address that speaks `/v1/embeddings`, over real sockets."""

from __future__ import annotations

import base64
import logging
from typing import Any

import numpy as np
import pytest

from mollm.embeddings.remote import BATCH, RemoteEmbedder
from mollm.errors import AuthFailed, BadRequest, ProviderFailed, RateLimited, TimedOut, Unreachable
from tests.upstream import Received, Reply, Upstream, document, error, hang

KEY = "sk-verysecret1234567"


def listed(*vectors: Any) -> Reply:
    """OpenAI's list, in the wrong order."""
    rows = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    return document({"object": "list", "data": rows[::-1], "model": "m", "usage": {"prompt_tokens": 1}})


def by_length(received: Received) -> Reply:
    """A vector for each text, whose direction is its length."""
    return listed(*([float(len(text)), 10.0] for text in received.body["input"]))


def embedder(upstream: Upstream, **settings: Any) -> RemoteEmbedder:
    """Asks the upstream."""
    return RemoteEmbedder("m", api_base=upstream.base_url, **{"api_key": KEY, "retries": 0, **settings})


async def test_texts_are_sent_and_vectors_come_back_in_order() -> None:
    """With the model and the key; what is blank is not sent, and every vector has length 1."""
    async with Upstream(listed([3.0, 4.0], [0.0, 2.0])) as upstream:
        remote = embedder(upstream)
        vectors = await remote.aembed(["one", " ", "two"])
        await remote.aclose()

    assert vectors.tolist() == pytest.approx(np.array([[0.6, 0.8], [0.0, 0.0], [0.0, 1.0]]))
    [received] = upstream.received
    assert received.path == "/v1/embeddings"
    assert received.headers["Authorization"] == f"Bearer {KEY}"
    assert received.body == {"model": "m", "input": ["one", "two"], "encoding_format": "float"}


async def test_many_texts_are_sent_in_batches() -> None:
    """As many requests as it takes, and the vectors are those of their texts."""
    texts = ["x" * (1 + number % 37) for number in range(2 * BATCH + 1)]
    async with Upstream() as upstream:
        upstream.reply_to = by_length
        remote = embedder(upstream)
        vectors = await remote.aembed(texts)
        await remote.aclose()

    assert sorted(len(received.body["input"]) for received in upstream.received) == [1, BATCH, BATCH]
    assert (vectors[:, 0] / vectors[:, 1] * 10).round().tolist() == [len(text) for text in texts]


@pytest.mark.parametrize("numbers", [(None, None), (0, 0), (-1, -2), ("1", "0")])
async def test_places_that_are_none_leave_vectors_in_the_order_in_which_they_came(numbers: tuple[Any, Any]) -> None:
    """Some servers number nothing, or all with 0."""
    rows = [{"index": number, "embedding": [1.0, float(i)]} for i, number in enumerate(numbers)]
    async with Upstream(document({"data": rows})) as upstream:
        remote = embedder(upstream)
        vectors = await remote.aembed(["one", "two"])
        await remote.aclose()

    assert vectors[:, 1].tolist() == pytest.approx([0.0, 0.5**0.5])


async def test_base64_is_read_too() -> None:
    """As servers send it that were not asked for it."""
    packed = base64.b64encode(np.array([3.0, 4.0], dtype="<f4").tobytes()).decode()
    async with Upstream(listed(packed)) as upstream:
        remote = embedder(upstream)
        assert (await remote.aembed(["x"])).tolist() == pytest.approx(np.array([[0.6, 0.8]]))
        await remote.aclose()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(401, f"Incorrect API key provided: {KEY}"), AuthFailed),
        (error(429), RateLimited),
        (error(400, "no"), BadRequest),
        (error(500), ProviderFailed),
        (document({"error": {"message": "model overloaded", "code": 503}}), ProviderFailed),
        (Reply(status=302, headers={"location": "http://127.0.0.1:1/"}), ProviderFailed),
        (Reply((b"<html>",)), ProviderFailed),
        (listed([1.0], [2.0]), ProviderFailed),
        (listed(["a"]), ProviderFailed),
        (listed([]), ProviderFailed),
        (listed([1e300]), ProviderFailed),
        (document({"data": [{"embedding": None}]}), ProviderFailed),
        (document([1]), ProviderFailed),
        (Reply(("drop",)), Unreachable),
    ],
)
async def test_failures_are_those_of_calls(reply: Reply, expected: type, caplog: pytest.LogCaptureFixture) -> None:
    """Named by what was asked, with no key in any message or log."""
    caplog.set_level(logging.INFO, "mollm")
    async with Upstream(reply) as upstream:
        remote = embedder(upstream)
        with pytest.raises(expected) as caught:
            await remote.aembed(["x"])
        await remote.aclose()

    assert str(caught.value).startswith("openai/m: ")
    assert KEY not in f"{caught.value}{caplog.text}{remote!r}"


async def test_a_failure_is_tried_again_and_a_hang_given_up() -> None:
    """As with an LLM."""
    async with Upstream(error(500), listed([1.0])) as upstream:
        remote = embedder(upstream, retries=1)
        assert (await remote.aembed(["x"])).tolist() == [[1.0]]
        await remote.aclose()
    async with Upstream(hang()) as upstream:
        remote = embedder(upstream, seconds=0.05)
        with pytest.raises(TimedOut):
            await remote.aembed(["x"])
        await remote.aclose()
