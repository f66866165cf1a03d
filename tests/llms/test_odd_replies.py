"""Replies that are not what they seem, over a real socket: through every client, and through `MoLLM`."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.calling.attempt import ReliableLLM
from mollm.calling.base import LLM, Request
from mollm.errors import ContextTooLong, LLMError, ProviderFailed, QuorumError, RateLimited
from mollm.llms.litellm import LiteLLM
from mollm.llms.openai_compatible import OpenAICompatibleLLM
from tests.upstream import Reply, Upstream, answer, chunk, document, events, sse, stream

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*`ReadOnly` qualifier:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the .* attribute on the instance is deprecated"),
]

ASK = Request([{"role": "user", "content": "2 + 2?"}])
DONE = b"data: [DONE]\n\n"
FAILED_CHOICE = {
    "index": 0,
    "finish_reason": "error",
    "error": {"code": 502, "message": "x"},
    "message": {"role": "assistant", "content": "The answer is 1"},
}
HALF = sse(chunk({"content": "Half an ans"}))


def fast(upstream: Upstream) -> LLM:
    """The client of our own."""
    return OpenAICompatibleLLM("m", api_base=upstream.base_url)


def litellm(upstream: Upstream) -> LLM:
    """The same server behind LiteLLM."""
    return LiteLLM("openai/m", api_base=upstream.base_url, api_key="sk-1", timeout_seconds=10)


def langchain(upstream: Upstream) -> LLM:
    """The same server behind LangChain."""
    from mollm.llms.langchain import chat_openai

    return chat_openai("m", api_base=upstream.base_url, api_key="sk-1", timeout_seconds=10)


CLIENTS = pytest.mark.parametrize("client", [fast, litellm, langchain])


async def said(upstream: Upstream, client: Callable[[Upstream], LLM] = fast, *, streamed: bool, **options: Any) -> str:
    """Ask once; the text, or raises what went wrong, with the text that had come before as a note."""
    llm = ReliableLLM("m", client(upstream), **{"retries": 0, **options})
    text = ""
    try:
        if not streamed:
            return (await llm.complete(ASK)).text
        async with aclosing(llm.stream(ASK)) as chunks:
            async for piece in chunks:
                text += piece.text
    except LLMError as error:
        error.add_note(text)
        raise
    finally:
        await llm.aclose()
    return text


@CLIENTS
async def test_an_answer_with_an_error_beside_it_is_a_failure(client: Callable[[Upstream], LLM]) -> None:
    """Whichever client reads it; before the first token it is tried again."""
    bad = document({"choices": [FAILED_CHOICE]})
    async with Upstream(bad) as upstream:
        with pytest.raises(ProviderFailed):
            await said(upstream, client, streamed=False)
    async with Upstream(bad, answer("Four.")) as upstream:
        assert await said(upstream, client, streamed=False, retries=1) == "Four."


@pytest.mark.parametrize("client", [fast, litellm])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("place", ["choice", "message"])
async def test_an_error_beside_a_text_that_seems_whole(client: Any, place: str, streamed: bool) -> None:
    """In a choice or its message, with `stop` beside it: an error of its class."""
    error = {"error": {"code": 429, "message": "x"}}
    message = {"role": "assistant", "content": "The answer is 1", **(error if place == "message" else {})}
    beside = error if place == "choice" else {}
    choice = {"index": 0, "finish_reason": "stop", "delta" if streamed else "message": message, **beside}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    async with Upstream(events(sse(body), DONE) if streamed else document(body)) as upstream:
        with pytest.raises(RateLimited) as caught:
            await said(upstream, client, streamed=streamed)

    assert "".join(caught.value.__notes__) == ""


@CLIENTS
@pytest.mark.parametrize("reason", ["error", "abort", "never_heard_of", "network_error"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_reason_for_a_failure_fails(client: Callable[[Upstream], LLM], reason: str, streamed: bool) -> None:
    """No client's library makes an answer of it."""
    reply = (
        stream("The answer is 1", finish_reason=reason) if streamed else answer("The answer is 1", finish_reason=reason)
    )
    async with Upstream(reply) as upstream:
        with pytest.raises(ProviderFailed):
            await said(upstream, client, streamed=streamed)


@CLIENTS
@pytest.mark.parametrize("reason", ["max_tokens", "MAX_TOKENS", "model_length"])
async def test_a_reason_for_a_cut_is_length(client: Callable[[Upstream], LLM], reason: str) -> None:
    """In any provider's words."""
    async with Upstream(answer("Fo", finish_reason=reason), stream("Fo", finish_reason=reason)) as upstream:
        llm = ReliableLLM("m", client(upstream), retries=0)
        found = (await llm.complete(ASK)).finish_reason
        chunks = [piece async for piece in llm.stream(ASK)]
        await llm.aclose()

    assert [found, next(c.finish_reason for c in chunks if c.finish_reason)] == ["length", "length"]


