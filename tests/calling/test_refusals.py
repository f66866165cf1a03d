"""Request fields that are not taken: which a refusal names, and what is tried in their place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.calling.base import Request
from mollm.calling.fields import AUTO, Fields
from mollm.calling.refusals import refused_fields
from mollm.calling.translate import from_status
from mollm.errors import BadRequest, LLMError
from mollm.llms.openai_compatible import OpenAICompatibleLLM
from mollm.options import Settings
from tests.upstream import Reply, Upstream, answer, document, error, stream

if TYPE_CHECKING:
    from collections.abc import Collection

ASK = Request([{"role": "user", "content": "2 + 2?"}], Settings(max_tokens=5))
WRONG_NAME = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (WRONG_NAME, {"max_tokens"}),
        ("`max_tokens` is not supported, use `max_completion_tokens`", {"max_tokens"}),
        ("max_tokens is deprecated in favor of max_completion_tokens", {"max_tokens"}),
        ("This model does not support max_tokens", {"max_tokens"}),
        ("Please use max_completion_tokens for this model", {"max_tokens"}),
        ("Unrecognized request argument supplied: max_completion_tokens", {"max_completion_tokens"}),
        ("Unknown field `max_completion_tokens`, expected one of `messages`, `max_tokens`", {"max_completion_tokens"}),
        ("max_completion_tokens: Extra inputs are not permitted", {"max_completion_tokens"}),
        ("max_tokens: Field required", {"max_completion_tokens"}),
        ("Unrecognized request argument supplied: stream_options", {"stream_options"}),
        ("Unknown parameter: 'stream_options'.", {"stream_options"}),
        ("Extra inputs are not permitted, field: 'stream_options', value: {'include_usage': true}", {"stream_options"}),
        ("body -> stream_options extra fields not permitted (type=value_error.extra)", {"stream_options"}),
        ("property 'stream_options' is unsupported", {"stream_options"}),
        ("property 'stream_options' is unsupported, did you mean 'stream'?", {"stream_options"}),
        ('json: unknown field "stream_options"', {"stream_options"}),
        ('Invalid JSON payload received. Unknown name "stream_options": Cannot find field.', {"stream_options"}),
        ("Additional properties are not allowed ('stream_options' was unexpected)", {"stream_options"}),
        ("create() got an unexpected keyword argument 'stream_options'", {"stream_options"}),
        ("#: extraneous key [stream_options] is not permitted, please reformat your input", {"stream_options"}),
        ("m does not support parameters: ['stream_options'], for model=m", {"stream_options"}),
        ("The following parameters are not supported: stream_options, seed", {"stream_options", "seed"}),
        ("stream_options.include_usage: Extra inputs are not permitted", {"stream_options"}),
        ("Unsupported value: 'temperature' does not support 0.2 with this model.", {"temperature"}),
        ("`temperature` and `top_p` cannot both be specified for this model.", {"temperature", "top_p"}),
        ("Unsupported parameter: 'stop' is not supported with this model.", {"stop"}),
        # Not a field that is refused
        ("max_tokens is too large: 9000", set()),
        ("max_tokens must be at most 4096", set()),
        ("temperature must be between 0 and 2", set()),
        ("unexpected stop of the worker", set()),
        ("The model does not exist", set()),
        ('"auto" tool choice requires --enable-auto-tool-choice', set()),
        ("Rate limit reached", set()),
        ("body.messages.0.content: Extra inputs are not permitted", set()),
        ("--max-tokens is not supported", set()),
    ],
)
def test_a_refusal_names_its_fields(text: str, fields: Collection[str]) -> None:
    """In the words of many servers; a field whose value is wrong is another matter."""
    assert set(refused_fields(text.lower())) == set(fields)


def pydantic(field: str) -> Reply:
    """The 422 of a server with strict models."""
    entry = {"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted", "input": 1}
    return document({"detail": [entry]}, 422)


def test_the_failure_says_which_field_it_is() -> None:
    """For those that nobody may drop: they are what the caller asked for."""
    body = {"error": {"message": "no", "code": "unsupported_value", "param": "temperature"}}

    for status in (400, 422, 500):
        found = from_status(status, {}, json.dumps(body).encode(), "m")

        assert type(found) is BadRequest
        assert (found.code, found.refused) == ("unsupported_parameter", ("temperature",))
        assert "`temperature`" in found.message


async def calls(llm: OpenAICompatibleLLM, *, streamed: bool) -> str:
    """Ask, and close what was opened."""
    if streamed:
        return "".join([piece.text async for piece in llm.stream(ASK)])
    return (await llm.complete(ASK)).text


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_token_limit_under_the_other_name_is_sent_once_more(*, streamed: bool) -> None:
    """And from then on at once, under that name alone."""
    whole = stream("Four.") if streamed else answer("Four.")
    async with Upstream(error(400, WRONG_NAME, code="unsupported_parameter"), whole, whole) as upstream:
        llm = OpenAICompatibleLLM("m", api_base=upstream.base_url)
        texts = [await calls(llm, streamed=streamed) for _ in range(2)]
        await llm.aclose()

    assert texts == ["Four.", "Four."]
    limits = [{k: v for k, v in got.body.items() if "tokens" in k} for got in upstream.received]
    assert limits == [{"max_tokens": 5}, {"max_completion_tokens": 5}, {"max_completion_tokens": 5}]


async def test_stream_options_that_are_refused_are_left_out() -> None:
    """From then on as well; the reply is streamed all the same."""
    async with Upstream(pydantic("stream_options"), stream("Four."), stream("Four.")) as upstream:
        llm = OpenAICompatibleLLM("m", api_base=upstream.base_url)
        texts = [await calls(llm, streamed=True) for _ in range(2)]
        await llm.aclose()

    assert texts == ["Four.", "Four."]
    assert [got.body.get("stream_options", "none") for got in upstream.received] == [
        {"include_usage": True},
        "none",
        "none",
    ]


async def test_a_refusal_is_answered_once() -> None:
    """An address that refuses both names is not asked a third time, and nothing is remembered of it."""
    refusals = [pydantic("max_tokens"), pydantic("max_completion_tokens")]
    async with Upstream(*refusals, answer()) as upstream:
        llm = OpenAICompatibleLLM("m", api_base=upstream.base_url)
        with pytest.raises(LLMError) as caught:
            await llm.complete(ASK)
        assert len(upstream.received) == 2
        await llm.complete(ASK)
        await llm.aclose()

    assert caught.value.refused == ("max_completion_tokens",)
    assert "max_tokens" in upstream.received[2].body


@pytest.mark.parametrize("field", ["temperature", "seed", "stop", "tools", "response_format"])
async def test_what_the_caller_asked_for_is_never_dropped(field: str) -> None:
    """It is the caller's to decide."""
    async with Upstream(pydantic(field), answer()) as upstream:
        llm = OpenAICompatibleLLM("m", api_base=upstream.base_url)
        with pytest.raises(BadRequest, match=f"`{field}`"):
            await llm.complete(ASK)
        await llm.aclose()

    assert len(upstream.received) == 1


