from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from mollm.calling.base import LLM, Request
from mollm.calling.translate import translate
from mollm.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    LLMError,
    ProviderFailed,
    RateLimited,
    Refused,
    Unreachable,
)
from mollm.llms.litellm import LiteLLM, context_window_of, price_of
from mollm.options import Settings
from mollm.types import Usage
from tests.upstream import (
    DROP,
    Reply,
    Upstream,
    answer,
    chunk,
    document,
    error,
    events,
    hang,
    sse,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.calling.base import Chunk

pytestmark = [
    # litellm switches these off for the process when it is imported; pytest switches them on again for every test.
    pytest.mark.filterwarnings("ignore:.*`ReadOnly` qualifier:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the .* attribute on the instance is deprecated"),
]

CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
    {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}},
]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}, "strict": True}}


def ask(text: str = "2+2?", **settings: Any) -> Request:
    """Build a request of one message."""
    return Request([{"role": "user", "content": text}], Settings(**settings))


def llm_at(upstream: Upstream, provider: str = "openai") -> LiteLLM:
    """Build an LLM whose provider is the loopback server."""
    return LiteLLM(f"{provider}/m", api_base=upstream.base_url, api_key="sk-1", timeout_seconds=10)


async def streamed(llm: LLM, request: Request) -> list[Chunk]:
    """Collect a stream."""
    return [chunk async for chunk in llm.stream(request)]


async def failure(upstream: Upstream, *, streaming: bool = False) -> LLMError:
    """Make one call that fails and translate how."""
    llm = llm_at(upstream)
    try:
        await (streamed(llm, ask()) if streaming else llm.complete(ask()))
    except Exception as failed:  # noqa: BLE001 - whatever comes is what is tested
        return translate(failed, "a")
    finally:
        await llm.aclose()
    raise AssertionError("no failure")


# Whole replies


async def test_a_reply_comes_back_whole() -> None:
    """Text, reasoning, tool calls, finish reason, logprobs and usage all arrive."""
    logprobs: dict[str, Any] = {"content": [], "refusal": None}
    reply = answer(
        "Let me see.", reasoning_content="hm", tool_calls=CALLS, finish_reason="tool_calls", logprobs=logprobs
    )
    async with Upstream(reply) as upstream:
        llm = llm_at(upstream)
        completion = await llm.complete(ask())
        await llm.aclose()

    assert isinstance(llm, LLM)
    assert completion.text == "Let me see."
    assert completion.message == {
        "role": "assistant",
        "content": "Let me see.",
        "reasoning_content": "hm",
        "tool_calls": CALLS,
    }
    assert completion.finish_reason == "tool_calls"
    assert completion.logprobs == logprobs
    assert completion.usage == Usage(7, 2, 9)


async def test_unknown_fields_of_a_message_are_kept() -> None:
    """What only one provider sends is not lost."""
    async with Upstream(answer("4", annotations_of_ours=[1])) as upstream:
        llm = llm_at(upstream)
        completion = await llm.complete(ask())
        await llm.aclose()

    assert completion.message["provider_specific_fields"] == {"annotations_of_ours": [1]}


async def test_no_usage_stays_none() -> None:
    """A provider that says nothing about usage is not credited with zero tokens."""
    async with Upstream(answer(usage=None)) as upstream:
        llm = llm_at(upstream)
        completion = await llm.complete(ask())
        await llm.aclose()

    assert completion.usage is None


