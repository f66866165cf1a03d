"""A client that goes away: what it asked for is stopped within a second, and nothing is left of it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from mollm.server.app import create_app
from tests.server.served import HI, config_of, served, until
from tests.upstream import Upstream, answer, hang, stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from tests.server.served import Client

BEAT: dict[str, Any] = {"server": {"keep_alive": 0.05}}
FULL: dict[str, Any] = {"server": {"max_in_flight": 1, "queue": 4}}


@asynccontextmanager
async def nothing_is_left(server: Client, upstream: Upstream) -> AsyncGenerator[None, None]:
    """A second after the block no upstream connection is open, no place taken, and no task runs that is new."""
    await server.get("/health")  # opens what stays open
    before = tasks()
    yield
    admission = server.deployment.admission
    async with asyncio.timeout(1):
        await until(lambda: all(found.done.is_set() or found.closed_early.is_set() for found in upstream.received))
        await until(lambda: not tasks() - before)
        await until(lambda: (admission.in_flight, admission.waiting) == (0, 0))


def tasks() -> set[asyncio.Task[Any]]:
    """What runs, but for the upstream's own: one a connection, however idle."""
    return {task for task in asyncio.all_tasks() if "RequestHandler.start" not in repr(task.get_coro())}


async def leave(asking: Coroutine[Any, Any, Any], upstream: Upstream, calls: int) -> None:
    """Ask, and close the connection when so many calls have come in upstream."""
    client = asyncio.create_task(asking)
    await upstream.request(calls)
    client.cancel()
    await asyncio.wait([client])


def closed(upstream: Upstream) -> list[bool]:
    """Which upstream calls ended before their time."""
    return [received.closed_early.is_set() for received in upstream.received]


RUNNING = {"bypass": ("one", 0, 1), "workers": ("three", 0, 3), "aggregator": ("three", 3, 1)}
"""The mixture, how many calls have ended, and how many run."""


@pytest.mark.parametrize("has_stream", [False, True], ids=["unstreamed", "streamed"])
@pytest.mark.parametrize("case", RUNNING)
async def test_before_there_is_anything_to_show(has_stream: bool, case: str, caplog: pytest.LogCaptureFixture) -> None:
    """Every call that runs is stopped, whether the answer would have been streamed or not, and the log says why."""
    caplog.set_level(logging.INFO, "mollm.server")
    mixture, ended, running = RUNNING[case]
    script = [*[answer("A.") for _ in range(ended)], *[hang() for _ in range(running)]]
    async with Upstream(*script) as upstream, served(config_of(upstream)) as server:
        async with nothing_is_left(server, upstream):
            await leave(server.chat(model=mixture, stream=has_stream), upstream, ended + running)
        gone = await server.metric("request_failures_total", mixture=mixture, cause="client_gone")
        requests = await server.metric("requests_total", mixture=mixture)

    assert closed(upstream) == [False] * ended + [True] * running
    assert gone == requests == 1
    left = rf"{mixture}: failed after [0-9.]+ s: the client closed its connection"
    assert [record.levelname for record in caplog.records if re.fullmatch(left, record.getMessage())] == ["INFO"]


async def test_between_two_signs_of_life() -> None:
    """The response has begun, and the workers are stopped all the same."""
    async with Upstream(hang(), hang(), hang()) as upstream, served(config_of(upstream, **BEAT)) as server:
        async with nothing_is_left(server, upstream), server.open(model="three") as reply:
            await reply.event()
            await reply.event()
        gone = await server.metric("request_failures_total", mixture="three", cause="client_gone")

    assert closed(upstream) == [True] * 3
    assert gone == 1


@pytest.mark.parametrize("mixture", ["one", "three"])
async def test_in_the_middle_of_a_stream(mixture: str) -> None:
    """The LLM that writes is stopped, with what it had still to say."""
    workers = [answer(text) for text in ("A.", "B.", "C.")] if mixture == "three" else []
    upstream = Upstream(*workers, stream("Fo", asyncio.Event(), "ur."))
    async with upstream, served(config_of(upstream)) as server:
        async with nothing_is_left(server, upstream), server.open(model=mixture) as reply:
            await reply.event()
            await reply.event()
        gone = await server.metric("request_failures_total", mixture=mixture, cause="client_gone")

    assert closed(upstream) == [False] * len(workers) + [True]
    assert gone == 1