@pytest.mark.parametrize(
    ("llm", "streamed", "sent"),
    [
        ({"max_tokens_field": "max_completion_tokens"}, False, {"max_completion_tokens": 5}),
        ({"max_tokens_field": "max_tokens"}, False, {"max_tokens": 5}),
        ({"stream_usage": False}, True, {"max_tokens": 5}),
        ({"stream_usage": True}, True, {"max_tokens": 5, "stream_options": {"include_usage": True}}),
    ],
)
async def test_what_is_configured_is_sent_from_the_first_call(
    llm: dict[str, Any], sent: dict[str, Any], *, streamed: bool
) -> None:
    """And kept to, also where it is refused."""
    names = ("max_tokens", "max_completion_tokens", "stream_options")
    refused = pydantic("stream_options" if "stream_usage" in llm else llm["max_tokens_field"])
    async with Upstream(stream("Four.") if streamed else answer("Four."), refused) as upstream:
        whole = {"model": "hosted_vllm/m", "api_base": upstream.base_url, "retries": 0, "max_tokens": 5, **llm}
        config = {"llms": {"a": whole}, "mixtures": {"m": {"description": "x", "workers": ["a"]}}}
        async with MoLLM(config) as mollm:
            if streamed:
                assert [event async for event in mollm.astream("Hi")]
            else:
                assert (await mollm.aask("Hi")).text == "Four."
            with pytest.raises(LLMError):
                await mollm.aask("Hi")

    assert {k: v for k, v in upstream.received[0].body.items() if k in names} == sent
    assert len(upstream.received) == 2


def test_only_what_was_sent_can_be_left_out() -> None:
    """And only what is not configured."""
    assert AUTO.without(["max_completion_tokens", "temperature"]) == AUTO
    assert AUTO.without(["max_tokens", "stream_options"]) == Fields(
        found_limit="max_completion_tokens", found_usage=False
    )
    assert AUTO.without(["max_tokens"]).without(["max_completion_tokens"]) == AUTO
    for fixed in (Fields("max_tokens", True), Fields("max_completion_tokens", False)):
        assert fixed.without(["max_tokens", "max_completion_tokens", "stream_options"]) == fixed


def test_what_is_not_set_is_left_out() -> None:
    """Not sent as null."""
    body: dict[str, Any] = {"model": "m"}

    Fields("max_completion_tokens", False).write(body, stream=True)

    assert body == {"model": "m"}
