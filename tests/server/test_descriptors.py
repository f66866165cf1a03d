"""File descriptors: what a server takes, what it says where they do not do, and what it does where none is left."""

from __future__ import annotations

import asyncio
import logging
import re
import resource
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mollm.config.load import load_config
from mollm.server.clients import Clients
from mollm.server.descriptors import Needs, QuietAboutDescriptors
from tests.server.served import config_of, served, until
from tests.server.test_process import SCRIPTED, Server, started, write
from tests.upstream import Reply, Upstream, answer, hang

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at a process through /proc")

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
del sys.argv[1:3]
from mollm.cli.main import main
main()
"""


@asynccontextmanager
async def limited(path: Path, soft: int, hard: int) -> AsyncGenerator[Server, None]:
    """Serve with these limits of descriptors."""
    command = (sys.executable, "-W", "error", "-c", LIMITED, str(soft), str(hard), "serve", "-c", path)
    async with started(*command) as server:
        server.base = (await server.says("serving ")).rpartition(" on ")[2]
        yield server


def four(upstream: Upstream) -> dict[str, Any]:
    """A mixture of four workers; the one most agree on is the answer."""
    llm = {"model": "hosted_vllm/m", "api_base": upstream.base_url, "context_window": 8192}
    mixture = {"description": "Four.", "workers": ["a", "b", "c", "d"], "aggregator": {"method": "vote"}}
    return {"llms": dict.fromkeys("abcd", llm), "mixtures": {"four": mixture}}


async def test_a_burst_that_does_not_fit_is_answered_all_the_same(tmp_path: Path) -> None:
    """64 requests of four calls each with 128 descriptors: calls wait for connections, and nobody is blamed."""
    go_on = asyncio.Event()
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: Reply(answer("Four.").parts, before=go_on)
        async with limited(write(tmp_path, four(upstream)), 128, 128) as server:
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            async with aiohttp.ClientSession(connector=connector) as session:
                server.session, kept = session, server.session
                asking = [asyncio.create_task(server.chat(model="four")) for _ in range(64)]
                await upstream.request(8)
                go_on.set()
                statuses = [(await asked).status for asked in asking]
            server.session = kept
            address = f"127.0.0.1:{upstream.port}"
            opened = [await server.metric("breakers_opened_total", llm=llm) for llm in "abcd"]
            states = [await server.metric("breaker_state", llm=llm, address=address) for llm in "abcd"]
            server.process.terminate()
            await server.ends()

    assert statuses == [200] * 64
    assert (opened, states) == ([0] * 4, [0] * 4)
    assert "connection failed" not in "\n".join(server.lines)


async def test_the_soft_limit_is_raised(tmp_path: Path) -> None:
    """As far as the hard one, without a word where the bounds fit that."""
    async with Upstream() as upstream, limited(write(tmp_path, four(upstream)), 128, 4096) as server:
        page = (await server.get("/metrics")).raw.decode()
        server.process.terminate()
        await server.ends()

    assert "\nprocess_max_fds 4096.0\n" in page
    assert not [line for line in server.lines if "WARNING" in line]


async def test_bounds_that_do_not_fit_are_told_at_the_start(tmp_path: Path) -> None:
    """With the arithmetic and what to change, and again where a file that is read again brings others."""
    async with Upstream() as upstream:
        path = write(tmp_path, four(upstream), max_in_flight=20, queue=10)
        async with limited(path, 100, 100) as server:
            told = await server.says("file descriptors")
            server.process.terminate()
            await server.ends()

    own, total, most, at_most = (
        int(re.search(pattern, told)[1])  # type: ignore[index] # it is there, or this fails
        for pattern in (r"WARNING (\d+) files", r"are (\d+) file desc", r"ulimit -n (\d+)", r"max_in_flight` to (\d+)")
    )
    assert "30 connections of clients (server.max_in_flight + server.queue)" in told
    assert "80 to LLMs (20 requests with up to 4 calls at once)" in told
    assert "the limit is 100" in told
    assert total == most == own + 30 + 80
    assert own + at_most + 10 + 4 * at_most <= 100 < own + (at_most + 1) + 10 + 4 * (at_most + 1)


CONFIGS: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "no connection": ({}, (512, 0, 0)),
    "bounded by requests": ({"llms": {"a": {"model": "hosted_vllm/m", "api_base": "http://h/v1"}}}, (512, 1, 256)),
    "bounded by an address": (
        {"llms": {"a": {"model": "hosted_vllm/m", "api_base": "http://h/v1"}}, "server": {"max_in_flight": 5000}},
        (5256, 1, 512),
    ),
    "two addresses": (
        {
            "llms": {"a": {"model": "hosted_vllm/m", "api_base": ["http://h/v1", "http://i/v1"]}},
            "server": {"max_in_flight": 5000, "queue": 0},
        },
        (5000, 1, 1024),
    ),
    "samples": (
        {
            "llms": {"a": {"model": "hosted_vllm/m", "api_base": "http://h/v1"}},
            "mixtures": {"one": {"description": "x", "workers": [{"llm": "a", "samples": 3}]}},
            "server": {"max_in_flight": 10},
        },
        (266, 3, 30),
    ),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_what_a_configuration_needs(case: str) -> None:
    """Clients by the section `server`; LLMs by requests and their workers, up to what each LLM may have."""
    sections, expected = CONFIGS[case]

    needs = Needs.of(load_config({**SCRIPTED, **sections}), 40)

    assert (needs.clients, needs.calls, needs.llms) == expected
    assert needs.total == 40 + needs.clients + needs.llms


async def test_more_clients_than_fit_do_not_stop_the_server(tmp_path: Path) -> None:
    """150 connections that say nothing where there are 100 descriptors: who asks is answered, then and afterwards."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: answer("Four.")
        async with limited(write(tmp_path, four(upstream)), 100, 100) as server:
            first = await server.chat(model="four")
            host, port = server.base.removeprefix("http://").split(":")
            crowd = [await asyncio.open_connection(host, int(port)) for _ in range(150)]
            ended = await asyncio.wait_for(crowd[0][0].read(), 20)
            during = [await server.get("/health"), await server.chat(model="four")]
            for _, writer in crowd:
                writer.close()
            async with aiohttp.ClientSession() as session:
                server.session, kept = session, server.session
                after = await server.chat(model="four")
            server.session = kept
            server.process.terminate()
            await server.ends()

    assert [reply.status for reply in (first, *during, after)] == [200] * 4
    assert ended == b"", "the one that was idle longest made room"
    assert len(server.lines) < 20


