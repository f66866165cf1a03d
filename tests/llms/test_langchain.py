from __future__ import annotations

import asyncio
import contextvars
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from mollm.calling import shapes
from mollm.calling.base import LLM, Chunk, Request
from mollm.calling.translate import translate
from mollm.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    ProviderFailed,
    RateLimited,
    RequestError,
    Unexpected,
    Unreachable,
)
from mollm.options import Settings
from mollm.types import Usage
from tests.upstream import DROP, Reply, Upstream, answer, chunk, error, events, hang, sse, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.messages import AIMessageChunk

    from mollm.llms.langchain import LangChainLLM
    from mollm.types import Message

CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
    {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}},
]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def wrapped(model: Any) -> LangChainLLM:
    """The LLM that a chat model becomes."""
    from mollm.llms.langchain import LangChainLLM

    return LangChainLLM(model)


def piece(content: Any = "", **fields: Any) -> AIMessageChunk:
    """Build one piece of a stream."""
    from langchain_core.messages import AIMessageChunk

    return AIMessageChunk(content=content, **fields)


def ask(text: str = "2+2?", **settings: Any) -> Request:
    """Build a request of one message."""
    return Request([{"role": "user", "content": text}], Settings(**settings))


def recorded(*pieces: AIMessageChunk, look: Callable[[], None] | None = None) -> Any:
    """Build a chat model that answers with these pieces."""
    from tests.llms.chat_models import Recorded

    return Recorded(pieces=list(pieces or [piece("Four.")]), look=look)


async def streamed(llm: LLM, request: Request) -> list[Chunk]:
    """Collect a stream, in the form in which every LLM's is passed on."""
    return [chunk async for chunk in shapes.streamed(request, llm.stream(request)) if chunk != Chunk()]


# Fake models


async def test_a_model_that_ignores_settings_works() -> None:
    """Whatever is set, a model that knows nothing of it still answers."""
    from tests.llms import chat_models

    llm = wrapped(chat_models.listed("Four."))

    completion = await llm.complete(ask(max_tokens=5, temperature=0, seed=1))

    assert isinstance(llm, LLM)
    assert completion.message == {"role": "assistant", "content": "Four."}
    assert (completion.finish_reason, completion.usage, completion.logprobs) == ("stop", None, None)


async def test_a_stream_comes_in_pieces() -> None:
    """Text arrives as the model gives it."""
    from tests.llms import chat_models

    llm = wrapped(chat_models.generic("It is four."))

    chunks = await streamed(llm, ask())

    assert [chunk.text for chunk in chunks] == ["It", " ", "is", " ", "four."]


async def test_only_what_is_set_is_passed() -> None:
    """A setting reaches the model under its own name; what is not set is not mentioned."""
    model = recorded()

    await wrapped(model).complete(ask())
    await wrapped(model).complete(ask(max_tokens=5, stop=("END",), extra_body={"top_k": 3}))

    assert [options for _, options in model.asked] == [
        {},
        {"max_tokens": 5, "stop": ["END"], "extra_body": {"top_k": 3}},
    ]


async def test_usage_and_finish_reason_are_read() -> None:
    """Usage in pieces adds up; other providers' finish reasons get OpenAI's names."""
    first = piece("Fo", usage_metadata={"input_tokens": 7, "output_tokens": 0, "total_tokens": 7})
    last = piece(
        "ur.",
        usage_metadata={"input_tokens": 0, "output_tokens": 2, "total_tokens": 2},
        response_metadata={"stop_reason": "max_tokens", "logprobs": {"content": []}},
    )
    llm = wrapped(recorded(first, last))

    completion = await llm.complete(ask())
    chunks = await streamed(llm, ask())

    assert (completion.text, completion.usage, completion.finish_reason) == ("Four.", Usage(7, 2, 9), "length")
    assert completion.logprobs == {"content": []}
    assert [chunk.usage for chunk in chunks] == [Usage(7, 0, 7), Usage(7, 2, 9)]
    assert [chunk.finish_reason for chunk in chunks] == [None, "length"]


async def test_reasoning_and_text_blocks_are_told_apart() -> None:
    """Content in blocks becomes text; reasoning goes to its own field."""
    pieces = [
        piece([{"type": "thinking", "thinking": "h", "index": 0}]),
        piece([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "m"}], "index": 1}]),
        piece([{"type": "text", "text": "Fo", "index": 2}]),
        piece([{"type": "text", "text": "ur.", "index": 2}]),
    ]
    llm = wrapped(recorded(*pieces))

    completion = await llm.complete(ask())
    chunks = await streamed(llm, ask())

    assert completion.message["content"] == "Four."
    assert completion.message["reasoning_content"] == "hm"
    assert [chunk.delta for chunk in chunks] == [
        {"reasoning_content": "h"},
        {"reasoning_content": "m"},
        {"content": "Fo"},
        {"content": "ur."},
    ]


