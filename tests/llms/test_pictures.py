"""Addresses in a conversation: nobody gets at what only this machine can reach by asking an LLM to look at it."""

from __future__ import annotations

from contextlib import suppress

import pytest

from mollm.calling.base import Request
from mollm.errors import LLMError
from mollm.pool import Pool
from tests.llms.test_proxy import config_of
from tests.upstream import Reply, Upstream, answer

CLIENTS = {
    "ours": ("hosted_vllm/m", None),
    "langchain-openai": ("openai/m", "langchain-openai"),
    "litellm, handed on": ("hosted_vllm/m", "litellm"),
    "litellm, Anthropic": ("anthropic/claude-sonnet-4-5", "litellm"),
    "litellm, Gemini": ("gemini/gemini-2.0-flash", "litellm"),
    "litellm, Ollama": ("ollama/llava", "litellm"),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"])
async def test_a_picture_inside_is_not_fetched(client: str, host: str) -> None:
    """Most LLMs are sent its address as it is. LiteLLM fetches it for some providers, but not from in here."""
    model, kind = CLIENTS[client]
    async with Upstream(answer("A cat.")) as upstream, Upstream() as inside:
        inside.fixed["/picture.png"] = Reply((b"secret",), headers={"content-type": "image/png"})
        picture = {"type": "image_url", "image_url": {"url": f"http://{host}:{inside.port}/picture.png"}}
        llm = {"model": model, "api_base": upstream.base_url, "api_key": "k", **({"client": kind} if kind else {})}
        llms = Pool().llms(config_of(**llm))
        with suppress(LLMError):
            await llms["m"].complete(Request([{"role": "user", "content": [picture]}]))
        await llms.pool.aclose()

    assert inside.received == []
    if "handed on" in client or not kind:
        assert picture in upstream.received[0].body["messages"][0]["content"]
