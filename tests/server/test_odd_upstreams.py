"""What no LLM should say, and some do: none of it costs the answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.served import config_of, served
from tests.upstream import Reply, Upstream, answer, stream

WAYS = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
NONSENSE: dict[str, dict[str, Any]] = {
    "negative": {"prompt_tokens": -5, "completion_tokens": -7, "total_tokens": 1},
    "beyond 64 bits": {"prompt_tokens": 2**63, "completion_tokens": 2**63, "total_tokens": 2**64},
}


@WAYS
@pytest.mark.parametrize("usage", NONSENSE.values(), ids=NONSENSE)
async def test_a_usage_that_cannot_be_costs_nobody_the_answer(usage: dict[str, Any], streamed: bool) -> None:
    """It is counted as far as it can be true."""
    last: Reply = stream("Fo", "ur.", usage=usage) if streamed else answer("Four.", usage=usage)
    workers = [answer("4", usage=usage), answer("5"), answer("6")]
    async with Upstream(*workers, last) as upstream, served(config_of(upstream)) as server:
        asked = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
        reply = await server.chat(model="three", **asked)
        counted = await server.get("/metrics")

    assert reply.status == counted.status == 200
    assert (reply.text if streamed else reply.body["choices"][0]["message"]["content"]) == "Four."
    summed = (reply.events[-2] if streamed else reply.body)["usage"]
    assert 0 <= summed["completion_tokens"] < 2**53


@WAYS
async def test_a_refusal_of_the_llm_that_answers_is_passed_on(streamed: bool) -> None:
    """As OpenAI has it: no content, and the refusal in its own field."""
    refusal: dict[str, Any] = {"refusal": "I will not."}
    reply: Reply = stream(refusal) if streamed else answer(None, **refusal)
    async with Upstream(reply) as upstream, served(config_of(upstream)) as server:
        found = await server.chat(model="one", stream=streamed)

    assert found.status == 200
    if streamed:
        assert refusal in [event["choices"][0]["delta"] for event in found.events[:-1]]
        assert found.events[-1] == "[DONE]"
    else:
        assert found.body["choices"][0]["message"] == {"role": "assistant", "content": None, **refusal}


async def test_a_worker_that_refuses_is_one_that_failed() -> None:
    """The others' proposals make the answer."""
    replies = [answer(None, refusal="No."), answer("4"), answer("4"), answer("Four.")]
    async with Upstream(*replies) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="three", mollm={"trace": True})

    assert reply.body["choices"][0]["message"]["content"] == "Four."
    assert [p["error"] and p["error"]["kind"] for p in reply.body["mollm"]["proposals"]].count("refused") == 1


@WAYS
async def test_who_answers_is_the_assistant_whatever_the_llm_calls_itself(streamed: bool) -> None:
    """A wrong role is not the client's fault, so it is no 400."""
    reply = stream({"role": "tool", "content": "Four."}) if streamed else answer("Four.", role="tool")
    async with Upstream(reply) as upstream, served(config_of(upstream)) as server:
        found = await server.chat(model="one", stream=streamed)

    assert found.status == 200
    assert (found.text if streamed else found.body["choices"][0]["message"]["content"]) == "Four."
