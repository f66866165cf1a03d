"""The fast path, against a real server on loopback."""

from __future__ import annotations

import asyncio
import gc
import gzip
import warnings
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.calling.attempt import ReliableLLM, Timeouts
from mollm.calling.base import Request
from mollm.calling.health import Breaker
from mollm.calling.http import Sessions
from mollm.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    EmptyReply,
    LLMError,
    ProviderFailed,
    RateLimited,
    Refused,
    TimedOut,
    Unreachable,
)
from mollm.llms.openai_compatible import OpenAICompatibleLLM
from mollm.options import Settings
from mollm.types import Usage
from tests.upstream import DROP, Reply, Upstream, answer, chunk, document, error, events, hang, sse, stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ASK = Request([{"role": "user", "content": "2 + 2?"}])
CHAT = "/v1/chat/completions"


def reliable(upstream: Upstream, *, retries: int = 0, **options: Any) -> ReliableLLM:
    """The LLM under test as the rest of mollm calls it."""
    return ReliableLLM("m", OpenAICompatibleLLM("m", api_base=upstream.base_url), retries=retries, **options)


def at_several(*addresses: str, **options: Any) -> ReliableLLM:
    """One LLM at several addresses, with default settings; they share connections, as in a pool."""
    return ReliableLLM("m", [OpenAICompatibleLLM("m", api_base=address) for address in addresses], **options)


async def answer_40(llm: ReliableLLM, *, is_streamed: bool = False, closes: bool = True) -> int:
    """Ask 40 questions, 8 at once; returns how many were answered."""
    places = asyncio.Semaphore(8)

    async def ask() -> bool:
        async with places:
            try:
                if is_streamed:
                    return "".join([piece.text async for piece in llm.stream(ASK)]) == "Four."
                return (await llm.complete(ASK)).text == "Four."
            except LLMError:
                return False

    answered = sum(await asyncio.gather(*(ask() for _ in range(40))))
    if closes:
        await llm.aclose()
    return answered


async def test_a_call_sends_what_is_set_and_brings_everything_back() -> None:
    """Model, messages and settings go out as given; the whole message, usage and logprobs come back."""
    logprobs = {"content": [{"token": "Four", "logprob": -0.1}]}
    async with Upstream(answer("Four.", reasoning_content="2+2", logprobs=logprobs)) as upstream:
        llm = OpenAICompatibleLLM("m", api_base=upstream.base_url, api_key="k3y")
        settings = Settings(max_tokens=5, temperature=0.0, stop=("x",), extra_body={"top_k": 3})

        completion = await llm.complete(Request(ASK.messages, settings))
        await llm.aclose()

    assert upstream.received[0].path == "/v1/chat/completions"
    assert upstream.received[0].headers["Authorization"] == "Bearer k3y"
    expected = {"model": "m", "messages": [{"role": "user", "content": "2 + 2?"}], "max_tokens": 5, "temperature": 0.0}
    assert upstream.received[0].body == expected | {"stop": ["x"], "top_k": 3}
    assert completion.text == "Four."
    assert completion.message["reasoning_content"] == "2+2"
    assert completion.usage == Usage(7, 2, 9)
    assert completion.logprobs == logprobs


async def test_a_stream_comes_piece_by_piece() -> None:
    """The first piece is there while the upstream still holds back the rest."""
    rest = asyncio.Event()
    async with Upstream(stream("Fo", rest, "ur.")) as upstream:
        llm = reliable(upstream)
        texts = []
        async with aclosing(llm.stream(ASK)) as chunks:
            async for piece in chunks:
                texts.append(piece.text)
                if piece.text == "Fo":
                    assert not upstream.received[0].done.is_set()
                    rest.set()
        await llm.aclose()

    assert "".join(texts) == "Four."
    assert upstream.received[0].body["stream_options"] == {"include_usage": True}