async def test_the_request_goes_out_as_it_is() -> None:
    """Messages, settings, tools and further fields reach the provider unchanged, and stay so here."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": "sun"},
    ]
    settings = Settings(
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        stop=("END",),
        seed=3,
        response_format={"type": "json_object"},
        tools=(TOOL,),
        tool_choice="auto",
        extra_body={"top_k": 4, "guided_json": {"type": "object"}},
    )
    request = Request(messages, settings)
    before = repr(request)
    async with Upstream(answer()) as upstream:
        llm = llm_at(upstream, "hosted_vllm")
        await llm.complete(request)
        await llm.aclose()
        body = upstream.received[0].body

    assert repr(request) == before
    # litellm leaves out nulls, and for hosted_vllm the `strict` of tools, which it once refused.
    del messages[2]["content"]
    sent = {"name": "weather", "parameters": {"type": "object"}}
    assert body == {
        **settings.payload(),
        "model": "m",
        "messages": messages,
        "tools": [{"type": "function", "function": sent}],
    }


async def test_a_seed_goes_only_where_it_is_taken() -> None:
    """A seed, which every worker gets, does not fail the providers that have none."""
    reply = {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Four."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 7, "output_tokens": 2},
    }
    async with Upstream(document(reply)) as upstream:
        llm = LiteLLM("anthropic/claude-sonnet-4-5", api_base=upstream.base_url, api_key="sk-1")
        completion = await llm.complete(ask(seed=1))
        await llm.aclose()
        sent = upstream.received[0].body

    assert completion.text == "Four."
    assert completion.usage == Usage(7, 2, 9)
    assert "seed" not in sent


async def test_a_setting_that_is_not_taken_is_an_error_that_names_it() -> None:
    """A setting somebody chose is not dropped in silence."""
    llm = LiteLLM("openai/gpt-5", api_key="sk-1")

    with pytest.raises(Exception, match="temperature") as caught:
        await llm.complete(ask(temperature=0.3))
    ours = translate(caught.value, "a")

    assert type(ours) is BadRequest
    assert "`temperature`" in ours.message


async def test_an_unknown_provider_is_named() -> None:
    """A mistyped provider is told, with where to look."""
    with pytest.raises(BadRequest, match=r"antropic/claude.*docs\.litellm\.ai"):
        await LiteLLM("antropic/claude").complete(ask())


# Streams


async def test_a_stream_comes_piece_by_piece() -> None:
    """Text, reasoning and parallel tool calls arrive in pieces, then the finish reason, then the usage."""
    deltas: Sequence[Any] = [
        {"reasoning_content": "hm"},
        "Fo",
        "ur.",
        {"tool_calls": [{"index": 0, **CALLS[0]}]},
        {"tool_calls": [{"index": 1, **CALLS[1]}]},
    ]
    async with Upstream(stream(*deltas, finish_reason="tool_calls")) as upstream:
        llm = llm_at(upstream)
        chunks = await streamed(llm, ask())
        await llm.aclose()
        body = upstream.received[0].body

    calls = [call for chunk in chunks for call in chunk.delta.get("tool_calls", [])]
    assert [chunk.text for chunk in chunks if chunk.text] == ["Fo", "ur."]
    assert [chunk.delta["reasoning_content"] for chunk in chunks if "reasoning_content" in chunk.delta] == ["hm"]
    assert [(call["index"], call["id"], call["function"]["arguments"]) for call in calls] == [
        (0, "c1", '{"city": "Oslo"}'),
        (1, "c2", '{"city": "Rome"}'),
    ]
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["tool_calls"]
    # LiteLLM counts the tokens of the reasoning itself.
    assert [chunk.usage for chunk in chunks if chunk.usage] == [Usage(7, 2, 9, reasoning_tokens=1)]
    assert body["stream_options"] == {"include_usage": True}


async def test_a_usage_that_litellm_counted_is_marked() -> None:
    """A stream without usage gets litellm's own count, told apart from the provider's."""
    async with Upstream(stream("Four.", usage=None)) as upstream:
        llm = llm_at(upstream)
        chunks = await streamed(llm, ask())
        await llm.aclose()

    usage = [chunk.usage for chunk in chunks if chunk.usage]
    assert [u.estimated for u in usage] == [True]


async def test_a_stream_without_an_end_is_a_failure() -> None:
    """A connection that ends before the finish reason is no answer, although litellm would make it one."""
    async with Upstream(stream("Fo", finish_reason=None, usage=None, done=False)) as upstream:
        failed = await failure(upstream, streaming=True)

    assert type(failed) is ProviderFailed


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_the_finish_reason_of_a_stream_is_the_providers(reason: str) -> None:
    """Why an answer ended is passed on."""
    async with Upstream(stream("Fo", finish_reason=reason)) as upstream:
        llm = llm_at(upstream)
        chunks = await streamed(llm, ask())
        await llm.aclose()

    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == [reason]


async def test_leaving_a_stream_closes_the_connection() -> None:
    """Whoever stops reading does not leave the provider writing."""
    async with Upstream(stream("Fo", asyncio.Event(), "ur.")) as upstream:
        llm = llm_at(upstream)
        async with aclosing(llm.stream(ask())) as chunks:
            async for chunk in chunks:
                if chunk.text:
                    break

        async with asyncio.timeout(5):
            await upstream.received[0].closed_early.wait()
        await llm.aclose()


@pytest.mark.parametrize("streaming", [False, True])
async def test_cancelling_a_call_closes_the_connection(*, streaming: bool) -> None:
    """A cancelled worker costs the provider nothing more."""
    async with Upstream(hang()) as upstream:
        llm = llm_at(upstream)
        call = asyncio.create_task(streamed(llm, ask()) if streaming else llm.complete(ask()))
        received = await upstream.request(1)
        call.cancel()

        async with asyncio.timeout(5):
            await received.closed_early.wait()
        await asyncio.wait([call])
        await llm.aclose()

    assert call.cancelled()


# Failures


@pytest.mark.parametrize(
    ("reply", "expected", "status"),
    [
        (error(400, code="unsupported_value"), BadRequest, 400),
        (error(400, "This model's maximum context length is 8 tokens"), ContextTooLong, 400),
        (error(400, code="content_filter"), Refused, 400),
        (error(401, code="invalid_api_key"), AuthFailed, 401),
        (error(403), AuthFailed, 403),
        (error(404), BadRequest, 404),
        (error(409), ProviderFailed, 409),
        (error(429, retry_after="3"), RateLimited, 429),
        (error(503, retry_after="3"), ProviderFailed, 503),
        (Reply((b"<html>",), headers={"content-type": "text/html"}), ProviderFailed, 500),
        (Reply((b"",)), ProviderFailed, None),
        (document({"choices": []}), ProviderFailed, None),
        (document({"error": {"message": "no", "code": 429}}), RateLimited, 429),
        (Reply((DROP,)), Unreachable, None),
        (Reply((b"{", DROP)), Unreachable, None),
    ],
)
async def test_a_failure_is_what_the_provider_said(reply: Reply, expected: type[LLMError], status: int | None) -> None:
    """Behind litellm's own classes and statuses the real cause is found, after exactly one request."""
    async with Upstream(reply) as upstream:
        failed = await failure(upstream)
        tries = len(upstream.received)

    assert (type(failed), failed.status, tries) == (expected, status, 1)
    if "retry-after" in reply.headers:
        assert failed.retry_after_seconds == 3.0


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(429), RateLimited),
        (events(sse(chunk({"content": "Fo"})), DROP), Unreachable),
        (events(sse(chunk({"content": "Fo"})), sse({"error": {"message": "no", "code": 429}})), RateLimited),
        (events(b"data: {not json\n\n"), ProviderFailed),
        (events(DROP), Unreachable),
    ],
)
async def test_a_stream_fails_as_it_did(reply: Reply, expected: type[LLMError]) -> None:
    """A failure inside a stream, or before it, keeps its cause."""
    async with Upstream(reply) as upstream:
        failed = await failure(upstream, streaming=True)
        tries = len(upstream.received)

    assert (type(failed), tries) == (expected, 1)


