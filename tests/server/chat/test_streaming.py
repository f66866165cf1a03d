"""Streams: what leaves when, chunk by chunk, and what happens when something goes wrong."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from mollm.calling.base import Chunk, Completion
from mollm.errors import ProviderFailed
from mollm.llms.scripted import Reply as Script
from mollm.llms.scripted import ScriptedLLM
from mollm.server.chat.protocol import read_chat
from mollm.server.chat.streaming import LONGEST_FAREWELL, stream_answer
from mollm.server.deployment import Deployment
from mollm.server.outlet import LONGEST_SEND
from mollm.types import Route
from tests.clock import run_virtual
from tests.server.served import HI, config_of, served, until
from tests.upstream import DROP, USAGE, Reply, Upstream, answer, chunk, error, events, sse, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

    from mollm.calling.base import LLM, Request
    from mollm.calling.calls import Calls
    from mollm.types import Question

ROLE = {"role": "assistant", "content": "", "refusal": None}
WORKERS = [answer(f"Secret {n}.") for n in range(3)]
BEAT = {"server": {"keep_alive": 0.05}}


BREAKS = Script("One two three", error=ProviderFailed("no"), breaks_after=2)


def deltas(found: list[Any]) -> list[Any]:
    """The `delta` of every chunk that has a choice."""
    return [event["choices"][0]["delta"] for event in found if event != "[DONE]" and event.get("choices")]


@pytest.mark.parametrize(("mixture", "before"), [("one", []), ("three", WORKERS)])
async def test_a_piece_leaves_before_the_next_is_there(mixture: str, before: list[Reply]) -> None:
    """The client reads the first piece while the LLM is still writing the second."""
    more = asyncio.Event()
    upstream = Upstream(*before, stream("Fo", more, "ur."))
    async with upstream, served(config_of(upstream)) as server, server.open(model=mixture) as reply:
        first = [await reply.event(), await reply.event()]
        was_whole = upstream.received[-1].done.is_set()
        more.set()
        rest = await reply.rest()

    assert deltas(first) == [ROLE, {"content": "Fo"}]
    assert not was_whole
    assert deltas(rest) == [{"content": "ur."}, {}]
    assert rest[-1] == "[DONE]"


async def test_pieces_that_arrive_together_leave_together() -> None:
    """One read from the upstream is one read for the client, which finds all of it there."""
    more = asyncio.Event()
    burst = b"".join(sse(chunk({"content": f"{number} "})) for number in range(50))
    upstream = Upstream(
        events(sse(chunk({"role": "assistant"})), more, burst, sse(chunk({}, "stop")), b"data: [DONE]\n\n")
    )
    async with upstream, served(config_of(upstream, **BEAT)) as server, server.open(model="one") as reply:
        await reply.event()
        more.set()
        while "content" not in (await reply.event())["choices"][0]["delta"]:
            pass
        held = reply.held.count(b"data: ")
        rest = await reply.rest()

    assert held >= 49
    assert rest[-1] == "[DONE]"


async def test_what_an_llm_sends_is_forwarded_untouched() -> None:
    """Reasoning, tool calls and fields nobody knows, in their order; none of them is rebuilt."""
    sent: list[dict[str, Any]] = [
        {"reasoning_content": "Hm."},
        {
            "content": "Let me",
            "annotations": [{"type": "x", "at": [1, None]}],
            "further": {"k": None, "deep": {"ü": 1}},
        },
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"q": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"brakes"}'}}]},
    ]
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    upstream = Upstream(stream(*sent, finish_reason="tool_calls"))
    async with upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="one", stream=True, tools=tools)

    assert deltas(reply.events) == [ROLE, *sent, {}]
    assert reply.events[-2]["choices"][0]["finish_reason"] == "tool_calls"


async def test_logprobs_stand_in_the_choice() -> None:
    """As the LLM gave them, beside the delta they belong to, and null where there are none."""
    logprobs = {"content": [{"token": "Four", "logprob": -0.1, "bytes": [70], "top_logprobs": []}], "refusal": None}
    piece = chunk({"content": "Four"})
    piece["choices"][0]["logprobs"] = logprobs
    sent = events(sse(piece), sse(chunk({}, "stop")), b"data: [DONE]\n\n")
    async with Upstream(sent) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="one", stream=True, logprobs=True)

    assert [event["choices"][0]["logprobs"] for event in reply.events[:-1]] == [None, logprobs, None]


async def test_the_role_comes_once() -> None:
    """Clients put strings together piece by piece, so an LLM that repeats the role would make it two words."""
    pieces = [{"role": "assistant", "content": text} for text in ("Fo", "ur")]
    async with Upstream(stream(*pieces)) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="one", stream=True)

    assert deltas(reply.events) == [ROLE, {"content": "Fo"}, {"content": "ur"}, {}]


async def test_every_chunk_has_the_same_head_and_a_finish_reason() -> None:
    """`id`, `object`, `created` and `model` slot; `finish_reason` is null on all chunks but the last."""
    upstream = Upstream(*WORKERS, stream("Fo", "ur", finish_reason="length"))
    async with upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="three", stream=True, max_tokens=2)

    chunks = reply.events[:-1]
    heads = {(c["id"], c["object"], c["created"], c["model"]) for c in chunks}
    assert len(heads) == 1
    assert {(c["object"], c["model"]) for c in chunks} == {("chat.completion.chunk", "three")}
    assert chunks[0]["id"].startswith("mollm-")
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None, None, None, "length"]
    assert all(set(c) == {"id", "object", "created", "model", "choices"} for c in chunks)


async def test_the_usage_comes_where_it_is_asked_for() -> None:
    """One more chunk without a choice, the sum over all four calls; the chunks before it say null."""
    async with Upstream(*WORKERS, stream("Four.")) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="three", stream=True, stream_options={"include_usage": True})

    *chunks, last, done = reply.events
    assert done == "[DONE]"
    assert last["choices"] == []
    assert last["usage"] == {name: 4 * count for name, count in USAGE.items()}
    assert [c["usage"] for c in chunks] == [None] * 3
    assert all(c["choices"] for c in chunks)


@pytest.mark.parametrize(
    "options", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}], ids=str
)
async def test_the_usage_comes_nowhere_else(options: dict[str, Any]) -> None:
    """The LLM is asked for it all the same, since somebody has to pay."""
    async with Upstream(stream("Four.")) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="one", stream=True, **options)
        tokens = await server.metric("completion_tokens_total", llm="a")

    assert all("usage" not in event and event["choices"] for event in reply.events[:-1])
    assert upstream.received[0].body["stream_options"] == {"include_usage": True}
    assert tokens == USAGE["completion_tokens"]


async def test_several_answers_are_told_apart_by_their_index() -> None:
    """Each begins with a role and finishes once, with its own reason."""
    slow = asyncio.Event()
    upstream = Upstream(stream("Fo", slow, "ur.", finish_reason="length"), stream("Vier."))
    async with upstream, served(config_of(upstream)) as server, server.open(model="one", n=2) as reply:
        found = [await reply.event()]
        while not any("Vier." in str(event) for event in found):
            found.append(await reply.event())
        slow.set()
        found += await reply.rest()

    choices = [event["choices"][0] for event in found[:-1]]
    by_index = {index: [c for c in choices if c["index"] == index] for index in (0, 1)}
    assert [[c["delta"] for c in of].index(ROLE) for of in by_index.values()] == [0, 0]
    texts = ["".join(c["delta"].get("content") or "" for c in of) for of in by_index.values()]
    assert sorted(texts) == ["Four.", "Vier."]
    reasons = [[c["finish_reason"] for c in of if c["finish_reason"]] for of in by_index.values()]
    assert sorted(zip(texts, reasons, strict=True)) == [("Four.", ["length"]), ("Vier.", ["stop"])]
    assert found[-1] == "[DONE]"


@pytest.mark.parametrize(
    "rules",
    [{"aggregator": {"method": "vote"}}, {"ask_first": 2, "agree": 2}],
    ids=["vote", "agreement"],
)
async def test_a_proposal_taken_word_for_word_is_a_stream_too(rules: dict[str, Any]) -> None:
    """It comes in one piece, between the role and the end."""
    text = "Two and two.\n\nFinal answer: 4"
    mixtures = {"sums": {"description": "Sums.", "workers": ["a", "b"], **rules}}
    sections: dict[str, Any] = {"mixtures": mixtures, "router": {"fallback": "sums"}}
    workers = [answer(text), answer(text)]
    async with Upstream(*workers) as upstream, served(config_of(upstream, **sections)) as server:
        reply = await server.chat(model="sums", stream=True)

    assert deltas(reply.events) == [ROLE, {"content": text}, {}]
    assert reply.events[-1] == "[DONE]"


FAILURES: dict[str, tuple[Reply, int, str, str | None]] = {
    "rate limited": (error(429, retry_after="7"), 429, "rate_limit_exceeded", "7"),
    "server error": (error(500), 502, "upstream_failed", None),
    "wrong key": (error(401), 502, "upstream_auth", None),
    "bad request": (error(400), 400, "upstream_bad_request", None),
    "no token in time": (stream(asyncio.Event(), "late"), 504, "upstream_timeout", None),
    "a role and then nothing": (events(sse(chunk({"role": "assistant", "content": ""})), DROP), 502, "", None),
    "an empty answer": (stream(), 502, "upstream_failed", None),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_an_error_before_the_first_token_keeps_its_status(case: str) -> None:
    """Nothing was sent yet, so the client is told by status and `Retry-After`, not by an event."""
    sent, status, code, retry_after = FAILURES[case]
    async with Upstream(sent) as upstream:
        llm = {"model": "hosted_vllm/m", "api_base": upstream.base_url, "retries": 0, "timeout": {"first_token": 0.2}}
        async with served(config_of(upstream, llms=dict.fromkeys("abc", llm))) as server:
            reply = await server.chat(model="one", stream=True)

    assert reply.status == status
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers.get("retry-after") == retry_after
    assert not code or reply.body["error"]["code"] == code


async def test_failed_workers_keep_their_status_too() -> None:
    """A quorum that was not met is a status as long as nothing was shown."""
    async with Upstream(*[error(500)] * 3) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="three", stream=True)

    assert (reply.status, reply.body["error"]["code"]) == (502, "quorum_not_met")


async def test_a_request_that_cannot_be_answered_keeps_its_status_too() -> None:
    """An unknown model, and what a mixture of several cannot give."""
    async with Upstream() as upstream, served(config_of(upstream)) as server:
        unknown = await server.chat(model="nobody", stream=True)
        several = await server.chat(model="three", stream=True, n=2)

    assert (unknown.status, unknown.body["error"]["code"]) == (404, "model_not_found")
    assert several.status == 400
    assert upstream.received == []


async def test_a_stream_says_that_it_is_alive() -> None:
    """The role first, then empty chunks while workers run, then the answer; the role does not come again."""
    go = asyncio.Event()
    upstream = Upstream(*[hang_then_answer(go) for _ in range(3)], stream("Four."))
    async with upstream, served(config_of(upstream, **BEAT)) as server, server.open(model="three") as reply:
        first = [await reply.event() for _ in range(4)]
        go.set()
        rest = await reply.rest()

    assert deltas(first) == [ROLE, {}, {}, {}]
    assert [event["choices"][0]["finish_reason"] for event in first] == [None] * 4
    found = deltas(rest)
    assert [delta for delta in found[:-1] if delta] == [{"content": "Four."}]
    assert rest[-2]["choices"][0]["finish_reason"] == "stop"
    assert rest[-1] == "[DONE]"
    assert reply.headers["x-mollm-mixture"] == "three"


async def test_a_stream_that_halts_says_that_it_is_alive_too() -> None:
    """Empty chunks come while nothing else does, also after the first piece."""
    more = asyncio.Event()
    upstream = Upstream(stream("Fo", more, "ur."))
    async with upstream, served(config_of(upstream, **BEAT)) as server, server.open(model="one") as reply:
        first = [await reply.event()]
        while deltas(first)[-3:] != [{"content": "Fo"}, {}, {}]:
            first.append(await reply.event())
        more.set()
        rest = await reply.rest()

    assert [delta for delta in deltas(first) if delta] == [ROLE, {"content": "Fo"}]
    assert [delta for delta in deltas(rest) if delta] == [{"content": "ur."}]


async def test_an_error_after_the_start_is_an_event_and_the_end() -> None:
    """The status is out, so the error comes as an event; no `[DONE]`, and the response ends in order."""
    go = asyncio.Event()
    failing = [Reply((b"{}",), 500, before=go) for _ in range(3)]
    upstream = Upstream(*failing)
    async with upstream, served(config_of(upstream, **BEAT)) as server, server.open(model="three") as reply:
        started = await reply.event()
        go.set()
        rest = await reply.rest()

    assert reply.status == 200
    assert deltas([started]) == [ROLE]
    assert rest[-1]["error"]["code"] == "quorum_not_met"
    assert rest[-1]["error"]["type"] == "server_error"
    assert "[DONE]" not in rest
    assert not any(event["choices"][0]["finish_reason"] for event in rest[:-1])


@pytest.mark.parametrize(
    "cut", [(DROP,), (), (sse({"error": {"message": "Secret", "code": 500}}),)], ids=["drop", "end", "error"]
)
async def test_an_answer_that_breaks_off_is_never_passed_off_as_whole(cut: tuple[Any, ...]) -> None:
    """What was shown stays, an error event follows, and nothing says that it finished."""
    broken = events(sse(chunk({"role": "assistant", "content": ""})), sse(chunk({"content": "Fo"})), *cut)
    upstream = Upstream(*WORKERS, broken)
    async with upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="three", stream=True)

    *chunks, last = reply.events
    assert "".join(delta.get("content") or "" for delta in deltas(chunks)) == "Fo"
    assert last["error"]["code"] == "answer_broke_off"
    assert not any(event["choices"][0]["finish_reason"] for event in chunks)
    assert b"Secret" not in reply.raw


async def test_an_aggregator_that_fails_before_its_first_token_gives_way() -> None:
    """Nothing of it was shown, so the best proposal takes its place, in the same stream."""
    upstream = Upstream(answer("One."), answer("Two."), answer("Three."), error(500))
    async with upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="three", stream=True, mollm={"trace": True})

    assert reply.text == "One."
    assert reply.events[-1] == "[DONE]"
    assert any("best proposal" in why for why in reply.events[-2]["mollm"]["degraded"])


@pytest.mark.parametrize("wants_usage", [False, True], ids=["plain", "usage"])
async def test_the_trace_is_on_the_last_chunk(wants_usage: bool) -> None:
    """The whole answer with its proposals, once."""
    options = {"stream_options": {"include_usage": wants_usage}, "mollm": {"trace": True}}
    async with Upstream(*WORKERS, stream("Four.")) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="three", stream=True, **options)

    *before, last, done = reply.events
    assert done == "[DONE]"
    assert (last["choices"] == []) is wants_usage
    assert not any("mollm" in event for event in before)
    assert [p["worker"] for p in last["mollm"]["proposals"]] == ["a", "b", "c"]
    assert last["mollm"]["id"] == last["id"]
    assert last["mollm"]["text"] == reply.text == "Four."


async def test_the_trace_of_several_answers_is_on_the_last_of_them() -> None:
    """Once, where the stream ends."""
    async with Upstream(stream("Four."), stream("Vier.")) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="one", stream=True, n=2, mollm={"trace": True})

    assert ["mollm" in event for event in reply.events[-4:-1]] == [False, False, True]


async def test_the_headers_of_a_stream() -> None:
    """It must not be cached or collected on its way, and says which mixture answers."""
    async with Upstream(stream("Four.")) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="one", stream=True)

    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["x-mollm-mixture"] == "one"
    assert reply.headers["x-mollm-probability"] == "1.0000"


class Talkative:
    """An LLM that writes until it is told to stop, and counts what was taken of it."""

    def __init__(self) -> None:
        self.pieces = 0
        self.may_stop = False

    async def complete(self, _: Request) -> Completion:
        """Say something short."""
        return Completion({"role": "assistant", "content": "Four."})

    async def stream(self, _: Request) -> AsyncIterator[Chunk]:
        """Yield pieces of 60 kB."""
        while not self.may_stop:
            self.pieces += 1
            assert self.pieces < 1000, "nobody reads this, so where does it go?"
            yield Chunk({"content": "x" * 60_000})
            await asyncio.sleep(0)
        yield Chunk(finish_reason="stop")

    async def aclose(self) -> None:
        """Nothing to close."""


async def test_a_client_that_does_not_read_holds_up_its_own_upstream_alone() -> None:
    """Its LLM is read no further than buffers go, other streams go on, and nothing is lost afterwards."""
    llm = Talkative()
    async with Upstream(stream("Four.")) as upstream, served(config_of(upstream), llms={"a": llm}) as server:
        with await silent_client(server.base, model="a") as client:
            seen = -1
            while not llm.pieces or seen != llm.pieces:
                seen = llm.pieces
                await asyncio.sleep(0.1)
            other = await server.chat(model="b", stream=True)
            llm.may_stop = True
            received = await all_of(client)

    assert other.text == "Four."
    assert received.count(b'"content":"x') == llm.pieces
    assert b"data: [DONE]\n\n" in received[-40:]


async def silent_client(base: str, model: str) -> socket.socket:
    """Ask for a stream and read nothing of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    client.setblocking(False)
    host, port = base.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (host, int(port)))
    body = json.dumps({"model": model, "messages": HI, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    await loop.sock_sendall(client, head.encode() + body)
    return client


async def all_of(client: socket.socket) -> bytes:
    """What is still to be read."""
    parts = []
    while part := await asyncio.get_running_loop().sock_recv(client, 1 << 20):
        parts.append(part)
    return b"".join(parts)


class Asgi:
    """A server that is not uvicorn: sending may take time, and what was sent is kept."""

    def __init__(self, llm: LLM, *, keep_alive: float = 10.0, seconds: float = math.inf) -> None:
        """Serve `llm`; every message takes so many seconds to be sent."""
        config = {
            "llms": {"a": {"model": "scripted/x", "retries": 0, "timeout": {"total": 900, "first_token": 900}}},
            "mixtures": {"one": {"description": "One.", "workers": ["a"]}},
            "limits": {"seconds": 900},
            "server": {"keep_alive": keep_alive},
        }
        self.deployment = Deployment(config, llms={"a": llm})
        self.sent: list[MutableMapping[str, Any]] = []
        self.moments: list[float] = []
        """When each message was sent."""
        self._seconds, self._is_sending = seconds, False

    def count(self, name: str, **labels: str) -> float:
        """One value of the metrics."""
        return self.deployment.metrics.registry.get_sample_value(f"mollm_{name}", labels) or 0.0

    async def chat(self, **body: Any) -> float:
        """Answer a request and return how long that took."""
        request = read_chat(json.dumps({"model": "one", "messages": HI, "stream": True, **body}).encode())
        handling = self.deployment.handle({"type": "http", "path": "/v1/chat/completions"}, self._receive)
        await stream_answer(self.deployment, handling, request, self._send)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert self.deployment.admission.in_flight == 0
        task = asyncio.current_task()
        assert task
        assert task.cancelling() == 0, "nobody cancels what is not inside any more"
        return asyncio.get_running_loop().time()

    async def _receive(self) -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        assert not self._is_sending, "one message after the other"
        self._is_sending = True
        self.sent.append(message)
        self.moments.append(asyncio.get_running_loop().time())
        try:
            await self._pass(message)
        finally:
            self._is_sending = False

    async def _pass(self, _: MutableMapping[str, Any]) -> None:
        if self._seconds == math.inf:
            await self._receive()
        await asyncio.sleep(self._seconds)

    @property
    def pieces(self) -> list[Any]:
        """The deltas that were sent."""
        return [delta for _, delta in self.timed]

    @property
    def timed(self) -> list[tuple[float, Any]]:
        """Each of them with the moment at which it was."""
        found = []
        for moment, message in zip(self.moments, self.sent, strict=True):
            lines = message.get("body", b"").decode().split("\n\n")
            events = [line.removeprefix("data: ") for line in lines if line]
            parsed = [json.loads(event) for event in events if event != "[DONE]"]
            found += [(moment, delta) for delta in deltas(parsed)]
        return found


def test_what_comes_at_once_leaves_in_one_write() -> None:
    """Role, words, end and `[DONE]` of an answer that is there at once; nothing waits to be collected."""
    server = Asgi(ScriptedLLM("One two three four"), seconds=0)

    seconds = run_virtual(server.chat())

    assert [message["type"] for message in server.sent] == ["http.response.start", "http.response.body"]
    assert server.pieces == [ROLE, *[{"content": word} for word in ("One", " two", " three", " four")], {}]
    assert server.sent[-1]["body"].endswith(b"data: [DONE]\n\n")
    assert server.sent[-1]["more_body"] is False
    assert seconds == 0


def test_what_breaks_off_at_once_leaves_in_one_write_too() -> None:
    """The words that were shown, and then the error."""
    server = Asgi(ScriptedLLM(BREAKS), seconds=0)

    run_virtual(server.chat())

    assert [message["type"] for message in server.sent] == ["http.response.start", "http.response.body"]
    body = server.sent[-1]["body"]
    assert body.index(b'"One"') < body.index(b'" two"') < body.index(b'"error"')


class WordByWord(ScriptedLLM):
    """Each word comes by itself; what comes at once leaves at once."""

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Let the event loop go on after each word."""
        async with aclosing(super().stream(request)) as words:  # type: ignore[type-var] # a generator
            async for word in words:
                yield word
                await asyncio.sleep(0)


@pytest.mark.parametrize("keep_alive", [10.0, 45.0, 600.0], ids=str)
@pytest.mark.parametrize("delay", [0.0, 700.0], ids=["has something to show", "has nothing to show"])
def test_a_client_that_never_reads_counts_as_gone(keep_alive: float, delay: float) -> None:
    """A minute after the first attempt its place is free again, its upstream closed, and no task left."""
    llm = WordByWord(Script("One two three four", delay=delay))
    server = Asgi(llm, keep_alive=keep_alive)

    seconds = run_virtual(server.chat())

    begun = min(delay, keep_alive)
    assert begun + LONGEST_SEND <= seconds <= begun + LONGEST_SEND + min(keep_alive, LONGEST_SEND)
    assert llm.cancelled == 1
    assert [message["type"] for message in server.sent] == ["http.response.start"]


class Gone(Asgi):
    """Its client is gone after some messages, which it says as ASGI has it: by an error."""

    def __init__(self, llm: LLM, messages: int) -> None:
        """Let so many messages through."""
        super().__init__(llm, seconds=0)
        self._messages = messages

    async def _pass(self, _: MutableMapping[str, Any]) -> None:
        if len(self.sent) > self._messages:
            raise BrokenPipeError("Secret")


@pytest.mark.parametrize("delay", [0, 25], ids=["by the answer", "by a sign of life"])
@pytest.mark.parametrize("messages", range(4), ids=["status", "first", "second", "third"])
def test_an_error_while_sending_means_that_the_client_has_gone(
    messages: int, delay: float, caplog: pytest.LogCaptureFixture
) -> None:
    """The LLM is stopped, it counts as gone, and the log has no failure and no traceback."""
    llm = WordByWord(Script("One two three four", delay=delay))
    server = Gone(llm, messages)

    run_virtual(server.chat())

    assert llm.cancelled == 1
    assert server.count("request_failures_total", mixture="one", cause="client_gone") == 1
    assert server.count("requests_total", mixture="one") == 1
    assert not [record for record in caplog.records if record.levelname != "INFO"], caplog.text


def test_a_client_that_goes_before_the_end_was_answered(caplog: pytest.LogCaptureFixture) -> None:
    """The last message finds nobody; that is nobody's failure."""
    server = Gone(WordByWord("One two"), 3)

    run_virtual(server.chat())

    assert len(server.sent) == 4
    assert server.count("requests_total", mixture="one") == 1
    assert server.count("request_failures_total", mixture="one", cause="client_gone") == 0
    assert not [record for record in caplog.records if record.levelname != "INFO"], caplog.text


def test_a_client_that_goes_before_the_error_reaches_it() -> None:
    """The answer broke off and nobody is there to be told: that ends in order, as anything else does."""
    server = Gone(WordByWord(BREAKS), 3)

    run_virtual(server.chat())

    assert b'"error"' in server.sent[3]["body"]
    assert len(server.sent) == 4
    assert server.count("request_failures_total", mixture="one", cause="aggregation") == 1


class Deaf(Asgi):
    """Its client reads everything but the error at the end."""

    async def _pass(self, message: MutableMapping[str, Any]) -> None:
        if b'"error"' in message.get("body", b""):
            await self._receive()


def test_a_client_that_does_not_read_the_error_is_not_waited_for() -> None:
    """Some seconds, and no longer: a server that stops waits for it as well."""
    server = Deaf(ScriptedLLM(BREAKS))

    seconds = run_virtual(server.chat())

    assert seconds == LONGEST_FAREWELL
    assert b'"error"' in server.sent[-1]["body"]


@pytest.mark.parametrize("fails", [10.5, 11.5, 22.5], ids=["status", "role", "another sign of life"])
def test_an_error_while_something_leaves_is_an_event_after_it(fails: float) -> None:
    """What is handed over, the status above all, can be taken back no more: the error comes next, and the end."""
    server = Asgi(ScriptedLLM(Script(delay=fails, error=ProviderFailed("no"))), keep_alive=10, seconds=1)

    run_virtual(server.chat())

    assert [message["type"] for message in server.sent].count("http.response.start") == 1
    assert b'"error"' in server.sent[-1]["body"]
    assert server.sent[-1]["more_body"] is False


def test_an_llm_that_is_silent_is_not_the_clients_fault() -> None:
    """However long it takes, and however rarely a sign of life is wanted."""
    server = Asgi(ScriptedLLM(Script("Four.", delay=800)), keep_alive=300, seconds=0)

    seconds = run_virtual(server.chat())

    assert seconds == 800
    assert server.pieces == [ROLE, {}, {}, {"content": "Four."}, {}]


class Halting(ScriptedLLM):
    """Says a word, and the next one long after."""

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Wait 6 seconds before the first word and 25 before the second."""
        words = super().stream(request)
        await asyncio.sleep(6)
        yield await anext(words)
        yield await anext(words)
        await asyncio.sleep(25)
        async for word in words:
            yield word


def test_silence_lasts_as_long_as_it_may_and_no_longer() -> None:
    """A sign of life comes `keep_alive` seconds after whatever was sent last."""
    server = Asgi(Halting("Four five."), keep_alive=10, seconds=0)

    run_virtual(server.chat())

    assert [moment for moment, piece in server.timed if not piece] == [16, 26, 31]
    assert server.pieces == [ROLE, {"content": "Four"}, {}, {}, {"content": " five."}, {}]


def test_a_sign_of_life_is_not_cut_in_two() -> None:
    """A piece that comes while one is being sent waits for it, on any server."""
    server = Asgi(ScriptedLLM(Script("One two", delay=11)), keep_alive=10, seconds=1)

    run_virtual(server.chat())

    assert server.sent[0]["type"] == "http.response.start"
    assert server.pieces == [ROLE, {}, {"content": "One"}, {"content": " two"}, {}]


@pytest.mark.parametrize("delay", [0, 11])
def test_several_answers_leave_one_after_the_other(delay: float) -> None:
    """Their pieces come side by side, and none is sent while another is, on any server."""
    server = Asgi(ScriptedLLM(Script("One two", delay=delay)), keep_alive=10, seconds=1)

    run_virtual(server.chat(n=3))

    assert server.sent[0]["type"] == "http.response.start"
    assert [piece.get("content") for piece in server.pieces].count("One") == 3
    assert server.pieces[:3] == [ROLE] * 3


def hang_then_answer(go: asyncio.Event) -> Reply:
    """A worker that answers when it may."""
    return Reply(answer("Secret.").parts, before=go)


async def test_chunks_name_the_mixture_that_answers_also_after_a_sign_of_life() -> None:
    """A router that takes its time is no reason to go on saying `auto`, or to begin again at another second."""
    chosen = asyncio.Event()

    class Slow:
        kind: ClassVar[str] = "slow"

        async def route(self, question: Question, calls: Calls) -> Route:  # noqa: ARG002 - the interface has them
            await chosen.wait()
            return Route("one", {"one": 1.0}, "slow", "it was thought over")

    upstream = Upstream(stream("Four."))
    async with (
        upstream,
        served(config_of(upstream, **BEAT), router=Slow()) as server,
        server.open(model="auto") as reply,
    ):
        first = await reply.event()
        await until(lambda: int(time.time()) > first["created"])
        chosen.set()
        rest = await reply.rest()

    assert {(event["id"], event["created"]) for event in rest[:-1]} == {(first["id"], first["created"])}
    assert first["model"] == "auto"
    assert rest[-2]["model"] == "one"
    assert rest[-1] == "[DONE]"