async def test_streamed_tool_calls_are_numbered_from_zero() -> None:
    """Calls keep their pieces together whatever LangChain's index is, and where it is missing."""

    def part(index: int | None, **call: Any) -> AIMessageChunk:
        whole = {"name": None, "args": "", "id": None, "index": index, "type": "tool_call_chunk", **call}
        return piece(tool_call_chunks=[whole])

    indexed = [part(1, id="c1", name="f"), part(1, args="{}"), part(3, id="c2", name="g", args="{}")]
    unindexed = [part(None, id="c1", name="f", args="{}"), part(None, id="c2", name="g", args="{}")]

    found = []
    for pieces in (indexed, unindexed):
        chunks = shapes.streamed(ask(tools=(TOOL,)), wrapped(recorded(*pieces)).stream(ask()))
        found.append([call async for chunk in chunks for call in chunk.delta.get("tool_calls", ())])

    head = {"index": 0, "id": "c1", "type": "function"}
    tail = {"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    assert found == [[{**head, "function": {"name": "f", "arguments": "{}"}}, tail]] * 2


async def test_a_model_without_tools_says_so() -> None:
    """Tools are not dropped in silence."""
    from tests.llms import chat_models

    with pytest.raises(BadRequest, match="FakeListChatModel takes no tools"):
        await wrapped(chat_models.listed("x")).complete(ask(tools=(TOOL,)))


async def test_what_is_not_a_chat_model_is_the_providers_failure() -> None:
    """A runnable that returns no message is told by its type."""
    from tests.llms import chat_models

    chain: Any = chat_models.listed("x") | (lambda message: message.content)

    with pytest.raises(ProviderFailed, match="returned str"):
        await wrapped(chain).complete(ask())


# Inside somebody else's run


async def test_inside_a_graph_nothing_leaks_out() -> None:
    """The calls of a mixture do not show up among the tokens of the graph it is a node of."""
    from tests.llms import chat_models

    llm = wrapped(chat_models.generic("not shown", "not shown"))
    texts = []

    async def node(state: Any) -> Any:
        texts.append((await llm.complete(ask())).text)
        texts.append("".join([chunk.text async for chunk in llm.stream(ask())]))
        return state

    graph = chat_models.graph_of(node)
    shown = [part async for part in graph.astream({"messages": []}, stream_mode="messages")]

    assert texts == ["not shown", "not shown"]
    assert shown == []


async def test_without_isolation_tokens_would_leak() -> None:
    """The promise above is not kept by chance: the bare model does leak."""
    from tests.llms import chat_models

    model = chat_models.generic("shown")

    async def node(state: Any) -> Any:
        await model.ainvoke("hi")
        return state

    graph = chat_models.graph_of(node)
    shown = [part async for part in graph.astream({"messages": []}, stream_mode="messages")]

    assert shown != []


async def test_usage_callbacks_around_the_call_hear_nothing() -> None:
    """Usage is reported once, by mollm, and not again by the model."""
    from langchain_core.callbacks import get_usage_metadata_callback

    usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    reply = piece("Four.", usage_metadata=usage, response_metadata={"model_name": "m"})
    llm = wrapped(recorded(reply))

    with get_usage_metadata_callback() as heard:
        await llm.complete(ask())
        await streamed(llm, ask())

        assert heard.usage_metadata == {}
        await recorded(reply).ainvoke("hi")

    assert heard.usage_metadata == {"m": usage}


async def test_tracing_around_the_call_is_off_inside_and_on_again_after() -> None:
    """A tracer does not see the model's run beside mollm's own; everything else is seen, and all is as before."""
    from langsmith.run_helpers import tracing_context
    from langsmith.utils import tracing_is_enabled

    request_id = contextvars.ContextVar("request_id", default="")
    request_id.set("r1")
    seen: list[tuple[object, str]] = []
    llm = wrapped(recorded(look=lambda: seen.append((tracing_is_enabled(), request_id.get()))))

    with tracing_context(enabled=True):
        await llm.complete(ask())
        async with aclosing(llm.stream(ask())) as chunks:
            await anext(chunks)
            between = tracing_is_enabled()

    assert seen == [(False, "r1"), (False, "r1")]
    assert between is True


async def test_the_models_own_callbacks_hear_everything() -> None:
    """What the model's maker attached to the model is left alone."""
    from langchain_core.callbacks import AsyncCallbackHandler

    heard = []

    class Ears(AsyncCallbackHandler):
        async def on_chat_model_start(self, *_: Any, **__: Any) -> None:
            heard.append("start")

    model = recorded()
    model.callbacks = [Ears()]

    await wrapped(model).complete(ask())

    assert heard == ["start"]


# ChatOpenAI


def at(upstream: Upstream) -> LangChainLLM:
    """Build an LLM on ChatOpenAI whose provider is the loopback server."""
    from mollm.llms.langchain import chat_openai

    return chat_openai("m", api_base=upstream.base_url, api_key="sk-1", timeout_seconds=10)


async def test_chat_openai_sends_everything() -> None:
    """Messages, images, tools and settings reach the server in OpenAI's form."""
    messages: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE], "name": "ann"},
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
        tools=(TOOL,),
        tool_choice={"type": "function", "function": {"name": "weather"}},
        extra_body={"top_k": 4},
    )
    async with Upstream(answer()) as upstream:
        llm = at(upstream)
        await llm.complete(Request(messages, settings))
        await llm.aclose()
        sent = upstream.received[0]

    expected = settings.payload()
    expected["max_completion_tokens"] = expected.pop("max_tokens")  # ChatOpenAI's name for it
    assert sent.body == {**expected, "model": "m", "messages": messages, "stream": False}
    assert sent.headers["Authorization"] == "Bearer sk-1"


