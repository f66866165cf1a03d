"""What no LLM should say, and some do: none of it costs the answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.server.served import config_of, served
from tests.upstream import DROP, Reply, Upstream, answer, chunk, document, events, sse, stream

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
@pytest.mark.parametrize("mixture", ["one", "three"])
async def test_a_refusal_of_the_llm_that_answers_is_passed_on(mixture: str, streamed: bool) -> None:
    """As OpenAI has it: no content, and the refusal in its own field. It is asked once."""
    refusal: dict[str, Any] = {"refusal": "I will not."}
    workers = [answer(text) for text in ("A.", "B.", "C.")] if mixture == "three" else []
    reply: Reply = stream(refusal) if streamed else answer(None, **refusal)
    async with Upstream(*workers, reply) as upstream, served(config_of(upstream)) as server:
        found = await server.chat(model=mixture, stream=streamed)

    assert len(upstream.received) == len(workers) + 1
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


HALF = sse(chunk({"content": "Half an ans"}))
END = sse(chunk({}, "stop"))
DONE = b"data: [DONE]\n\n"
FAILED = {"index": 0, "finish_reason": "error", "error": {"code": 502, "message": "x"}}
SAID_1 = {**FAILED, "message": {"role": "assistant", "content": "The answer is 1"}}


async def test_two_replies_that_failed_do_not_outvote_a_right_one() -> None:
    """A client sees the answer of the worker that has one."""
    replies = [document({"choices": [SAID_1]}), document({"choices": [SAID_1]}), answer("The answer is 4")]
    async with Upstream(*replies) as upstream:
        mixture = {"description": "Three.", "workers": ["a", "b", "c"], "aggregator": {"method": "vote"}}
        async with served(config_of(upstream, mixtures={"three": mixture})) as server:
            reply = await server.chat(model="three", mollm={"trace": True})

    assert reply.body["choices"][0]["message"]["content"] == "The answer is 4"
    assert [p["text"] for p in reply.body["mollm"]["proposals"] if p["error"]] == ["", ""]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (document({"choices": [SAID_1]}), 502),
        (document({"error": {"code": 429}, "choices": []}), 429),
        (document({"error": {"code": 429, "message": "x"}, "choices": [{**SAID_1, "finish_reason": "stop"}]}), 429),
        (answer("The answer is 1", finish_reason="abort"), 502),
        (answer("The answer is 1", finish_reason="never_heard_of"), 502),
        (Reply((b"<html>The answer is 1</html>",), headers={"content-type": "text/html"}), 502),
    ],
)
@WAYS
async def test_a_failure_that_looks_like_an_answer_has_a_status(reply: Reply, status: int, streamed: bool) -> None:
    """Before the first token it is an ordinary error; nothing of the text is in it."""
    async with Upstream(reply) as upstream, served(config_of(upstream)) as server:
        found = await server.chat(model="one", stream=streamed)

    if streamed and found.status == 200:  # what a whole message brought was shown before its end was read
        assert found.events[-1]["error"]
        assert "[DONE]" not in found.events
    else:
        assert found.status == status
        assert b"The answer is 1" not in found.raw


BROKEN: dict[str, tuple[bytes, ...]] = {
    "closed": (HALF,),
    "empty reasons": (HALF.replace(b'"finish_reason": null', b'"finish_reason": ""'),),
    "error as the end": (HALF, sse(chunk({}, "error")), DONE),
    "aborted": (HALF, sse(chunk({}, "abort")), DONE),
    "field": (HALF, b'error: {"code":400,"message":"x"}\n\n', DONE),
    "named": (HALF, b'event: error\ndata: {"code":"InternalError","message":"x"}\n\n', DONE),
    "detail": (HALF, sse({"detail": "CUDA out of memory"}), DONE),
    "FastChat": (HALF, sse({"text": "**NETWORK ERROR**", "error_code": 50001}), DONE),
    "after the end": (HALF, sse(chunk({}, "stop")), sse({"error": {"code": 500}}), DONE),
}


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN)
async def test_a_stream_that_fails_ends_with_an_error_and_without_done(parts: tuple[bytes, ...]) -> None:
    """What was shown is followed by an error event: no client takes it for whole."""
    async with Upstream(events(*parts)) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="one", stream=True)

    *shown, last = reply.events
    assert last["error"]
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in shown) == "Half an ans"
    assert not any(event["choices"][0].get("finish_reason") for event in shown)


@WAYS
async def test_what_is_handed_on_is_json_that_every_client_reads(streamed: bool) -> None:
    """Numbers that are not finite and halves of characters are no longer in it."""
    logprobs = b'{"content":[{"token":"\\ud83d","logprob":-Infinity,"bytes":null,"top_logprobs":[]}]}'
    if streamed:
        pieces = (sse(chunk({"content": text})) for text in ("hi \ud83d", "\ude00!"))
        reply = events(*(p.replace(b'"logprobs": null', b'"logprobs": ' + logprobs) for p in pieces), END, DONE)
    else:
        raw = b"".join(part for part in answer("hi 😀!").parts if isinstance(part, bytes))
        reply = Reply((raw.replace(b'"logprobs": null', b'"logprobs": ' + logprobs),))
    async with Upstream(reply) as upstream, served(config_of(upstream)) as server:
        found = await server.chat(model="one", stream=streamed, logprobs=True)

    assert b"Infinity" not in found.raw
    assert (found.text if streamed else found.body["choices"][0]["message"]["content"]) == "hi 😀!"
    choices = [e["choices"][0] for e in (found.events[:-1] if streamed else [found.body])]
    values = [
        entry["logprob"] for choice in choices if choice.get("logprobs") for entry in choice["logprobs"]["content"]
    ]
    assert values
    assert set(values) == {-9999.0}


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def called(found: Any, *, streamed: bool) -> tuple[str, list[tuple[str, str]]]:
    """The finish reason, and names and arguments of the calls, put together by their index."""
    choices = [event["choices"][0] for event in found.events[:-1]] if streamed else found.body["choices"]
    calls: dict[int, list[str]] = {}
    for choice in choices:
        for place, call in enumerate((choice.get("delta") or choice.get("message", {})).get("tool_calls") or []):
            assert isinstance(call["function"]["arguments"], str)
            joined = calls.setdefault(call["index"] if streamed else place, ["", ""])
            joined[0] += call["function"].get("name", "")
            joined[1] += call["function"]["arguments"]
    return choices[-1]["finish_reason"], [(name, arguments) for name, arguments in calls.values()]


@WAYS
@pytest.mark.parametrize(
    "calls",
    [
        [{"id": "c1", "function": {"name": "look", "arguments": '{"x": 1}'}},
         {"id": "c2", "function": {"name": "look", "arguments": '{"x": 2}'}}],
        [{"index": 0, "id": "c1", "function": {"name": "look", "arguments": '{"x": 1}'}},
         {"index": 0, "id": "c2", "function": {"name": "look", "arguments": '{"x": 2}'}}],
        [{"index": "0", "id": None, "type": None, "function": {"name": "look", "arguments": {"x": 1}}},
         {"index": "1", "id": "", "function": {"name": "look", "arguments": {"x": 2}}}],
    ],
)  # fmt: skip
async def test_odd_tool_calls_arrive_as_tool_calls(calls: list[Any], streamed: bool) -> None:
    """Whatever their index, id and arguments are; and the finish reason says what came."""
    reply = stream(*({"tool_calls": [call]} for call in calls)) if streamed else answer(None, tool_calls=calls)
    async with Upstream(reply) as upstream, served(config_of(upstream)) as server:
        found = await server.chat(model="one", stream=streamed, tools=TOOLS)

    assert called(found, streamed=streamed) == ("tool_calls", [("look", '{"x": 1}'), ("look", '{"x": 2}')])


@WAYS
async def test_a_call_without_a_name_is_a_failure(streamed: bool) -> None:
    """Before anything was shown it keeps its status."""
    calls = [{"index": 0, "id": "c1", "type": "function", "function": {"arguments": "{}"}}]
    reply = stream({"tool_calls": calls}) if streamed else answer(None, tool_calls=calls)
    async with Upstream(reply) as upstream, served(config_of(upstream)) as server:
        found = await server.chat(model="one", stream=streamed, tools=TOOLS)

    assert found.status == 502
    assert "tool call" in found.body["error"]["message"]


@WAYS
async def test_content_in_parts_is_text(streamed: bool) -> None:
    """For the client, and for whoever reads the answer."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    parts = [thinking, {"type": "text", "text": "Fo"}, {"type": "text", "text": "ur."}]
    reply = stream(*({"content": [part]} for part in parts[:2]), "ur.") if streamed else answer(None, content=parts)
    async with Upstream(reply) as upstream, served(config_of(upstream)) as server:
        found = await server.chat(model="one", stream=streamed, mollm={"trace": True})

    answered = (found.events[-2] if streamed else found.body)["mollm"]
    assert answered["text"] == "Four."
    assert answered["message"] == {"role": "assistant", "content": "Four.", "reasoning_content": "Hm."}
    assert (found.text if streamed else found.body["choices"][0]["message"]["content"]) == "Four."