async def test_one_of_several_answers_too() -> None:
    """With `n`, every one of the calls is stopped."""
    held = [stream("Fo", asyncio.Event()), stream("Vi", asyncio.Event())]
    async with Upstream(*held) as upstream, served(config_of(upstream)) as server:
        async with nothing_is_left(server, upstream), server.open(model="one", n=2) as reply:
            for _ in range(4):
                await reply.event()
        gone = await server.metric("request_failures_total", mixture="one", cause="client_gone")

    assert gone == 1
    assert closed(upstream) == [True, True]


async def test_in_the_queue() -> None:
    """Who waits and goes is never worked on, and who stands behind moves up."""
    go = asyncio.Event()
    upstream = Upstream(stream("Fo", go, "ur."), answer("Third."))
    async with upstream, served(config_of(upstream, **FULL)) as server:
        admission = server.deployment.admission
        async with server.open(model="one") as first:
            await first.event()
            second = asyncio.create_task(server.chat(model="one"))
            await until(lambda: admission.waiting == 1)
            third = asyncio.create_task(server.chat(model="one"))
            await until(lambda: admission.waiting == 2)
            second.cancel()
            await until(lambda: admission.waiting == 1)
            go.set()
            await first.rest()
        reply = await third
        gone = await server.metric("request_failures_total", mixture="", cause="client_gone")

    assert reply.body["choices"][0]["message"]["content"] == "Third."
    assert len(upstream.received) == 2
    assert gone == 1


async def test_with_many_questions() -> None:
    """Those that are worked on are stopped, those that were to come are never asked."""
    upstream = Upstream(*[hang() for _ in range(20)])
    async with upstream, served(config_of(upstream, router={"fallback": "one"})) as server:
        async with nothing_is_left(server, upstream):
            questions = [f"Question {number}" for number in range(20)]
            await leave(server.post("/predict", {"query": questions}), upstream, 8)
        gone = await server.metric("request_failures_total", mixture="one", cause="client_gone")

    assert gone == 8
    assert closed(upstream) == [True] * 8


@pytest.mark.parametrize("has_stream", [False, True], ids=["unstreamed", "streamed"])
async def test_it_says_nothing_about_the_llm(has_stream: bool) -> None:
    """However many clients go, the breaker of the LLM stays closed."""
    held = [stream("Fo", asyncio.Event()) if has_stream else hang() for _ in range(10)]
    async with Upstream(*held, answer("Four.")) as upstream, served(config_of(upstream)) as server:
        for number in range(1, 11):
            if has_stream:
                async with server.open(model="one") as reply:
                    await reply.event()
            else:
                await leave(server.chat(model="one"), upstream, number)
        reply_after = await server.chat(model="one")

    assert reply_after.status == 200
    assert len(upstream.received) == 11


async def test_a_place_that_was_left_is_free() -> None:
    """With room for one, the next request is worked on although the first never ended."""
    async with Upstream(hang(), answer("Four.")) as upstream, served(config_of(upstream, **FULL)) as server:
        await leave(server.chat(model="one"), upstream, 1)
        reply = await server.chat(model="one")

    assert reply.status == 200


@pytest.mark.parametrize("has_stream", [False, True], ids=["unstreamed", "streamed"])
async def test_an_application_in_front_that_gives_the_body_again_and_again(has_stream: bool) -> None:
    """It never says that the client went away, and never waits: the answer comes all the same."""
    sent: list[Any] = []
    times = 0
    body = json.dumps({"model": "one", "messages": HI, "stream": has_stream}).encode()

    async def receive() -> dict[str, Any]:
        nonlocal times
        times += 1
        assert times < 100, "nothing else has its turn while this is asked for"
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    script = stream("Four.") if has_stream else answer("Four.")
    async with Upstream(script) as upstream:
        app = create_app(config_of(upstream))
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], "query_string": b""}
        async with asyncio.timeout(20):
            await app(scope, receive, send)
        await app.state.deployment.aclose()

    assert sent[0]["status"] == 200
    assert b"Four." in b"".join(message.get("body", b"") for message in sent)
    assert not sent[-1].get("more_body")


async def test_with_a_second_question_behind_the_first(caplog: pytest.LogCaptureFixture) -> None:
    """Sent over one connection before the first was answered: both are given up, and neither is a failure of ours."""
    body = json.dumps({"model": "one", "messages": HI, "stream": True}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    upstream = Upstream(stream("Fo", asyncio.Event(), "ur."))
    async with upstream, served(config_of(upstream)) as server:
        async with nothing_is_left(server, upstream):
            reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.base).port)
            writer.write((head + body) * 2)
            async with asyncio.timeout(20):
                await reader.readuntil(b'"Fo"')
            writer.close()
        gone = await server.metric("request_failures_total", mixture="one", cause="client_gone")

    assert gone == 1
    assert closed(upstream) == [True]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