async def test_chat_openai_returns_everything_openai_knows() -> None:
    """Parallel tool calls, usage, finish reason and logprobs come back."""
    logprobs: dict[str, Any] = {"content": [], "refusal": None}
    async with Upstream(answer(None, tool_calls=CALLS, finish_reason="tool_calls", logprobs=logprobs)) as upstream:
        llm = at(upstream)
        completion = await llm.complete(ask(tools=(TOOL,)))
        await llm.aclose()

    assert completion.message == {"role": "assistant", "content": None, "tool_calls": CALLS}
    assert (completion.finish_reason, completion.usage) == ("tool_calls", Usage(7, 2, 9))
    assert completion.logprobs == logprobs


async def test_chat_openai_takes_a_response_format() -> None:
    """JSON mode passes through."""
    async with Upstream(answer('{"a": 1}')) as upstream:
        llm = at(upstream)
        completion = await llm.complete(ask(response_format={"type": "json_object"}))
        await llm.aclose()

    assert completion.text == '{"a": 1}'
    assert upstream.received[0].body["response_format"] == {"type": "json_object"}


async def test_chat_openai_streams() -> None:
    """Text and parallel tool calls arrive in pieces, then finish reason and usage."""
    halves = [{"index": 0, **CALLS[0]}, {"index": 1, **CALLS[1]}]
    reply = stream("Fo", "ur.", *({"tool_calls": [half]} for half in halves), finish_reason="tool_calls")
    async with Upstream(reply) as upstream:
        llm = at(upstream)
        chunks = await streamed(llm, ask(tools=(TOOL,)))
        await llm.aclose()
        body = upstream.received[0].body

    calls = [call for chunk in chunks for call in chunk.delta.get("tool_calls", [])]
    assert [chunk.text for chunk in chunks if chunk.text] == ["Fo", "ur."]
    assert calls == halves
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["tool_calls"]
    assert [chunk.usage for chunk in chunks if chunk.usage] == [Usage(7, 2, 9)]
    assert body["stream_options"] == {"include_usage": True}


async def test_what_was_bound_to_a_model_stays_bound() -> None:
    """A model that was brought with settings of its own keeps them beside tools."""
    from langchain_openai import ChatOpenAI

    async with Upstream(answer()) as upstream:
        model = ChatOpenAI(model="m", base_url=upstream.base_url, api_key="sk-1", max_retries=0)
        await wrapped(model.bind(seed=3, temperature=1)).complete(ask(tools=(TOOL,), temperature=0.5))
        await model.root_async_client.close()
        body = upstream.received[0].body

    assert (body["seed"], body["temperature"], body["tools"]) == (3, 0.5, [TOOL])


async def test_leaving_a_stream_closes_the_connection() -> None:
    """Whoever stops reading does not leave the provider writing."""
    async with Upstream(stream("Fo", asyncio.Event(), "ur.")) as upstream:
        llm = at(upstream)
        async with aclosing(llm.stream(ask())) as chunks:
            await anext(chunks)

        async with asyncio.timeout(5):
            await upstream.received[0].closed_early.wait()
        await llm.aclose()