@CLIENTS
@pytest.mark.parametrize("streamed", [False, True])
async def test_half_a_character_is_whole_again(client: Callable[[Upstream], LLM], streamed: bool) -> None:
    """In a stream with its other half; where there is none, as a character that can be written."""
    pieces = [sse(chunk({"content": text})) for text in ("hi \ud83d", "\ude00!")]
    reply = events(*pieces, sse(chunk({}, "stop")), DONE) if streamed else answer("hi \ud83d")
    async with Upstream(reply) as upstream:
        assert await said(upstream, client, streamed=streamed) == ("hi 😀!" if streamed else "hi \ufffd")


async def test_an_empty_list_of_choices_with_an_error_is_that_error() -> None:
    """A rate limit inside a 200 is a rate limit."""
    async with Upstream(document({"error": {"code": 429}, "choices": []})) as upstream:
        with pytest.raises(RateLimited):
            await said(upstream, streamed=False)


STREAMS: dict[str, tuple[tuple[bytes, ...], type[LLMError]]] = {
    "empty reasons, then closed": (
        (b'data: {"choices":[{"index":0,"delta":{"content":"Half an ans"},"finish_reason":""}]}\n\n',),
        ProviderFailed,
    ),
    "field": (
        (HALF, b'error: {"code":400,"message":"the request exceeds the available context size"}\n\n', DONE),
        ContextTooLong,
    ),
    "named": (
        (HALF, b'event: error\ndata: {"code":"InternalError","message":"backend died"}\n\n', DONE),
        ProviderFailed,
    ),
    "detail": ((HALF, sse({"detail": "CUDA out of memory"}), DONE), ProviderFailed),
    "FastChat": ((HALF, sse({"text": "**NETWORK ERROR**", "error_code": 50001}), DONE), ProviderFailed),
    "bare": ((HALF, b'{"error": {"code": 429, "message": "x"}}\n', DONE), RateLimited),
    "after the end": ((HALF, sse(chunk({}, "stop")), sse({"error": {"code": 429}}), DONE), RateLimited),
}


@pytest.mark.parametrize(("parts", "kind"), STREAMS.values(), ids=STREAMS)
async def test_a_stream_with_an_error_in_it_is_not_whole(parts: tuple[bytes, ...], kind: type[LLMError]) -> None:
    """After a token, the failure follows; before the first, the next attempt answers."""
    async with Upstream(events(*parts)) as upstream:
        with pytest.raises(kind) as caught:
            await said(upstream, streamed=True, retries=2)
        assert caught.value.__notes__ == ["Half an ans"]
        assert len(upstream.received) == 1
    if HALF in parts and kind is not ContextTooLong:
        before = events(*(part for part in parts if part != HALF))
        async with Upstream(before, stream("Four.")) as upstream:
            assert await said(upstream, streamed=True, retries=1) == "Four."


async def test_the_class_of_an_error_survives_where_there_was_no_text() -> None:
    """It is not taken for an empty reply."""
    field = b'error: {"code":400,"message":"the request exceeds the available context size"}\n\n'
    async with Upstream(events(field, DONE)) as upstream:
        with pytest.raises(ContextTooLong):
            await said(upstream, streamed=True)


async def test_two_replies_that_failed_do_not_outvote_one_that_is_right() -> None:
    """Their text is no proposal, has no final answer, and is counted nowhere."""
    bad = document({"choices": [FAILED_CHOICE]})
    async with Upstream(bad, bad, answer("The answer is 4")) as upstream:
        llm = {"model": "hosted_vllm/m", "api_base": upstream.base_url, "retries": 0, "context_window": 8192}
        mixture = {"description": "Three.", "workers": [{"llm": "m", "samples": 3}], "aggregator": {"method": "vote"}}
        async with MoLLM({"llms": {"m": llm}, "mixtures": {"general": mixture}}) as mollm:
            found = await mollm.aask("2 + 2?")

    assert found.text == "The answer is 4"
    assert sorted(p.text for p in found.proposals) == ["", "", "The answer is 4"]
    assert [p.final for p in found.proposals if p.error] == [None, None]
    assert found.agreement == 1


async def test_a_mixture_whose_replies_all_failed_has_no_answer() -> None:
    """It says so, and quotes none of them."""
    async with Upstream(*[document({"choices": [FAILED_CHOICE]})] * 2) as upstream:
        llm = {"model": "hosted_vllm/m", "api_base": upstream.base_url, "retries": 0, "context_window": 8192}
        mixture = {"description": "Two.", "workers": [{"llm": "m", "samples": 2}], "aggregator": {"method": "vote"}}
        async with MoLLM({"llms": {"m": llm}, "mixtures": {"general": mixture}}) as mollm:
            with pytest.raises(QuorumError) as caught:
                await mollm.aask("2 + 2?")

    assert "The answer is 1" not in str(caught.value)