@pytest.mark.parametrize(
    "pieces",
    [
        [{"reasoning_content": "Hm."}, {"reasoning_content": "Well."}],
        [{"reasoning": "Hm."}, {"reasoning": "Well."}],
        [{"content": "<think>Hm."}, {"content": "Well."}],
    ],
)
@pytest.mark.parametrize("mixture", ["one", "three"])
async def test_a_thought_is_shown_before_the_next_is_there(pieces: list[Any], mixture: str) -> None:
    """It is all there is to see while an LLM thinks, be it alone or the one that aggregates."""
    first, more = asyncio.Event(), asyncio.Event()
    last = [{"content": "</think>Four."}] if "content" in pieces[0] else [{"content": "Four."}]
    workers = [answer(text) for text in "456"] if mixture == "three" else []
    upstream = Upstream(*workers, stream(pieces[0], first, pieces[1], more, *last))
    async with upstream, served(config_of(upstream)) as server, server.open(model=mixture) as reply:
        shown = [await reply.event(), await reply.event()]
        first.set()
        shown.append(await reply.event())
        more.set()
        rest = await reply.rest()

    thoughts = [event["choices"][0]["delta"].get("reasoning_content") for event in shown]
    assert thoughts == [None, "Hm.", "Well."]
    assert rest[0]["choices"][0]["delta"] == {"content": "Four."}
    assert rest[-1] == "[DONE]"