@pytest.mark.parametrize("streaming", [False, True])
async def test_cancelling_a_call_closes_the_connection(*, streaming: bool) -> None:
    """A cancelled worker costs the provider nothing more."""
    async with Upstream(hang()) as upstream:
        llm = at(upstream)
        call = asyncio.create_task(streamed(llm, ask()) if streaming else llm.complete(ask()))
        received = await upstream.request(1)
        call.cancel()

        async with asyncio.timeout(5):
            await received.closed_early.wait()
        await asyncio.wait([call])
        await llm.aclose()

    assert call.cancelled()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(400, code="context_length_exceeded"), ContextTooLong),
        (error(401, code="invalid_api_key"), AuthFailed),
        (error(429, retry_after="3"), RateLimited),
        (error(503, retry_after="3"), ProviderFailed),
        (Reply((DROP,)), Unreachable),
        (Reply((b"<html>",), headers={"content-type": "text/html"}), Unexpected),
    ],
)
async def test_a_failure_is_found_and_not_retried(reply: Reply, expected: type[Exception], *, streaming: bool) -> None:
    """Behind two libraries the cause is found, after exactly one request."""
    async with Upstream(reply) as upstream:
        llm = at(upstream)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - any; its translation is what is tested
            await (streamed(llm, ask()) if streaming else llm.complete(ask()))
        await llm.aclose()
        tries = len(upstream.received)

    ours = translate(caught.value, "a")
    assert (type(ours), tries) == (expected, 1)
    if "retry-after" in reply.headers:
        assert ours.retry_after_seconds == 3.0


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (events(sse(chunk({"content": "Fo"})), DROP), Unreachable),
        (events(sse(chunk({"content": "Fo"})), sse({"error": {"message": "no", "code": 429}})), RateLimited),
        (stream("Fo", finish_reason=None, done=False), ProviderFailed),
    ],
)
async def test_a_stream_that_breaks_off_is_a_failure(reply: Reply, expected: type[Exception]) -> None:
    """Half an answer is not taken for a whole one."""
    async with Upstream(reply) as upstream:
        llm = at(upstream)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - any; its translation is what is tested
            await streamed(llm, ask())
        await llm.aclose()

    assert type(translate(caught.value, "a")) is expected


async def test_without_a_key_the_environments_stays_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for OpenAI is not sent to another address."""
    from mollm.llms.langchain import chat_openai

    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    async with Upstream(answer()) as upstream:
        llm = chat_openai("m", api_base=upstream.base_url)
        await llm.complete(ask())
        await llm.aclose()
        headers = upstream.received[0].headers

    assert "sk-secret" not in str(headers)


async def test_each_event_loop_has_its_own_connections() -> None:
    """One LLM works on several event loops, and can be closed twice."""
    async with Upstream(*[answer()] * 3) as upstream:
        llm = at(upstream)

        async def call() -> str:
            completion = await llm.complete(ask())
            await llm.aclose()
            await llm.aclose()
            return completion.text

        texts = [await asyncio.to_thread(lambda: asyncio.run(call())) for _ in range(2)]
        texts.append(await call())

    assert texts == ["Four."] * 3
    assert upstream.connections == 3


async def test_a_model_that_was_brought_is_not_closed() -> None:
    """Closing the LLM leaves its owner's model usable."""
    from langchain_openai import ChatOpenAI

    async with Upstream(answer(), answer()) as upstream:
        model = ChatOpenAI(model="m", base_url=upstream.base_url, api_key="sk-1", max_retries=0)
        llm = wrapped(model)
        await llm.complete(ask())
        await llm.aclose()
        await llm.complete(ask())

        assert len(upstream.received) == 2
        await model.root_async_client.close()


