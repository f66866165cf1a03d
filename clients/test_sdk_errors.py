"""Through the openai SDK: errors as the right exception, the list of models, and what the headers say."""
# ruff: noqa: S101 - asserts are the point

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from caller import Caller, all_of, done

if TYPE_CHECKING:
    from conftest import Served


async def test_the_models_are_listed(caller: Caller) -> None:
    """What is asked is among them, and each can be looked up."""
    listed = await all_of(caller.sdk.models.list())

    found = await done(caller.sdk.models.retrieve(listed[0].id)) if caller.model == "council" else listed[0]
    assert caller.model in [model.id for model in listed]
    assert {model.object for model in listed} == {"model"}
    assert found.id == listed[0].id


@pytest.mark.mollm
async def test_mixtures_llms_and_the_router_are_listed(caller: Caller) -> None:
    """Each entry says what it is."""
    listed = {model.id: model for model in await all_of(caller.sdk.models.list())}

    one = await done(caller.sdk.models.retrieve("council"))

    assert {"auto", "router", "single", "council", "scholar", "deepseek-r"} <= set(listed)
    assert one.model_dump() == listed["council"].model_dump()
    with pytest.raises(openai.NotFoundError):
        await done(caller.sdk.models.retrieve("nobody"))


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"temperature": 9}, "temperature"),
        ({"n": 0}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "nobody", "content": "Hello"}]}, "messages[0].role"),
        ({"max_tokens": "many"}, "max_tokens"),
    ],
    ids=["temperature", "n", "no message", "role", "type"],
)
async def test_a_bad_request_names_the_parameter(
    caller: Caller, options: dict[str, Any], param: str, is_streamed: bool
) -> None:
    """400, with OpenAI's error object, before a stream begins."""
    with pytest.raises(openai.BadRequestError) as caught:
        await caller.ask("Hello", stream=is_streamed, extra_body=options)

    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert isinstance(caught.value.body, dict)


async def test_a_wrong_key_is_refused(served: Served) -> None:
    """401 for a chat and for the list of models."""
    with openai.OpenAI(base_url=served.base_url, api_key="not-the-key", max_retries=0) as sdk:
        with pytest.raises(openai.AuthenticationError):
            sdk.chat.completions.create(model=served.model, messages=[{"role": "user", "content": "Hello"}])
        with pytest.raises(openai.AuthenticationError):
            sdk.models.list()


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
async def test_an_unknown_model_is_not_found(caller: Caller, is_streamed: bool) -> None:
    """404 with a code that programs know."""
    with pytest.raises(openai.NotFoundError) as caught:
        await caller.ask("Hello", model="nobody", stream=is_streamed)

    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "expected"), [("busy", openai.RateLimitError), ("broken", openai.InternalServerError)]
)
async def test_a_failing_llm_keeps_its_status(
    caller: Caller, model: str, expected: type[Exception], is_streamed: bool
) -> None:
    """429 where the upstream has no room, 5xx where it broke, also before a stream."""
    with pytest.raises(expected) as caught:
        await caller.ask("Hello", model=model, stream=is_streamed)

    assert isinstance(caught.value, openai.APIStatusError)
    assert isinstance(caught.value.body, dict)


async def test_a_conversation_that_is_too_long_says_so(caller: Caller) -> None:
    """400 with the code that clients shorten a conversation for."""
    with pytest.raises(openai.BadRequestError) as caught:
        await caller.ask("word " * 40_000)

    assert caught.value.code == "context_length_exceeded"


async def test_an_image_that_is_none_is_refused(caller: Caller) -> None:
    """The LLM's 400 stays a 400."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,bm8gaW1hZ2U="}}

    with pytest.raises(openai.BadRequestError):
        await caller.ask([{"type": "text", "text": "What is this?"}, image])


@pytest.mark.mollm
async def test_a_stream_that_breaks_off_is_an_error(caller: Caller) -> None:
    """What came is shown, and then an error is raised: half an answer never looks whole."""
    pieces = []
    with pytest.raises(openai.APIError) as caught:  # noqa: PT012 - a stream is read inside
        async for chunk in caller.each("Count from 1 to 20.", model="fragile"):
            pieces.append(chunk.choices[0].delta.content)  # noqa: PERF401 - what came before the error counts

    assert "1," in "".join(piece or "" for piece in pieces)
    assert not isinstance(caught.value, openai.APIStatusError)
    assert caught.value.message


@pytest.mark.mollm
@pytest.mark.parametrize("name", ["api_base", "base_url", "api_key", "extra_headers", "user_config"])
async def test_no_request_chooses_an_address_a_key_or_headers(caller: Caller, name: str) -> None:
    """400, however deep in the request it stands; what is called so inside `metadata` is the caller's own."""
    for extra in ({name: "x"}, {"further": {"deep": [{name: "x"}]}}):
        with pytest.raises(openai.BadRequestError):
            await caller.ask("Hello", extra_body=extra)


@pytest.mark.mollm
async def test_a_body_that_is_too_large_is_refused(caller: Caller) -> None:
    """413, and the next request is answered."""
    with pytest.raises(openai.APIStatusError) as caught:
        await caller.ask("a" * 33_600_000)

    assert caught.value.status_code == 413
    assert (await caller.ask("Hello")).choices


@pytest.mark.mollm
async def test_headers_tell_how_an_answer_came_about(caller: Caller, served: Served) -> None:
    """Mixture, probability and calls, through `with_raw_response`."""
    response = await caller.raw("Hello")

    headers = response.headers
    assert headers["x-mollm-mixture"] == caller.model
    assert float(headers["x-mollm-probability"]) == 1
    assert headers["x-mollm-calls"] == ("4" if served.is_panel else "1")
    assert (await done(response.parse())).choices[0].message.content


@pytest.mark.mollm
async def test_the_headers_of_a_stream_tell_the_mixture(caller: Caller) -> None:
    """They leave with the first token."""
    response = await caller.raw("Hello", stream=True)

    assert response.headers["x-mollm-mixture"] == caller.model
    assert response.headers["content-type"].startswith("text/event-stream")
    assert await all_of(await done(response.parse()))


@pytest.mark.mollm
async def test_the_trace_comes_where_it_is_asked_for(caller: Caller, served: Served) -> None:
    """The whole answer as `mollm`: in the body, on the last chunk of a stream, and nowhere else."""
    wanted = {"mollm": {"trace": True}}
    plain, whole = await caller.ask("Hello"), await caller.ask("Hello", extra_body=wanted)
    *chunks, last = await caller.chunks("Hello", extra_body=wanted)

    assert not hasattr(plain, "mollm")
    assert not any(hasattr(chunk, "mollm") for chunk in chunks)
    for trace in (whole.mollm, last.mollm):
        assert trace["mixture"] == caller.model
        assert len(trace["proposals"]) == (3 if served.is_panel else 1)
        assert trace["usage"]["total_tokens"] > 0