async def test_no_thought_reaches_an_aggregator() -> None:
    """It reads what the workers answer, not how they came to it."""
    replies = [answer(f"<think>Secret {n}.</think>\n{n}") for n in "45"] + [answer("Secret 6.\n</think>\n\n6")]
    async with (
        Upstream(*replies, answer("<think>Secret.</think>Four.")) as upstream,
        served(config_of(upstream)) as server,
    ):
        found = await server.chat(model="three", mollm={"trace": True})

    assert found.body["choices"][0]["message"]["content"] == "Four."
    assert sorted(p["text"] for p in found.body["mollm"]["proposals"]) == ["4", "5", "6"]
    assert "Secret" not in str(upstream.received[-1].body)


async def test_thoughts_can_be_left_where_they_are() -> None:
    """`think_tags: leave` of an LLM."""
    text = "<think>Hm.</think>Four."
    async with Upstream(answer(text)) as upstream:
        config = config_of(upstream)
        config["llms"]["a"] = {**config["llms"]["a"], "think_tags": "leave"}
        async with served(config) as server:
            found = await server.chat(model="one")

    assert found.body["choices"][0]["message"] == {"role": "assistant", "content": text, "refusal": None}


@pytest.mark.parametrize(
    ("end", "said"), [([sse(chunk({}, "stop"))], "reasoning alone"), ([DROP], "broke off")], ids=["alone", "dropped"]
)
async def test_a_stream_that_fails_after_a_thought_is_no_answer(end: list[Any], said: str) -> None:
    """The client has seen the thought; what follows is an error, and no end."""
    parts = [sse(chunk({"reasoning_content": "Hm."})), *end]
    async with Upstream(events(*parts)) as upstream, served(config_of(upstream)) as server:
        found = await server.chat(model="one", stream=True)

    assert found.status == 200
    assert found.events[1]["choices"][0]["delta"] == {"reasoning_content": "Hm."}
    assert said in found.events[-1]["error"]["message"]
    assert "[DONE]" not in found.events


async def test_an_aggregator_that_only_thinks_gives_way() -> None:
    """Nothing of its answer was shown, so the other LLM can still write one."""
    workers = [answer(text) for text in "456"]
    upstream = Upstream(*workers, stream({"reasoning_content": "Hm."}), stream("Four."))
    async with upstream:
        config = config_of(upstream)
        config["mixtures"]["three"]["aggregator"] = {"method": "synthesize", "llm": "a", "fallback_llm": "b"}
        async with served(config) as server:
            found = await server.chat(model="three", stream=True)

    assert found.text == "Four."
    assert found.events[-1] == "[DONE]"


@WAYS
async def test_cached_and_reasoning_tokens_are_told(streamed: bool) -> None:
    """Summed over every call, as OpenAI names them."""
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    workers = [answer(text, usage=usage) for text in "456"]
    last = stream("Four.", usage=usage) if streamed else answer("Four.", usage=usage)
    async with Upstream(*workers, last) as upstream, served(config_of(upstream)) as server:
        asked = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
        found = await server.chat(model="three", **asked)

    assert (found.events[-2] if streamed else found.body)["usage"] == {
        "prompt_tokens": 28,
        "completion_tokens": 8,
        "total_tokens": 36,
        "prompt_tokens_details": {"cached_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }


async def test_a_strict_template_gets_one_system_message_with_tools_too() -> None:
    """And no field that is empty."""
    history = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "x", "tool_calls": [], "refusal": None, "function_call": None},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Look."},
    ]
    async with Upstream(answer("Four.")) as upstream, served(config_of(upstream)) as server:
        await server.chat(model="three", messages=history, tools=TOOLS)

    assert upstream.received[0].body["messages"] == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "Look."},
    ]