# Messages


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "hi", "name": "ann"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]},
        {"role": "assistant", "content": "hi", "name": "bob"},
        {"role": "assistant", "content": "hi", "reasoning_content": "hm", "provider_specific_fields": {"a": 1}},
        {"role": "assistant", "content": "", "refusal": "no"},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "assistant", "content": "Let me see.", "tool_calls": CALLS[:1]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [CALLS[0], {"id": "c3", "type": "function", "function": {"name": "f", "arguments": "{bad"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
    ],
)
def test_messages_survive_the_way_there_and_back(message: Message) -> None:
    """Names, ids, images, reasoning and tool calls, badly written ones too, are the same after a round trip."""
    from mollm.conversion import from_openai, to_openai

    assert to_openai(from_openai([message])) == [message]


def test_what_is_in_openais_form_comes_back_as_it_is() -> None:
    """A dictionary is passed on with every field, known or not, and is not the caller's own."""
    from mollm.conversion import to_openai

    message = {"role": "assistant", "content": None, "anything": {"else": 1}, "tool_calls": CALLS}

    converted = to_openai([message])

    assert converted == [message]
    assert converted[0] is not message


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("user", "hi"), {"role": "user", "content": "hi"}),
        (("ai", "hi"), {"role": "assistant", "content": "hi"}),
        ("hi", {"role": "user", "content": "hi"}),
        ({"role": "human", "content": "hi"}, {"role": "user", "content": "hi"}),
        ({"type": "system", "content": "hi"}, {"role": "system", "content": "hi"}),
    ],
)
def test_every_way_to_write_a_message_is_read(given: Any, expected: Message) -> None:
    """What LangGraph users put into a state becomes OpenAI's form."""
    from mollm.conversion import to_openai

    assert to_openai([given]) == [expected]


def test_every_kind_of_message_is_read() -> None:
    """So do LangChain's own."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

    from mollm.conversion import to_openai

    text = {"type": "text", "text": "a"}
    image = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    kwargs = {"reasoning_content": "hm", "parsed": object()}
    table: list[tuple[Any, Message]] = [
        (HumanMessage("hi", name="ann"), {"role": "user", "content": "hi", "name": "ann"}),
        (SystemMessage("hi"), {"role": "system", "content": "hi"}),
        (AIMessage("hi", id="1"), {"role": "assistant", "content": "hi"}),
        (ToolMessage("r", tool_call_id="c1"), {"role": "tool", "content": "r", "tool_call_id": "c1"}),
        (HumanMessage([image]), {"role": "user", "content": [IMAGE]}),
        (AIMessage([text, {"type": "text", "text": "b"}]), {"role": "assistant", "content": "ab"}),
        (AIMessage([text, IMAGE]), {"role": "assistant", "content": [text, IMAGE]}),
        (
            AIMessage("hi", additional_kwargs=kwargs),
            {"role": "assistant", "content": "hi", "reasoning_content": "hm"},
        ),
    ]

    assert to_openai([given for given, _ in table]) == [expected for _, expected in table]


def test_anthropics_thinking_goes_there_and_back() -> None:
    """Thinking stays with the tool calls it led to, signed as it was, and out of the text."""
    from langchain_core.messages import AIMessage

    from mollm.conversion import from_openai, to_openai

    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    message = AIMessage(
        [thinking, {"type": "text", "text": "Let me see."}, {"type": "tool_use", "id": "c1", "name": "f", "input": {}}],
        tool_calls=[{"id": "c1", "name": "f", "args": {}, "type": "tool_call"}],
    )

    (plain,) = to_openai([message])
    (back,) = from_openai([plain])

    assert (plain["content"], plain["reasoning_content"], plain["thinking_blocks"]) == ("Let me see.", "hm", [thinking])
    assert back.content == [thinking, {"type": "text", "text": "Let me see."}]
    assert isinstance(back, AIMessage)
    assert [call["id"] for call in back.tool_calls] == ["c1"]


def test_a_tool_call_without_arguments_has_none() -> None:
    """The empty string some LLMs write for no arguments is no mistake; arguments that are no object are."""
    from langchain_core.messages import AIMessage

    from mollm.conversion import from_openai

    calls = [{**CALLS[0], "function": {"name": "f", "arguments": text}} for text in ("", "[1]")]

    (message,) = from_openai([{"role": "assistant", "content": None, "tool_calls": calls}])

    assert isinstance(message, AIMessage)
    assert [call["args"] for call in message.tool_calls] == [{}]
    assert [call["args"] for call in message.invalid_tool_calls] == ["[1]"]


def test_what_is_no_message_is_refused() -> None:
    """The caller learns which message cannot be read."""
    from langchain_core.messages import RemoveMessage

    from mollm.conversion import to_openai

    for given in (7, ("user",), {"content": "hi"}, {"role": "judge", "content": "hi"}, RemoveMessage(id="1")):
        with pytest.raises(RequestError, match="message 2 "):
            to_openai(["hi", given])


def test_what_langchain_cannot_hold_is_refused() -> None:
    """A tool's answer that names no call is the caller's mistake, not the provider's."""
    from mollm.conversion import from_openai

    with pytest.raises(RequestError, match="message 1 "):
        from_openai([{"role": "tool", "content": "rain"}])