async def test_idle_connections_make_room_for_new_ones(tmp_path: Path) -> None:
    """The server is not full of clients that have been answered."""
    async with limited(write(tmp_path, SCRIPTED), 100, 100) as server:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            server.session, kept = session, server.session
            for _ in range(3):
                replies = await asyncio.gather(*(server.chat(model="one") for _ in range(40)))
                assert [reply.status for reply in replies] == [200] * 40
        server.session = kept
        async with aiohttp.ClientSession() as session:
            server.session, kept = session, server.session
            reply = await server.chat(model="one")
        server.session = kept

    assert reply.status == 200


class Idle(asyncio.Transport):
    """A connection that nobody looks at."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take what is sent."""

    def close(self) -> None:
        """Take that it ends."""


def test_the_log_tells_of_connections_that_were_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing else would: neither the metrics nor the audit log know what never was an HTTP request."""
    clients = Clients()
    clients.most = 2
    for _ in range(2):
        clients.came(busy := Idle())
        clients.asked(busy)
    for _ in range(100):
        clients.came(refused := Idle())
        clients.left(refused)

    (said,) = (record.getMessage() for record in caplog.records)
    assert said == "a connection was refused: clients have 2, and there are file descriptors for no more"


def test_the_log_is_not_flooded_where_nothing_can_be_accepted(caplog: pytest.LogCaptureFixture) -> None:
    """One line for thousands, with the limit in it; whatever else an event loop tells is told as ever."""
    caplog.set_level(logging.WARNING)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(QuietAboutDescriptors())
    error = OSError(24, "Too many open files")
    for _ in range(2000):
        loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": error})
    loop.call_exception_handler({"message": "something else", "exception": ValueError("x")})
    loop.close()

    ours, other = (record.getMessage() for record in caplog.records)
    assert re.fullmatch(r"this process has no file descriptor left \(limit \d+\): new connections wait", ours)
    assert other.startswith("something else")


# Connections of one LLM and of another


@pytest.mark.parametrize("requests", [200, 600])
async def test_an_llm_that_hangs_takes_no_connection_of_another(requests: int) -> None:
    """Although they share an address, and although more requests hang than one LLM has connections."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit < 10 * requests:
        pytest.skip(f"{10 * requests} descriptors are needed, and {limit} is the limit")
    async with Upstream() as upstream:
        upstream.reply_to = lambda asked: answer("Four.") if asked.body["model"] == "well" else hang()
        config = config_of(upstream, server={"max_in_flight": 2 * requests})
        config["llms"] = {**config["llms"], "well": {**config["llms"]["a"], "model": "hosted_vllm/well"}}
        async with served(config) as server, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            server.session, kept = session, server.session
            asking = [asyncio.create_task(server.chat(model="three")) for _ in range(requests)]
            await upstream.request(3 * min(requests, 512))
            llms = server.deployment.mollm.catalog.llms
            await until(lambda: all(llms[name].waiting == max(0, requests - 512) for name in "abc"))
            reply = await server.chat(model="well")
            address = f"127.0.0.1:{upstream.port}"
            in_use = await server.metric("connections_in_use", llm="a", address=address)
            waiting = await server.metric("connections_waiting", llm="a")
            for asked in asking:
                asked.cancel()
            await asyncio.wait(asking)
            server.session = kept

    assert reply.status == 200
    assert (in_use, waiting) == (min(requests, 512), max(0, requests - 512))


async def test_a_request_that_found_no_connection_may_try_again() -> None:
    """503 with `Retry-After`, alone, in a mixture and before the first token: no LLM is slow, and none is blamed."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: hang()
        config = config_of(upstream)
        llm = {**config["llms"]["a"], "max_in_flight": 1, "timeout": {"total": 60}}
        three = {**config["mixtures"]["three"], "deadline": 0.3}
        config |= {"llms": dict.fromkeys("abc", llm), "mixtures": {**config["mixtures"], "three": three}}
        async with served({**config, "limits": {"seconds": 60}}) as server:
            busy = [asyncio.create_task(server.chat(model=model)) for model in "abc"]
            await upstream.request(3)
            replies = [await server.chat(model="three"), await server.chat(model="three", stream=True)]
            cause = await server.metric("call_failures_total", llm="a", cause="exhausted")
            state = await server.metric("breaker_state", llm="a", address=f"127.0.0.1:{upstream.port}")
            for asked in busy:
                asked.cancel()
            await asyncio.wait(busy)

    assert [(reply.status, reply.body["error"]["code"]) for reply in replies] == [(503, "overloaded")] * 2
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies)
    assert all("waited for a connection of this process" in reply.body["error"]["message"] for reply in replies)
    assert (cause, state) == (2, 0)
    assert len(upstream.received) == 3
