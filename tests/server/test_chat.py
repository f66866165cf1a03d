"""Chat completions through a real socket."""

from __future__ import annotations

from tests.server.serving import config_of, served
from tests.upstream import Upstream, answer, stream


async def test_the_request_of_the_readme_is_answered_as_it_stands() -> None:
    """The router picks, -1 leaves the limit to the LLM, and the reply names the mixture that answered."""
    request = {
        "model": "router",
        "messages": [
            {"role": "system", "content": "You are a helpful AI assistant."},
            {"role": "user", "content": "Please tell me a joke."},
        ],
        "temperature": 0.7,
        "max_tokens": -1,
        "stream": False,
    }
    workers = [answer(f"Joke {n}.") for n in range(3)]
    async with Upstream(*workers, answer("The best joke.")) as upstream, served(config_of(upstream)) as server:
        reply = await server.post("/v1/chat/completions", request)

    assert reply.status == 200
    assert reply.body["model"] == reply.headers["x-mollm-mixture"] == "three"
    assert reply.body["choices"][0]["message"] == {"role": "assistant", "content": "The best joke.", "refusal": None}
    assert upstream.received[-1].body["temperature"] == 0.7
    assert upstream.received[-1].body["max_tokens"] == 1024


async def test_a_stream_holds_the_pieces_of_the_aggregator_and_nothing_of_the_workers() -> None:
    """Role first, then the pieces as they came, then the end."""
    workers = [answer(f"Secret {n}.") for n in range(3)]
    async with Upstream(*workers, stream("Fo", "ur", ".")) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="three", stream=True)

    assert reply.text == "Four."
    assert reply.events[-1] == "[DONE]"
    deltas = [event["choices"][0]["delta"] for event in reply.events[:-1]]
    assert deltas == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Fo"},
        {"content": "ur"},
        {"content": "."},
        {},
    ]
    assert b"Secret" not in reply.raw