# What only some models take


HINTS = {
    "reasoning_effort": "low",
    "thinking": {"type": "enabled", "budget_tokens": 64},
    "verbosity": "low",
    "prompt_cache_key": "k",
    "safety_identifier": "s",
}


@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai/gpt-5", "mistral/mistral-large-latest", "hosted_vllm/m"])
async def test_hints_that_a_model_does_not_take_are_left_out(model: str, caplog: pytest.LogCaptureFixture) -> None:
    """LiteLLM would refuse the whole call; the log says once what was left out, and what can be sent is."""
    async with Upstream(answer("4"), answer("4"), stream("4")) as upstream:
        llm = LiteLLM(model, api_base=upstream.base_url, api_key="sk-1", timeout_seconds=10)
        for _ in range(2):
            completion = await llm.complete(ask(extra_body={**HINTS, "top_k": 5}))
            assert completion.text == "4"
        assert await streamed(llm, ask(extra_body=HINTS))
        await llm.aclose()

    assert upstream.received[0].body["top_k"] == 5
    said = [record.getMessage() for record in caplog.records if record.name == "mollm.llms"]
    assert said
    assert len(said) == len({line for line in said if line.startswith(f"{model} takes no ")})


async def test_what_somebody_means_is_not_left_out() -> None:
    """A model that takes no tools is not asked without them."""
    async with Upstream() as upstream:
        llm = LiteLLM("mistral/mistral-large-latest", api_base=upstream.base_url, api_key="sk-1")
        with pytest.raises(Exception, match=r"does not support parameters.*logit_bias"):
            await llm.complete(ask(extra_body={"logit_bias": {"5": 1}, "verbosity": "low"}))
        await llm.aclose()

    assert not upstream.received


