"""Requests with tools, as chat interfaces, agents and SDKs send them, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.served import config_of, served
from tests.upstream import Upstream, answer, error, hang, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.upstream import Received, Reply

ASKED = [{"role": "user", "content": "What is a heap good for?"}]
CALLS = [{"id": "call_7", "type": "function", "function": {"name": "search_notes", "arguments": '{"query": "heap"}'}}]
STEP = [
    *ASKED,
    {"role": "assistant", "content": None, "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "call_7", "content": "A heap is a tree."},
]
KEYS = ["a-key-of-16-chars", "another-key-of-16"]


def _tools() -> Iterator[dict[str, Any]]:
    """As many, as large and as nested as those of a chat interface with knowledge, notes, memory, images and chats."""
    things = ("notes", "chats", "files", "memories", "channels", "images", "tasks", "events", "pages")
    for verb in ("search", "view", "write", "delete"):
        for thing in things:
            yield {
                "type": "function",
                "function": {
                    "name": f"{verb}_{thing}",
                    "description": f"{verb.capitalize()} the {thing} of the person who asks. "
                    + "Use it sparingly. " * 9,
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "query": {"type": "string", "description": "What is looked for, in the person's words."},
                            "count": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 5},
                            "filters": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "properties": {
                                        "field": {"type": "string", "enum": ["title", "date", "tag"]},
                                        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                                    },
                                    "required": ["field"],
                                },
                            },
                        },
                        "required": ["query"],
                    },
                },
            }


CHAT: dict[str, Any] = {
    "model": "three",
    "stream": True,
    "stream_options": {"include_usage": True},
    "tools": list(_tools()),
    "messages": ASKED,
    "params": {},
    "metadata": {"chat_id": "x", "features": {"memory": True}},
}


def roomy(upstream: Upstream, **sections: Any) -> dict[str, Any]:
    """A configuration whose LLMs have room for all of that."""
    config = config_of(upstream, **sections)
    return {**config, "llms": {name: {**llm, "context_window": 65_536} for name, llm in config["llms"].items()}}


def shown(upstream: Upstream) -> list[tuple[bool, list[str]]]:
    """For each call, whether it had tools, and the roles of its messages."""
    return [(bool(r.body.get("tools")), [m["role"] for m in r.body["messages"]]) for r in upstream.received]


async def test_the_request_of_a_chat_interface_reaches_the_workers() -> None:
    """36 tools that nobody needs do not switch the mixture off, and the answer is streamed."""
    upstream = Upstream(*[answer(f"Sorting, says {n}.") for n in range(3)], stream({"content": "Sorting."}))
    async with upstream, served(roomy(upstream)) as server:
        reply = await server.chat(**CHAT)

    assert len(CHAT["tools"]) == 36
    assert reply.text == "Sorting."
    assert shown(upstream) == [(False, ["user"])] * 3 + [(True, ["user"])]
    assert upstream.received[-1].body["tools"] == CHAT["tools"]
    assert "Sorting, says 2." in str(upstream.received[-1].body["messages"])
    assert reply.headers["x-mollm-on-tools"] == "after"
    assert "x-mollm-reused" not in reply.headers


async def test_a_forced_call_does_not(caplog: pytest.LogCaptureFixture) -> None:
    """It goes to the LLM for tools at once; header, log line and trace say so."""
    upstream = Upstream(answer(None, finish_reason="tool_calls", tool_calls=CALLS))
    choice = {"type": "function", "function": {"name": "search_notes"}}
    with caplog.at_level(logging.INFO, "mollm.server"):
        async with upstream, served(roomy(upstream)) as server:
            reply = await server.chat(**{**CHAT, "stream": False}, tool_choice=choice, mollm={"trace": True})

    assert shown(upstream) == [(True, ["user"])]
    assert reply.headers["x-mollm-on-tools"] == reply.body["mollm"]["on_tools"] == "alone"
    assert "1 call, tools alone" in caplog.text


async def test_a_loop_asks_the_workers_once(caplog: pytest.LogCaptureFixture) -> None:
    """The second request of the turn takes one call, and its prompt begins as that of the first."""
    upstream = Upstream(
        *[answer(f"{n}.") for n in range(3)],
        answer(None, finish_reason="tool_calls", tool_calls=CALLS),
        answer("A tree, says my note."),
    )
    body = {**CHAT, "stream": False}
    with caplog.at_level(logging.INFO, "mollm.server"):
        async with upstream, served(roomy(upstream)) as server:
            first = await server.chat(**body)
            second = await server.chat(**{**body, "messages": STEP})
            counted = [
                await server.metric("tools_answers_total", mixture="three", on_tools="after", reused=reused)
                for reused in ("false", "true")
            ]

    assert counted == [1, 1]
    assert first.body["choices"][0]["message"]["tool_calls"] == CALLS
    assert second.body["choices"][0]["message"]["content"] == "A tree, says my note."
    assert (second.headers["x-mollm-calls"], second.headers["x-mollm-reused"]) == ("1", "true")
    before, after = (r.body["messages"] for r in upstream.received[-2:])
    assert after == [*before, *STEP[1:]]
    assert "1 call, tools after, proposals reused" in caplog.text


async def test_a_window_that_is_known_is_kept() -> None:
    """With tools that fill it the LLM acts without proposals, and the answer says so."""
    upstream = Upstream(*[answer(f"Sorting, says {n}.") for n in range(3)], answer("Sorting."))
    async with upstream, served(config_of(upstream)) as server:
        reply = await server.chat(**{**CHAT, "stream": False})

    assert upstream.received[-1].body["messages"] == ASKED
    assert "leaves no room for proposals in the window of a" in reply.headers["x-mollm-degraded"]


async def test_one_key_does_not_see_the_proposals_of_another() -> None:
    """The same conversation under another key asks the workers again."""
    upstream = Upstream(*[answer("4.")] * 9)
    async with upstream, served(roomy(upstream, server={"api_keys": KEYS})) as server:
        found = []
        for key, messages in ((KEYS[0], ASKED), (KEYS[1], STEP), (KEYS[0], STEP)):
            body = {**CHAT, "stream": False, "messages": messages}
            reply = await server.post("/v1/chat/completions", body, Authorization=f"Bearer {key}")
            found.append(reply.headers["x-mollm-calls"])

    assert found == ["4", "4", "1"]


async def test_a_stream_that_breaks_in_a_call_of_a_tool_is_an_error() -> None:
    """Half a call is no call."""
    piece = {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "x", "arguments": '{"q'}}]}
    upstream = Upstream(*[answer("4.")] * 3, stream(piece, finish_reason=None, done=False))
    async with upstream, served(roomy(upstream)) as server:
        reply = await server.chat(**CHAT)

    assert "error" in reply.events[-1]


async def test_a_failing_llm_for_tools_leaves_the_best_proposal() -> None:
    """As without tools; the header says that this is not what was planned."""
    upstream = Upstream(*[answer("The answer is 4.")] * 3, error(500))
    async with upstream, served(roomy(upstream)) as server:
        reply = await server.chat(**{**CHAT, "stream": False})

    assert reply.body["choices"][0]["message"]["content"] == "The answer is 4."
    assert "the best proposal (a) is the answer" in reply.headers["x-mollm-degraded"]


@pytest.mark.parametrize("is_streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("arrived", "running", "calls"),
    [(1, slice(1, 3), "4"), (3, slice(3, 4), "1")],
    ids=["while workers propose", "while the LLM for tools acts"],
)
async def test_a_client_that_goes_away_ends_all_calls(
    arrived: int, running: slice, calls: str, *, is_streamed: bool
) -> None:
    """No call runs on; what all workers proposed is kept, and what only some did is not."""
    script = [answer("4.")] * arrived + [hang() for _ in range(running.stop - arrived)]
    upstream = Upstream(*script, *[answer("5.")] * int(calls))
    async with upstream, served(roomy(upstream)) as server:
        asking = asyncio.create_task(server.chat(**{**CHAT, "stream": is_streamed}))
        await upstream.request(running.stop)
        asking.cancel()
        async with asyncio.timeout(5):
            for received in upstream.received[running]:
                await received.closed_early.wait()
        reply = await server.chat(**{**CHAT, "stream": False, "messages": STEP})
        in_flight = await server.metric("requests_in_flight")

    assert reply.headers["x-mollm-calls"] == calls
    assert in_flight == 0


def _work(steps: int, **marked: Any) -> list[dict[str, Any]]:
    """What a coding agent sends after so many steps, each with two files read at once."""
    found: list[dict[str, Any]] = [
        {"role": "system", "content": [{"type": "text", "text": "Follow the rules. " * 1100}]},
        {"role": "user", "content": [{"type": "text", "text": "Mend the test.", **marked}]},
    ]
    for step in range(steps):
        calls = [
            {"id": f"{step}-{n}", "type": "function", "function": {"name": "read_file", "arguments": f'{{"n": {n}}}'}}
            for n in range(2)
        ]
        found.append({"role": "assistant", "content": f"Step {step}.", "tool_calls": calls})
        found += [{"role": "tool", "tool_call_id": call["id"], "content": "a line\n" * 7000} for call in calls]
    return found


async def test_a_coding_agent_works_through_a_mixture() -> None:
    """The workers are asked once in a turn, whichever messages are marked; then each reads what its window holds."""

    def reply_to(received: Received) -> Reply:
        return stream("Done.") if received.body.get("stream") else answer("Done.")

    upstream, mark = Upstream(), {"cache_control": {"type": "ephemeral"}}
    upstream.reply_to = reply_to
    async with upstream:
        config = roomy(upstream)
        for name, window in zip("abc", (32_768, 131_072, 2_000_000), strict=True):
            config["llms"][name] = {**config["llms"][name], "context_window": window, "max_tokens": 4096}
        config["mixtures"]["three"]["tools_llm"] = "c"
        async with served(config) as server:
            replies = [await server.chat(**CHAT | {"messages": m}) for m in (_work(0, **mark), _work(1), _work(30))]
            asked = len(upstream.received)
            more = [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "Now the next."}]
            last = await server.chat(**CHAT | {"stream": False, "messages": [*_work(30), *more]})

    assert [reply.headers.get("x-mollm-reused") for reply in replies] == [None, "true", "true"]
    assert asked == 6
    a, b, c, acting = (len(json.dumps(r.body["messages"])) for r in upstream.received[asked:])
    assert 70_000 < a < 32_768 * 3.4
    assert 300_000 < b < 131_072 * 3.4
    assert c > 60 * 49_000
    assert acting > c
    assert last.headers["x-mollm-degraded"] == "what tools brought was shortened to fit the window of a, b"
