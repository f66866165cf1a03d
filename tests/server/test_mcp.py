"""The Model Context Protocol over HTTP: behind the same doors as every other endpoint, and counted as they are."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mollm.errors import UnknownMixture
from mollm.server.deployment import Deployment
from tests.mcp.client import asked, connected, text_of
from tests.mcp.test_tools import ERAS, config_of
from tests.server.served import served, until
from tests.server.test_process import SCRIPTED, started, write
from tests.upstream import Upstream, answer, hang

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from mcp import Client

    from tests.server.served import Caller
    from tests.server.served import Client as Server

ANNA, BERT = "the-key-of-anna-0001", "the-key-of-bert-0002"
TAKES = "application/json, text/event-stream"
HANDSHAKE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
BEGIN = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HANDSHAKE}


def keyed(upstream: Upstream, **limits: Any) -> dict[str, Any]:
    """Two keys, the first with limits."""
    keys = [{"name": "anna", "key": ANNA, "limits": limits}, {"name": "bert", "key": BERT}]
    return config_of(upstream, server={"mcp": True, "api_keys": keys})


@asynccontextmanager
async def agent(server: Caller, key: str = "", mode: str = "legacy") -> AsyncGenerator[Client, None]:
    """The SDK's client at the server, with a key."""
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with create_mcp_http_client(headers) as http:
        transport = streamable_http_client(f"{server.base}/mcp", http_client=http)
        async with connected(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize("mode", ERAS)
async def test_an_agent_asks_over_http(mode: str) -> None:
    """Tools, an answer with progress, two at once; and one that is cancelled reaches no upstream any more."""
    steps: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert total
        assert message
        steps.append(progress)

    async with Upstream() as upstream, served(config_of(upstream, server={"mcp": True})) as server:
        upstream.reply_to = lambda got: hang() if "Why?" in str(got.body["messages"]) else answer("Four.")
        async with agent(server, mode=mode) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["ask", "route", "mixtures"]
            found = await client.call_tool("ask", {"question": "2 + 2?"}, progress_callback=note)
            assert (found.is_error, text_of(found)) == (False, "Four.")
            assert steps == sorted(set(steps)) != []
            assert text_of(await client.call_tool("route", {"question": "Why?"})).startswith("team: ")

            call = asyncio.create_task(asked(client, "Why?"))
            other, third = await asyncio.gather(asked(client, "2 + 2?"), asked(client, "3 + 1?", mixture="solo"))
            assert (text_of(other), text_of(third)) == ("Four.", "Four.")
            assert not call.done()
            call.cancel()
            async with asyncio.timeout(5):
                for received in upstream.received:
                    await (received.closed_early if "Why?" in str(received.body) else received.done).wait()
            await until(lambda: server.deployment.admission.in_flight == 0)
        assert await server.metric("requests_total", mixture="team") == 3  # the one that was cancelled, too
        assert await server.metric("requests_total", mixture="solo") == 1


async def post(server: Server, message: Any, **headers: str) -> tuple[int, Any, Mapping[str, str]]:
    """Post a message as no client of the SDK would, and return status, document and headers."""
    found = await server.post("/mcp", message, accept=TAKES, content_type="application/json", **headers)
    text = found.raw.decode()
    data = text.partition("data: ")[2] if text.startswith("event") else text
    return found.status, json.loads(data) if data.strip() else None, found.headers


async def test_a_client_that_is_gone_reaches_no_upstream_any_more() -> None:
    """In a session, which goes on, and whose protocol has a message for it; the SDK would work on for nobody."""
    async with Upstream() as upstream, served(config_of(upstream, server={"mcp": True})) as server:
        upstream.reply_to = lambda _: hang()
        session = (await post(server, BEGIN))[2]["mcp-session-id"]
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": {}}}
        call["params"]["arguments"] = {"question": "Why?"}  # type: ignore[index]
        task = asyncio.create_task(post(server, call, mcp_session_id=session))
        await upstream.request(2)
        task.cancel()
        async with asyncio.timeout(5):
            for received in upstream.received:
                await received.closed_early.wait()
        await until(lambda: server.deployment.admission.in_flight == 0)

        assert await server.metric("request_failures_total", mixture="team", cause="client_gone") == 1
        assert (await post(server, {**call, "method": "ping", "params": {}}, mcp_session_id=session))[0] == 200


async def test_who_has_no_key_is_not_let_in() -> None:
    """Not by a wrong key either, and not into a session of somebody else, which exists for its owner alone."""
    async with Upstream() as upstream, served(keyed(upstream)) as server:
        assert (await post(server, BEGIN))[0] == 401
        status, body, _ = await post(server, BEGIN, authorization="Bearer none-of-the-two-keys")
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        session = (await post(server, BEGIN, authorization=f"Bearer {ANNA}"))[2]["mcp-session-id"]
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        others = await post(server, ping, authorization=f"Bearer {BERT}", mcp_session_id=session)
        own = await post(server, ping, authorization=f"Bearer {ANNA}", mcp_session_id=session)

    assert (others[0], own[0]) == (404, 200)


async def test_pages_and_foreign_names_are_kept_out_where_there_is_no_key() -> None:
    """As for every other endpoint: a page of another origin, and a name that was made to lead here."""
    async with Upstream() as upstream, served(config_of(upstream, server={"mcp": True})) as server:
        page = await post(server, BEGIN, origin="https://evil.example")
        rebound = await post(server, BEGIN, host="evil.example")
        own = await post(server, BEGIN, origin=server.base)

    assert (page[0], rebound[0], own[0]) == (403, 403, 200)
    assert "mcp-session-id" in own[2]["access-control-expose-headers"]


async def test_a_key_may_ask_as_much_as_by_any_other_endpoint(tmp_path: Path) -> None:
    """Beyond that the agent is told, and when to try again; the line of the audit log says who asked."""
    audit = tmp_path / "audit.jsonl"
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: answer("Four.")
        config = keyed(upstream, per_minute=2)
        config["server"]["audit"] = str(audit)
        async with served(config) as server, agent(server, ANNA) as client:
            first = await asked(client, "2 + 2?", mixture="solo")
            await client.call_tool("mixtures", {})
            await client.call_tool("route", {"question": "Why?"})
            refused = await asked(client, "2 + 2?", mixture="solo")
    lines = [json.loads(line) for line in audit.read_text().splitlines()]

    assert not first.is_error
    assert refused.is_error
    assert "limits.per_minute is 2" in text_of(refused)
    assert [(line["key"], line["path"], line["mixture"], line["status"]) for line in lines] == [
        ("anna", "/mcp", "solo", 200),
        ("anna", "/mcp", None, 200),
        ("anna", "/mcp", None, 429),
    ]


async def test_what_a_router_calls_is_booked_to_the_key_too() -> None:
    """Else `route` would be a way around the limits of a day."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: answer("team")
        router = {"kind": "llm", "llm": "boss", "fallback": "team"}
        config = {**keyed(upstream, tokens_per_day=1), "router": router}
        async with served(config) as server, agent(server, ANNA) as client:
            refused = await client.call_tool("route", {"question": "Why?"})
            assert upstream.received == []
        config = {**keyed(upstream, tokens_per_day=100_000), "router": router}
        async with served(config) as server, agent(server, ANNA) as client:
            await client.call_tool("route", {"question": "Why?"})
            quota = server.deployment.quotas.of("anna")
            assert quota is not None
            assert quota.total.tokens == 9

    assert refused.is_error
    assert "tokens_per_day" in text_of(refused)


async def test_a_full_server_tells_the_agent_to_come_again_and_takes_its_cancellation() -> None:
    """A place is taken by a question alone, so the message that cancels one finds its way in."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: hang()
        config = config_of(upstream, server={"mcp": True, "max_in_flight": 1, "queue": 0})
        async with served(config) as server, agent(server) as client:
            call = asyncio.create_task(asked(client, "Why?"))
            await upstream.request(2)
            refused = await asked(client, "Why?")
            call.cancel()
            await until(lambda: server.deployment.admission.in_flight == 0)

    assert refused.is_error
    assert "try again in " in text_of(refused)


async def test_what_is_no_message_is_refused() -> None:
    """Bodies that are none, or too large, and methods that the protocol does not need."""
    config: dict[str, Any] = {"server": {"mcp": True, "max_body": 1000}}
    async with Upstream() as upstream, served(config_of(upstream, **config)) as server:
        assert (await post(server, b"{"))[0] == 400
        assert (await post(server, {"jsonrpc": "2.0"}))[0] == 400
        assert (await post(server, b"[" * 900))[0] == 400
        assert (await post(server, b"[" * 1001))[0] == 413
        got = await server.get("/mcp", accept="text/event-stream")
        assert (got.status, got.headers["allow"]) == (405, "POST, DELETE")
        assert (await post(server, b"{}", mcp_session_id="none"))[0] == 404


async def test_the_protocol_is_served_where_the_configuration_says_so() -> None:
    """Elsewhere the path is none, and who asks for it is told where it is."""
    async with Upstream() as upstream, served(config_of(upstream)) as server:
        status, body, _ = await post(server, BEGIN)

    assert status == 404
    assert "server.mcp" in body["error"]["message"]


async def test_a_file_that_is_read_again_changes_the_tools(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of a session that is open as well; whether there is such a path at all changes with a restart."""
    path = tmp_path / "mollm.yaml"
    async with Upstream() as upstream:
        config = config_of(upstream, server={"mcp": True})
        path.write_text(yaml.safe_dump(config))
        async with served(path) as server, agent(server) as client:
            before = (await client.list_tools()).tools[0]
            mixtures = {**config["mixtures"], "new": {"description": "New.", "workers": ["a"]}}
            path.write_text(yaml.safe_dump({**config, "mixtures": mixtures, "server": {}}))
            assert await server.deployment.reload()
            after = (await client.list_tools()).tools[0]

    assert set(before.input_schema["properties"]["mixture"]["enum"]) == {"auto", "team", "solo"}
    assert set(after.input_schema["properties"]["mixture"]["enum"]) == {"auto", "team", "solo", "new"}
    assert "405" not in caplog.text, "every client of a session tries a GET, which is nothing to be told of"
    assert "server.mcp changes with a restart only" in caplog.text


async def test_the_command_serves_the_protocol_and_nothing_else() -> None:
    """No chat completions, with one mixture for everything; an unknown one is refused at the start."""
    from mollm.server.app import mcp_app_of

    async with Upstream() as upstream:
        upstream.reply_to = lambda _: answer("Four.")
        config = config_of(upstream)
        async with served(config, app_of=lambda deployment: mcp_app_of(deployment, "solo")) as server:
            assert (await server.chat(model="solo")).status == 404
            assert (await server.get("/health")).status == 200
            async with agent(server) as client:
                assert [tool.name for tool in (await client.list_tools()).tools] == ["ask"]
                assert (await asked(client, "2 + 2?")).structured_content["mixture"] == "solo"
        with pytest.raises(UnknownMixture, match="there are: team, solo"):
            mcp_app_of(Deployment(config), "none")


async def test_a_signal_ends_it_while_a_session_is_open(tmp_path: Path) -> None:
    """As a process: `mollm mcp --http` says where it is, and SIGTERM ends it within a second, without a traceback."""
    path = write(tmp_path, SCRIPTED)
    async with started(sys.executable, "-W", "error", "-m", "mollm", "mcp", "--http", "-c", path) as server:
        server.base = (await server.says("serving ")).rpartition(" on ")[2]
        async with agent(server) as client:
            assert text_of(await asked(client, "2 + 2?")) == "Four."
            server.process.send_signal(signal.SIGTERM)
            assert await server.ends(within=5) == 0

    assert "Traceback" not in "\n".join(server.lines)


async def test_a_server_that_stops_answers_why_and_waits_for_no_session() -> None:
    """What still runs when its time is up ends with the reason; nothing of a session is left open."""
    async with Upstream() as upstream, served(config_of(upstream, server={"mcp": True})) as server:
        upstream.reply_to = lambda _: hang()
        async with agent(server) as client:
            call = asyncio.create_task(asked(client, "Why?"))
            await upstream.request(2)
            await server.deployment.admission.drained(0)
            found = await call

    assert found.is_error
    assert "the server is about to stop" in text_of(found)


async def test_a_key_takes_no_session_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its share, so that one whose clients begin sessions without end keeps out itself alone."""
    monkeypatch.setattr("mollm.server.mcp.MOST_SESSIONS", 6)
    async with Upstream() as upstream, served(keyed(upstream)) as server:
        own = [(await post(server, BEGIN, authorization=f"Bearer {ANNA}"))[0] for _ in range(5)]
        other = (await post(server, BEGIN, authorization=f"Bearer {BERT}"))[0]

    assert (own, other) == ([200, 200, 200, 503, 503], 200)


@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28", "none"])
async def test_a_message_is_bounded_before_the_protocol_reads_it(version: str) -> None:
    """In whichever of its forms: the SDK reads what is nested or has many parts, and takes seconds and a gigabyte."""
    many = b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": [' + b"[]," * 100_000 + b"[]]}}"
    bodies = {b"[" * 50_000: "not JSON", b"[" * 150 + b"]" * 150: "levels deep", many: "more than 100000 lists"}
    async with Upstream() as upstream, served(config_of(upstream, server={"mcp": True})) as server:
        for body, why in bodies.items():
            status, found, _ = await post(server, body, mcp_protocol_version=version)
            assert (status, why in found["error"]["message"]) == (400, True), found