@pytest.mark.parametrize("reason", ["max_tokens", "MAX_TOKENS", "length"])
async def test_an_aggregator_that_was_cut_off_falls_back_in_any_words(reason: str) -> None:
    """As with `length`; a worker's proposal that was cut off says so."""
    workers = [answer("4", finish_reason=reason), answer("5")]
    async with Upstream(*workers, answer("The ans", finish_reason=reason), answer("Four.")) as upstream:
        llm = {"model": "hosted_vllm/m", "api_base": upstream.base_url, "retries": 0, "context_window": 8192}
        mixture = {
            "description": "Two.",
            "workers": [{"llm": "m", "samples": 2}],
            "aggregator": {"method": "synthesize", "llm": "m", "fallback_llm": "n"},
        }
        async with MoLLM({"llms": {"m": llm, "n": llm}, "mixtures": {"general": mixture}}) as mollm:
            found = await mollm.aask("2 + 2?")

    assert found.text == "Four."
    assert any("cut off" in reason for reason in found.degraded)
    assert sorted(p.truncated for p in found.proposals) == [False, True]


LABELS = pytest.mark.parametrize("label", [None, "text/event-stream", "application/json", "text/plain", "nonsense"])


@LABELS
@pytest.mark.parametrize("streamed", [False, True])
async def test_the_bytes_decide_and_not_the_label(label: str | None, streamed: bool) -> None:
    """Events or one document, whatever was asked for and whatever the content type says."""
    headers = {"content-type": label} if label else {}
    for reply in (stream("Fo", "ur."), answer("Four.")):
        async with Upstream(Reply(reply.parts, headers=headers)) as upstream:
            assert await said(upstream, streamed=streamed) == "Four."


async def test_an_llm_that_only_streams_is_a_worker_like_any_other() -> None:
    """`stream: always`: every call is streamed, and collected where the whole reply is wanted."""
    only = [stream("4"), stream("5"), stream("Fo", "ur.")]
    async with Upstream(*only) as upstream:
        llm = {"model": "hosted_vllm/m", "api_base": upstream.base_url, "retries": 0, "stream": "always"}
        mixture = {"description": "Two.", "workers": [{"llm": "m", "samples": 2}]}
        config = {"llms": {"m": {**llm, "context_window": 8192}}, "mixtures": {"general": mixture}}
        async with MoLLM(config) as mollm:
            found = await mollm.aask("2 + 2?")

    assert (found.text, found.finish_reason, found.degraded) == ("Four.", "stop", ())
    assert [received.body["stream"] for received in upstream.received] == [True] * 3
    assert not found.usage.estimated


async def test_a_stream_that_is_collected_and_breaks_off_is_a_failure() -> None:
    """It is tried again as a whole reply would be."""
    broken = stream("Half", finish_reason=None, done=False, usage=None)
    async with Upstream(broken, stream("Four.")) as upstream:
        assert await said(upstream, streamed=False, retries=1, collects=True) == "Four."


async def test_a_long_header_is_read_and_one_without_bounds_is_named() -> None:
    """32 KiB are no reason to lose an answer; 80 KiB are, and the reason is said."""
    for size, words in ((32, None), (80, "header")):
        headers = {"content-type": "application/json", "x-trace": "s" * (size << 10)}
        async with Upstream(Reply(answer("Four.").parts, headers=headers)) as upstream:
            if words is None:
                assert await said(upstream, streamed=False) == "Four."
            else:
                with pytest.raises(ProviderFailed, match="a header of its reply has more than 64 KiB"):
                    await said(upstream, streamed=False)


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("https://login.example.com/sso?token=s3cret", "to https://login.example.com,"),
        ("/login?key=s3cret", "to http://127.0.0.1:"),
        ("https://user:s3cret@h.example:8443/v1", "to https://h.example:8443,"),
        (None, "it redirects"),
        ("http://[::1", "it redirects"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_redirect_is_named_with_the_host_it_leads_to(location: str | None, where: str, streamed: bool) -> None:
    """And nothing else of where it leads, which may hold a secret."""
    headers = {"location": location} if location else {}
    async with Upstream(document({}, 307, **headers)) as upstream:
        with pytest.raises(ProviderFailed, match="not followed") as caught:
            await said(upstream, streamed=streamed)

    assert where in str(caught.value)
    assert "(HTTP 307)" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_what_a_provider_says_of_langchain_s_reply_beside_it_counts() -> None:
    """An error in the metadata of a message is an error."""
    from langchain_core.messages import AIMessageChunk

    from mollm.llms.langchain import LangChainLLM
    from tests.llms.chat_models import Recorded

    for where in ("response_metadata", "additional_kwargs"):
        fields: Any = {where: {"error": {"code": 429, "message": "x"}}}
        llm = ReliableLLM("m", LangChainLLM(Recorded(pieces=[AIMessageChunk(content="1", **fields)])), retries=0)
        with pytest.raises(RateLimited):
            await llm.complete(ASK)
        with pytest.raises(RateLimited):
            await anext(llm.stream(ASK))