async def test_tool_calls_survive_streamed_and_not() -> None:
    """Parallel tool calls come back unchanged, in one piece or in many."""
    calls = [
        {"index": i, "id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in (0, 1)
    ]
    tools = Settings(tools=[{"type": "function", "function": {"name": "f"}}])
    request = Request(ASK.messages, tools)
    async with Upstream(answer(None, tool_calls=calls), stream({"tool_calls": calls})) as upstream:
        llm = reliable(upstream)
        whole = await llm.complete(request)
        streamed = [piece.delta["tool_calls"] async for piece in llm.stream(request) if piece.delta.get("tool_calls")]
        await llm.aclose()

    assert whole.message["tool_calls"] == calls
    assert streamed == [calls]


async def test_leaving_a_stream_closes_its_connection() -> None:
    """A reader that stops listening stops the upstream."""
    async with Upstream(stream("Fo", asyncio.Event())) as upstream:
        llm = reliable(upstream)
        async with aclosing(llm.stream(ASK)) as chunks:
            async for piece in chunks:
                if piece.text:
                    break
        await asyncio.wait_for(upstream.received[0].closed_early.wait(), 5)
        await llm.aclose()


async def test_cancelling_a_call_closes_its_connection() -> None:
    """The same for a call that is not streamed."""
    async with Upstream(hang()) as upstream:
        llm = reliable(upstream)
        task = asyncio.create_task(llm.complete(ASK))
        received = await upstream.request(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(received.closed_early.wait(), 5)
        await llm.aclose()


FAULTS: list[tuple[str, Reply, type[LLMError]]] = [
    ("429", error(429), RateLimited),
    ("500", error(500), ProviderFailed),
    ("400", error(400), BadRequest),
    ("401", error(401), AuthFailed),
    ("too long", error(400, "This model's maximum context length is 10 tokens"), ContextTooLong),
    ("content filter", answer("", finish_reason="content_filter"), Refused),
    ("html", Reply((b"<html>hello</html>",), headers={"content-type": "text/html"}), ProviderFailed),
    ("empty body", Reply((b"",)), ProviderFailed),
    ("no choices", document({"choices": []}), ProviderFailed),
    ("null message", document({"choices": [{"message": None}]}), ProviderFailed),
    ("error in a 200", document({"error": {"message": "x", "code": "rate_limit_exceeded"}}), RateLimited),
    ("vLLM's error in a 200", document({"object": "error", "message": "x", "code": 400}), BadRequest),
    ("null content", answer(None), EmptyReply),
    ("reasoning alone", answer(None, reasoning_content="hmm"), EmptyReply),
    ("dropped", Reply((b'{"choices"', DROP)), Unreachable),
    ("content is a number", document({"choices": [{"message": {"role": "assistant", "content": 7}}]}), ProviderFailed),
    ("tool call is null", document({"choices": [{"message": {"tool_calls": [None]}}]}), EmptyReply),
    ("choice is null", document({"choices": [None]}), ProviderFailed),
    ("redirect", document({}, 307, location="http://127.0.0.1:1/"), ProviderFailed),
]


@pytest.mark.parametrize(("reply", "kind"), [pytest.param(r, k, id=name) for name, r, k in FAULTS])
async def test_a_fault_becomes_the_error_it_is(reply: Reply, kind: type[LLMError]) -> None:
    """Every way an upstream can fail has its own class, names the LLM and quotes nothing of the upstream."""
    async with Upstream(reply) as upstream:
        llm = reliable(upstream)
        with pytest.raises(kind) as caught:
            await llm.complete(ASK)
        await llm.aclose()

    assert caught.type is kind
    assert caught.value.llm == "m"
    assert "hello" not in str(caught.value)


STREAM_FAULTS: list[tuple[str, Reply, type[LLMError]]] = [
    ("ends in the middle", stream("Fo", finish_reason=None, done=False, usage=None), ProviderFailed),
    ("broken JSON", events(sse(chunk({"content": "Fo"})), b"data: {oops\n\n"), ProviderFailed),
    ("error event", events(sse(chunk({"content": "Fo"})), sse({"error": {"message": "x", "code": 429}})), RateLimited),
    ("dropped", events(sse(chunk({"content": "Fo"})), DROP), Unreachable),
    ("delta is a string", events(sse(chunk({"content": "Fo"})), sse({"choices": [{"delta": "x"}]})), ProviderFailed),
    ("choice is null", events(sse(chunk({"content": "Fo"})), sse({"choices": [None]})), ProviderFailed),
    ("tool call is null", events(sse(chunk({"content": "Fo"})), sse(chunk({"tool_calls": [None]}))), ProviderFailed),
]


@pytest.mark.parametrize(("reply", "kind"), [pytest.param(r, k, id=name) for name, r, k in STREAM_FAULTS])
async def test_a_stream_that_breaks_is_never_passed_off_as_whole(reply: Reply, kind: type[LLMError]) -> None:
    """What came is handed on, then the error: no invented end."""
    async with Upstream(reply) as upstream:
        llm = reliable(upstream, retries=2)
        texts = []
        with pytest.raises(kind):
            async for piece in llm.stream(ASK):
                texts.append(piece.text)  # noqa: PERF401 - what came before the error counts
        await llm.aclose()

    assert "".join(texts) == "Fo"
    assert len(upstream.received) == 1, "no retry after a visible token"


async def test_keep_alives_and_odd_chunks_are_no_text() -> None:
    """Comments, empty choices and a null delta are skipped over."""
    parts = (b": ping\n\n", sse({"choices": []}), sse(chunk({"content": None})), sse(chunk({"content": "Four."})))
    async with Upstream(events(*parts, sse(chunk({}, "stop")), b"data: [DONE]\n\n")) as upstream:
        llm = reliable(upstream)
        text = "".join([piece.text async for piece in llm.stream(ASK)])
        await llm.aclose()

    assert text == "Four."


async def test_a_json_answer_to_a_streamed_call_is_an_error_not_silence() -> None:
    """A server that ignores `stream` is told apart from an empty stream."""
    async with Upstream(document({"error": {"message": "no", "code": 400}})) as upstream:
        llm = reliable(upstream)
        with pytest.raises(BadRequest):
            await anext(llm.stream(ASK))
        await llm.aclose()


async def test_calls_go_to_the_address_with_the_fewest_in_flight() -> None:
    """With one address busy the next call takes the other one."""
    release = asyncio.Event()
    async with Upstream(Reply(answer().parts, before=release)) as slow, Upstream(answer(), answer()) as fast:
        llm = at_several(slow.base_url, fast.base_url)
        first = asyncio.create_task(llm.complete(ASK))
        await slow.request(1)
        await llm.complete(ASK)
        await llm.complete(ASK)
        release.set()
        await first
        await llm.aclose()

    assert (len(slow.received), len(fast.received)) == (1, 2)


SICK: dict[str, Reply] = {
    "answers 503": error(503),
    "answers 429": error(429, retry_after="20"),
    "answers 401": error(401),
    "answers 404": error(404),
    "drops": Reply((DROP,)),
    "talks nonsense": Reply((b"<html>hello</html>",), headers={"content-type": "text/html"}),
}


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("sick", SICK.values(), ids=list(SICK))
async def test_a_sick_server_beside_a_healthy_one_costs_no_answer(sick: Reply, is_streamed: bool) -> None:
    """Two addresses, 40 questions, 8 at once, default settings: all are answered, and at once."""
    async with Upstream() as healthy, Upstream() as ill:
        healthy.fixed[CHAT], ill.fixed[CHAT] = stream("Four.") if is_streamed else answer(), sick
        answered = await answer_40(at_several(healthy.base_url, ill.base_url), is_streamed=is_streamed)

    assert answered == 40
    assert 1 <= len(ill.received) <= 8


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_dead_server_beside_a_live_one_costs_no_answer(is_streamed: bool) -> None:
    """The same where nobody listens at all."""
    async with Upstream() as gone:
        pass
    async with Upstream() as live:
        live.fixed[CHAT] = stream("Four.") if is_streamed else answer()
        answered = await answer_40(at_several(live.base_url, gone.base_url), is_streamed=is_streamed)

    assert answered == 40


async def test_a_list_of_addresses_in_a_configuration_is_one_llm() -> None:
    """The same through `MoLLM`: 40 questions, 8 at once, one server dead, default settings."""
    async with Upstream() as gone:
        pass
    async with Upstream() as live:
        live.fixed[CHAT] = answer()
        config = {
            "llms": {"m": {"model": "hosted_vllm/m", "api_base": [live.base_url, gone.base_url]}},
            "mixtures": {"one": {"description": "One.", "workers": ["m"]}},
        }
        async with MoLLM(config) as mollm:
            answers = await mollm.abatch(["2 + 2?"] * 40, concurrency=8)

    assert [found.text for found in answers] == ["Four."] * 40


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_hanging_server_beside_a_live_one_costs_no_answer(is_streamed: bool) -> None:
    """The same where one takes the call and sends nothing, with limits of a few seconds."""
    timeouts = Timeouts(total=6, first_token=1)
    async with Upstream() as live, Upstream() as hanging:
        live.fixed[CHAT], hanging.fixed[CHAT] = stream("Four.") if is_streamed else answer(), hang()
        llm = at_several(live.base_url, hanging.base_url, timeouts=timeouts)
        answered = await answer_40(llm, is_streamed=is_streamed)

    assert answered == 40
    assert 1 <= len(hanging.received) <= 8


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_server_that_was_killed_and_came_back_is_used_again(is_streamed: bool) -> None:
    """One of two is killed among calls and started again later: no answer is lost, and in the end both answer."""
    reply = stream("Four.") if is_streamed else answer()
    async with Upstream() as stays:
        stays.fixed[CHAT] = reply
        async with Upstream() as killed:
            killed.fixed[CHAT] = hang()
            llm = at_several(stays.base_url, killed.base_url, breaker=lambda: Breaker(open_seconds=0.2))
            asking = asyncio.create_task(answer_40(llm, is_streamed=is_streamed, closes=False))
            await killed.request(1)
        answered = await asking
        async with Upstream(port=killed.port) as back:
            back.fixed[CHAT] = reply
            async with asyncio.timeout(20):
                while not back.received:
                    answered += await answer_40(llm, is_streamed=is_streamed, closes=False) - 40
            answered += await answer_40(llm, is_streamed=is_streamed)

    assert answered == 80
    assert len(back.received) >= 10


async def test_an_address_nobody_listens_on_is_unreachable() -> None:
    """A refused connection is an error of its own, not a hang."""
    llm = ReliableLLM("m", OpenAICompatibleLLM("m", api_base="http://127.0.0.1:1/v1"), retries=0)

    with pytest.raises(Unreachable):
        await llm.complete(ASK)
    await llm.aclose()


async def test_a_server_that_sends_nothing_runs_into_the_first_token_limit() -> None:
    """Headers without a token are given up after `first_token`, long before `total`."""
    opened = events(sse(chunk({"role": "assistant"})), asyncio.Event())
    async with Upstream(opened) as upstream:
        llm = reliable(upstream, timeouts=Timeouts(total=60, first_token=0.05))
        with pytest.raises(TimedOut):
            await anext(llm.stream(ASK))
        await llm.aclose()


async def test_a_stream_that_stalls_runs_into_the_idle_limit() -> None:
    """Silence between tokens is given up after `idle`."""
    async with Upstream(stream("Fo", asyncio.Event())) as upstream:
        llm = reliable(upstream, timeouts=Timeouts(total=60, idle=0.05))
        texts = []
        with pytest.raises(TimedOut):
            async for piece in llm.stream(ASK):
                texts.append(piece.text)  # noqa: PERF401 - what came before the error counts
        await llm.aclose()

    assert "".join(texts) == "Fo"


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"
DRIPS: dict[str, tuple[bytes, bytes]] = {
    "letters of an event": (b"data: ", b"x"),
    "whole events": (b"", sse(chunk({"content": "o"}))),
    "thoughts": (b"", sse(chunk({"reasoning_content": "o"}))),
    "comments": (b"", b": still there\n\n"),
    "white space": (b"", b" "),
}


@asynccontextmanager
async def sending_for_ever(first: bytes, more: bytes, every: float) -> AsyncGenerator[tuple[str, asyncio.Event], None]:
    """A server that goes on as long as it can; yields its address, and what is set when its caller has gone."""
    gone = asyncio.Event()

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(more)
                await writer.drain()
                await asyncio.sleep(every)
        gone.set()

    async with await asyncio.start_server(send, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", gone


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("drip", DRIPS)
async def test_a_reply_that_drips_for_ever_is_given_up(drip: str, is_streamed: bool) -> None:
    """When its time is up, however regularly a little comes; and its connection is closed."""
    first, more = DRIPS[drip]
    timeouts = Timeouts(total=0.5, first_token=0.4, idle=0.4)
    async with sending_for_ever(HEAD + b"\r\n" + first, more, 0.01) as (address, gone), asyncio.timeout(20):
        llm = ReliableLLM("m", OpenAICompatibleLLM("m", api_base=address), retries=0, timeouts=timeouts)
        with pytest.raises(TimedOut):
            await to_the_end(llm, is_streamed)
        await gone.wait()
        await llm.aclose()


FRAMES: dict[str, tuple[bytes, bytes]] = {
    "headers": (HEAD, b"x: y\r\n" * 2000),
    "one header": (HEAD + b"x: ", b"y" * 12_000),
    "responses before it": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "trailers": (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"x: y\r\n" * 2000),
    "extension of a chunk": (HEAD + b"transfer-encoding: chunked\r\n\r\n2;", b"a" * 12_000),
    "size of a chunk": (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"0" * 12_000),
}


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("frame", FRAMES)
async def test_a_reply_whose_frame_has_no_end_is_given_up(frame: str, is_streamed: bool) -> None:
    """What surrounds a body is no part of its 16 MiB, and ends as a failure all the same."""
    async with sending_for_ever(*FRAMES[frame], 0) as (address, gone), asyncio.timeout(20):
        llm = ReliableLLM("m", OpenAICompatibleLLM("m", api_base=address), retries=0, timeouts=Timeouts(total=0.5))
        with pytest.raises((TimedOut, ProviderFailed)):
            await to_the_end(llm, is_streamed)
        await gone.wait()
        await llm.aclose()


async def to_the_end(llm: ReliableLLM, is_streamed: bool) -> None:
    """Call it, and read all of what comes."""
    if is_streamed:
        async for _ in llm.stream(ASK):
            pass
    else:
        await llm.complete(ASK)


async def test_a_reply_without_bounds_is_cut_off() -> None:
    """A reply of more than 16 MiB is refused instead of read to its end."""
    megabyte = b"x" * (1024 * 1024)
    async with Upstream(Reply((megabyte,) * 20)) as upstream:
        llm = reliable(upstream)
        with pytest.raises(ProviderFailed, match="16 MiB"):
            await llm.complete(ASK)
        await llm.aclose()


async def test_a_stream_without_bounds_is_cut_off() -> None:
    """Endless reasoning, or endless anything, is refused at the same ceiling."""
    piece = sse(chunk({"reasoning_content": "x" * (1024 * 1024)}))
    async with Upstream(events(*[piece] * 20)) as upstream:
        llm = reliable(upstream)
        with pytest.raises(ProviderFailed, match="16 MiB"):
            await anext(llm.stream(ASK))
        await llm.aclose()


async def test_a_small_reply_that_unpacks_to_a_large_one_is_cut_off() -> None:
    """A compressed body counts as what it becomes."""
    packed = gzip.compress(b" " * (40 * 1024 * 1024))
    headers = {"content-type": "application/json", "content-encoding": "gzip", "content-length": str(len(packed))}
    async with Upstream(Reply((packed,), headers=headers)) as upstream:
        llm = reliable(upstream)
        with pytest.raises(ProviderFailed, match="16 MiB"):
            await llm.complete(ASK)
        await llm.aclose()


async def test_a_request_that_is_no_json_is_the_caller_s_mistake() -> None:
    """A lone surrogate or a number too large is refused here, once, and counts against nobody."""
    async with Upstream(answer()) as upstream:
        llm = reliable(upstream, retries=3)
        for _ in range(10):
            with pytest.raises(BadRequest, match="JSON"):
                await llm.complete(Request([{"role": "user", "content": "\ud800"}]))
        assert (await llm.complete(ASK)).text == "Four."
        await llm.aclose()


async def test_a_stream_leaves_its_connection_for_the_next_call() -> None:
    """Ten streams use one connection."""
    async with Upstream(*[stream("Four.")] * 10) as upstream:
        llm = reliable(upstream)
        for _ in range(10):
            assert "".join([piece.text async for piece in llm.stream(ASK)]) == "Four."
        await llm.aclose()

    assert upstream.connections == 1


async def test_no_error_leads_to_the_key() -> None:
    """Not the error, not its causes, not their representation."""
    reply = Reply((b"oops",), headers={"content-type": "application/json", "content-length": "999999"})
    async with Upstream(reply, Reply((b"\x1f\x8b oops",), headers={"content-encoding": "gzip"})) as upstream:
        base = OpenAICompatibleLLM("m", api_base=upstream.base_url, api_key="s3ntinel")
        llm = ReliableLLM("m", base, retries=0, timeouts=Timeouts(total=1))
        for _ in range(2):
            with pytest.raises(LLMError) as caught:
                await llm.complete(ASK)
            shown: BaseException | None = caught.value
            while shown is not None:
                assert "s3ntinel" not in f"{shown!r} {shown} {getattr(shown, 'request_info', '')}"
                shown = shown.__cause__
        await llm.aclose()


def test_loops_are_not_kept_alive() -> None:
    """Many `asyncio.run` in one process leave one session each, not all of them."""
    llm = OpenAICompatibleLLM("m", api_base="http://127.0.0.1:1/v1")

    async def ask() -> None:
        with pytest.raises(LLMError):
            await ReliableLLM("m", llm, retries=0).complete(ASK)

    for _ in range(5):
        asyncio.run(ask())

    assert not llm._sessions._open  # noqa: SLF001 - what is kept is the point


async def test_the_window_is_asked_from_the_server() -> None:
    """vLLM says `max_model_len` in its list of models; a server that says nothing has 8192."""
    async with Upstream() as upstream:
        upstream.fixed["/v1/models"] = document({"data": [{"id": "other"}, {"id": "m", "max_model_len": 1234}]})
        llm, silent = reliable(upstream), reliable(upstream)
        assert await llm.context_window() == 1234
        upstream.fixed["/v1/models"] = error(404)
        assert await silent.context_window() == 8192
        await llm.aclose()
        await silent.aclose()


def test_connections_end_with_their_event_loop() -> None:
    """A second `asyncio.run` works, and the first leaves no open session behind."""

    async def ask(llm: OpenAICompatibleLLM) -> None:
        async with Upstream(answer()) as upstream:
            llm._url = f"{upstream.base_url}/chat/completions"  # noqa: SLF001 - each loop has its own server
            await llm.complete(ASK)

    llm = OpenAICompatibleLLM("m", api_base="http://127.0.0.1:1/v1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(ask(llm))
        asyncio.run(ask(llm))
        gc.collect()


async def test_closing_one_llm_leaves_the_calls_of_others_alone() -> None:
    """Connections that are shared are closed by whoever shares them out."""
    async with Upstream(hang(release := asyncio.Event())) as upstream:
        sessions = Sessions()
        one, other = (OpenAICompatibleLLM("m", api_base=upstream.base_url, sessions=sessions) for _ in range(2))
        asking = asyncio.create_task(other.complete(ASK))
        received = await upstream.request(1)
        await one.aclose()
        assert not received.closed_early.is_set()
        release.set()
        with pytest.raises(ProviderFailed):
            await asking
        await sessions.aclose()


@pytest.mark.parametrize("base", ["127.0.0.1:8000/v1", "http://h:port/v1", "ftp://x/v1", "", "http://[::1/v1"])
def test_what_is_no_address_is_refused_before_any_call(base: str) -> None:
    """Whatever was written there: no request is ever sent to what it might have meant."""
    with pytest.raises(ValueError, match=r"^(has no scheme|begins with|is empty|holds)"):
        OpenAICompatibleLLM("m", api_base=base)


@pytest.mark.parametrize("base", ["/v1/?api-version=preview", "/v1/chat/completions/?api-version=preview"])
async def test_the_query_of_an_address_stays_behind_the_path(base: str) -> None:
    """For calls, streams and what is asked about the model alike."""
    async with Upstream(answer(), stream("Four.")) as upstream:
        llm = OpenAICompatibleLLM("m", api_base=upstream.base_url.removesuffix("/v1") + base)
        await llm.complete(ASK)
        async for _ in llm.stream(ASK):
            pass
        with suppress(ProviderFailed):  # nothing is said of the model there
            await llm.context_window()
        await llm.aclose()

    paths = ["/v1/chat/completions", "/v1/chat/completions", "/v1/models"]
    assert [(request.path, request.query) for request in upstream.received] == [
        (path, "api-version=preview") for path in paths
    ]