# Connections


async def test_the_last_one_closes_the_connections() -> None:
    """An LLM that is closed leaves another of the same provider its connection; the last takes it down."""
    async with Upstream(answer(), answer(), answer(), answer()) as upstream:
        first, second = llm_at(upstream), llm_at(upstream)
        await first.complete(ask())
        await second.complete(ask())
        await first.aclose()
        await second.complete(ask())
        shared = upstream.connections
        await second.aclose()
        await second.complete(ask())
        await second.aclose()

        assert (shared, upstream.connections) == (1, 2)


async def test_closing_what_was_never_used_does_nothing() -> None:
    """An LLM that made no call on this loop has nothing to close."""
    await LiteLLM("openai/m").aclose()


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that reports every resource left open."""
    command = [sys.executable, "-X", "dev", "-c", code]
    env = {**os.environ, "PYTHONPATH": ".", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)


USE = """
import asyncio, warnings
from mollm.calling.base import Request
from mollm.calling.translate import translate
from mollm.llms.litellm import LiteLLM
from tests.upstream import Upstream, answer, error, stream

async def main():
    async with Upstream(answer(), stream("Fo", "ur."), error(500)) as upstream:
        llm = LiteLLM("openai/m", api_base=upstream.base_url, api_key="k")
        request = Request([{"role": "user", "content": "hi"}])
        print((await llm.complete(request)).text)
        print("".join([chunk.text async for chunk in llm.stream(request)]))
        try:
            await llm.complete(request)
        except Exception as failed:
            print(type(translate(failed, "a")).__name__)
        await llm.aclose()

for _ in range(2):
    asyncio.run(main())
"""


def test_nothing_is_left_open_or_printed() -> None:
    """Two event loops, one after the other, leave no open session, no warning and no print behind."""
    done = python(USE)

    lines = [line for line in done.stderr.splitlines() if "Executing <Task" not in line]
    assert done.stdout.split() == ["Four.", "Four.", "ProviderFailed"] * 2
    assert lines == []


def test_importing_is_free_and_loads_litellm_as_we_need_it(tmp_path: Any) -> None:
    """The module does not load litellm; loading litellm reads no `.env`; a variable the user set wins.

    LLMs of one provider share a client: a bound of 500 there, as litellm has it, lets one starve the others.
    """
    (tmp_path / ".env").write_text("FROM_DOTENV=1\n")
    code = f"""
import os, sys
import mollm.llms.litellm as ours
print("litellm" in sys.modules, "openai" in sys.modules)
os.chdir({str(tmp_path)!r})
os.environ.pop("AIOHTTP_CONNECTOR_LIMIT", None)
ours._import()
print(os.environ.get("FROM_DOTENV"), os.environ["LITELLM_LOCAL_BLOG_POSTS"], os.environ["LITELLM_MODE"])
from litellm import constants
print(constants.AIOHTTP_CONNECTOR_LIMIT >= 100_000, constants.AIOHTTP_CONNECTOR_LIMIT_PER_HOST)
"""
    done = python(code, LITELLM_LOCAL_BLOG_POSTS="true")

    assert done.stdout.split() == ["False", "False", "None", "true", "PRODUCTION", "True", "0"]


# Prices


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("openai/gpt-4o", (2.5, 10.0)),
        ("gpt-4o", (2.5, 10.0)),
        ("anthropic/claude-sonnet-4-5", (3.0, 15.0)),
        ("gemini/gemini-2.5-pro", (1.25, 10.0)),
        ("anthropic/gpt-4o", None),
        ("openai/nobody-knows", None),
        ("openai/whisper-1", None),
    ],
)
def test_prices_are_litellms(model: str, price: tuple[float, float] | None) -> None:
    """A price is found under the provider's own name for the model, per million tokens."""
    assert price_of(model) == price


@pytest.mark.parametrize(("model", "window"), [("openai/gpt-4o", 128_000), ("openai/nobody-knows", None)])
async def test_context_windows_are_litellms(model: str, window: int | None) -> None:
    """A context window is found, or none is claimed."""
    assert context_window_of(model) == window
    assert await LiteLLM(model).context_window() == window


def test_a_price_needs_no_import() -> None:
    """Looking up a price does not load litellm."""
    code = """
import sys
from mollm.llms.litellm import price_of
print(price_of("openai/gpt-4o"), "litellm" in sys.modules)
"""
    assert python(code).stdout.split() == ["(2.5,", "10.0)", "False"]
