"""What a key of a server may use, over real sockets: who is refused, that nobody is called for it, what is kept."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sqlite3
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from mollm.errors import ConfigError
from mollm.server.app import create_app
from tests.server.served import HI, Caller, Reply, config_of, served, until
from tests.upstream import Upstream, answer, error, hang, stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

ANNA, BATCH = "the-key-of-anna-0001", "the-key-of-batch-002"
PRICE = {"input": 1.0, "output": 10.0}
USED = 9
"""Tokens of a call, as `tests.upstream` reports them."""


def keyed(upstream: Upstream, path: Path, *, max_tokens: int = 100, **limits: Any) -> dict[str, Any]:
    """Three priced LLMs, a key `anna` with `limits`, and `batch` without, whose secret is not in the file."""
    config = config_of(upstream)
    config["llms"] = {name: {**llm, "max_tokens": max_tokens, "price": PRICE} for name, llm in config["llms"].items()}
    digest = hashlib.sha256(BATCH.encode()).hexdigest()
    keys = [{"name": "anna", "key": ANNA, "limits": limits}, {"name": "batch", "sha256": digest}]
    return {**config, "server": {"api_keys": keys, "usage": str(path / "usage.sqlite")}}


async def ask(server: Caller, key: str = ANNA, **body: Any) -> Reply:
    """Ask the mixture of one worker, with a key."""
    whole = {"model": "one", "messages": HI, **body}
    return await server.post("/v1/chat/completions", whole, authorization=f"Bearer {key}")


async def used(server: Caller, name: str, **labels: str) -> float:
    """A value of `/metrics` about the key `anna`."""
    page = await server.get("/metrics", authorization=f"Bearer {BATCH}")
    told = "".join(f',{label}="{value}"' for label, value in labels.items())
    line = f'mollm_key_{name}{{key="anna"{told}}} '
    found = [found for found in page.raw.decode().splitlines() if found.startswith(line)]
    return float(found[0].removeprefix(line)) if found else 0.0


async def worst_case(upstream: Upstream, path: Path) -> int:
    """Tokens that a question to the mixture of one worker takes at worst, as its refusal says."""
    async with served(keyed(upstream, path, tokens_per_day=1)) as server:
        refused = await ask(server)
    assert (refused.status, refused.body["error"]["code"]) == (400, "limit_exceeded")
    text: str = refused.body["error"]["message"]
    return int(text.partition("may take ")[2].partition(" tokens")[0])


async def first_of(asked: list[asyncio.Task[Reply]], count: int) -> list[Reply]:
    """Wait for so many replies; the others are not waited for, and come last."""
    async with asyncio.timeout(30):
        while len(done := [task for task in asked if task.done()]) < count:
            await asyncio.wait(set(asked) - {*done}, return_when=asyncio.FIRST_COMPLETED)
    return [task.result() for task in done[:count]]


async def test_two_keys_do_not_share_their_limits(tmp_path: Path) -> None:
    """One is refused with what it may, and when it works again; the other goes on."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: answer()
        async with served(keyed(upstream, tmp_path, per_minute=2)) as server:
            mine = [await ask(server) for _ in range(3)]
            others = [await ask(server, BATCH) for _ in range(3)]
            listed = await server.get("/v1/models", authorization=f"Bearer {ANNA}")
            counts = [await used(server, "requests_total"), await used(server, "refusals_total", limit="per_minute")]

    refused = mine[-1]
    assert [reply.status for reply in mine] == [200, 200, 429]
    assert {reply.status for reply in others} == {200}
    assert listed.status == 200, "what costs nothing is not counted"
    assert refused.body["error"]["type"] == "rate_limit_error"
    assert refused.body["error"]["code"] == "rate_limit_exceeded"
    assert refused.body["error"]["message"].startswith(
        "key 'anna': it has asked 2 questions in the last 60 seconds, and limits.per_minute is 2; try again in "
    )
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert "x-should-retry" not in refused.headers
    assert refused.headers["x-request-id"]
    assert len(upstream.received) == 5
    assert counts == [3, 1]


async def test_a_place_is_free_when_a_question_has_ended(tmp_path: Path) -> None:
    """Also when it ended because its client left, in the middle of a stream."""
    held = asyncio.Event()
    upstream = Upstream(hang(held), stream("a", held, "b"), answer())
    async with upstream, served(keyed(upstream, tmp_path, at_once=1)) as server:
        first = asyncio.create_task(ask(server))
        await upstream.request(1)
        refused = await ask(server, stream=True)
        first.cancel()
        await upstream.received[0].closed_early.wait()
        await until(lambda: not next(iter(server.deployment.quotas)).places)
        headers = {"authorization": f"Bearer {ANNA}"}
        body = {"model": "one", "messages": HI, "stream": True}
        async with server.session.post(server.base + "/v1/chat/completions", json=body, headers=headers) as reply:
            await reply.content.readuntil(b'"a"')
            during = await ask(server)
        await until(lambda: not next(iter(server.deployment.quotas)).places)
        last = await ask(server)

    assert (refused.status, during.status, last.status) == (429, 429, 200)
    assert "limits.at_once is 1" in refused.body["error"]["message"], "a stream that has not begun has a status"
    assert int(refused.headers["retry-after"]) <= 60


async def test_a_request_that_is_refused_is_not_read(tmp_path: Path) -> None:
    """What needs no body is checked before it comes."""
    async with Upstream(answer()) as upstream, served(keyed(upstream, tmp_path, per_minute=1)) as server:
        await ask(server)
        host, _, port = server.base.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        top = f"POST /predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ANNA}\r\ncontent-length: 9999\r\n\r\n"
        writer.write(top.encode())
        async with asyncio.timeout(20):
            status = await reader.readline()
        writer.close()

    assert b" 429 " in status


async def test_a_list_cannot_get_round_the_limits(tmp_path: Path) -> None:
    """Each of its questions counts toward the minute, and no more of them are worked on than there are places."""
    running, most = 0, 0
    waiting: list[asyncio.Event] = []

    def reply(_: object) -> Any:
        nonlocal running, most
        held = asyncio.Event()
        waiting.append(held)
        running += 1
        most = max(most, running)

        def end() -> None:
            nonlocal running
            running -= 1
            held.set()

        asyncio.get_running_loop().call_later(0.01, end)
        return hang_then_answer(held)

    async with Upstream() as upstream:
        upstream.reply_to = reply
        async with served(keyed(upstream, tmp_path, at_once=2, per_minute=10)) as server:
            headers = {"authorization": f"Bearer {ANNA}"}
            eight = await server.post("/predict", {"query": ["Hi"] * 8}, **headers)
            eleven = await server.post("/predict", {"query": ["Hi"] * 11}, **headers)
            three = await server.post("/predict", [{"query": "Hi"}] * 3, **headers)
            two = await server.post("/predict", {"query": ["Hi"] * 2}, **headers)
            places = await used(server, "questions_in_flight")

    assert (eight.status, eleven.status, three.status, two.status) == (200, 400, 429, 200)
    assert eleven.body["error"]["code"] == "limit_exceeded"
    assert "a list of 11 questions, and limits.per_minute is 10" in eleven.body["error"]["message"]
    assert most <= 2 * 3, "two questions of three workers each"
    assert places == 0


def hang_then_answer(held: asyncio.Event) -> Any:
    """Answer when `held` is set."""
    return replace(answer(), before=held)


async def test_many_at_once_never_overspend(tmp_path: Path) -> None:
    """Of 50 questions at once, as many are answered as fit at worst; nobody is called for the others."""
    held = asyncio.Event()
    async with Upstream() as upstream:
        worst = await worst_case(upstream, tmp_path)
        upstream.reply_to = lambda _: hang_then_answer(held)
        async with served(keyed(upstream, tmp_path, tokens_per_day=7 * worst + worst - 1)) as server:
            asked = [asyncio.create_task(ask(server)) for _ in range(50)]
            refused = await first_of(asked, 43)
            reserved = await used(server, "tokens_reserved")
            held.set()
            replies = [await reply for reply in asked]
            after = [await used(server, "tokens_reserved"), await used(server, "tokens_today")]
            more = await ask(server)

    assert sorted(reply.status for reply in replies) == [200] * 7 + [429] * 43
    assert len(upstream.received) == 7 + 1
    assert reserved == 7 * worst
    assert after == [0, 7 * USED], "what was not used is given back"
    assert more.status == 200
    assert all("held for questions that are being answered" in reply.body["error"]["message"] for reply in refused)
    assert all(int(reply.headers["retry-after"]) <= 60 for reply in refused), "they end sooner than the day"


async def test_a_day_that_is_used_up_ends_at_midnight(tmp_path: Path) -> None:
    """The refusal says so, however far that is; what began before midnight belongs to the day before."""
    now = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
    held = asyncio.Event()
    async with Upstream() as upstream:
        worst = await worst_case(upstream, tmp_path)
        upstream.reply_to = lambda _: answer(usage={"prompt_tokens": 1, "completion_tokens": worst, "total_tokens": 1})
        async with served(keyed(upstream, tmp_path, tokens_per_day=worst), utc=lambda: now) as server:
            first, refused = await ask(server), await ask(server)
            streamed = await ask(server, stream=True)
            before = await used(server, "tokens_today")
            now += timedelta(hours=4)
            upstream.reply_to = lambda _: hang_then_answer(held)
            running = asyncio.create_task(ask(server))
            await upstream.request(2)
            now += timedelta(days=1)
            held.set()
            second = await running
            today = await used(server, "tokens_today")
    rows = sqlite3.connect(tmp_path / "usage.sqlite").execute("SELECT day, name, tokens FROM usage").fetchall()

    assert (first.status, refused.status, streamed.status, second.status) == (200, 429, 429, 200)
    assert refused.body["error"]["code"] == "daily_limit_exceeded"
    assert refused.body["error"]["message"].endswith("try again at 2026-03-02 00:00 UTC")
    assert refused.headers["retry-after"] == str(4 * 3600)
    assert refused.headers["x-should-retry"] == "false", "openai's SDK would ask again at once"
    assert before == 1 + worst
    assert today == 0
    assert sorted(rows) == [("2026-03-01", "anna", 1 + worst), ("2026-03-02", "anna", USED)]


async def test_what_failed_and_who_left_is_paid_for(tmp_path: Path) -> None:
    """A call that was cancelled is counted as the house counts it, and nothing stays reserved."""
    upstream = Upstream(error(500), hang())
    async with upstream, served(keyed(upstream, tmp_path, tokens_per_day=10_000)) as server:
        failed = await ask(server)
        after_failure = [await used(server, "tokens_today"), await used(server, "tokens_reserved")]
        long = [{"role": "user", "content": "Why does my loop never end? " * 10}]
        gone = asyncio.create_task(ask(server, messages=long))
        await upstream.request(2)
        during = await used(server, "tokens_reserved")
        gone.cancel()
        await until(lambda: next(iter(server.deployment.quotas)).today.used.tokens)
        after = await used(server, "tokens_reserved")

    assert failed.status == 502
    assert after_failure == [0, 0], "a call that was turned away costs nothing"
    assert during > 100
    assert after == 0


async def test_money_is_counted_as_tokens_are(tmp_path: Path) -> None:
    """What could cost more than a whole day's is the user's mistake, and so is an LLM without a price."""
    async with Upstream(answer()) as upstream:
        config = keyed(upstream, tmp_path, cost_usd_per_day=0.002)
        config["llms"]["free"] = {k: v for k, v in config["llms"]["a"].items() if k != "price"}
        async with served(config) as server:
            good, dear = await ask(server), await ask(server, max_tokens=1000)
            free, others = await ask(server, model="free"), await ask(server, BATCH, model="free")
            cost = await used(server, "cost_usd_today")

    assert (good.status, dear.status, free.status, others.status) == (200, 400, 400, 502)
    assert "and limits.cost_usd_per_day is 0.002 USD" in dear.body["error"]["message"]
    assert "free has no price, so limits.cost_usd_per_day cannot be kept" in free.body["error"]["message"]
    assert cost == pytest.approx(7e-6 + 2e-5)
    assert len(upstream.received) == 2, "nobody was asked for the refused ones"


def test_an_llm_in_use_needs_a_price_where_a_key_has_a_limit_of_money(tmp_path: Path) -> None:
    """As with `limits.cost_usd`, when the file is read."""
    config = keyed(Upstream(port=9), tmp_path, cost_usd_per_day=1)
    del config["llms"]["b"]["price"]

    with pytest.raises(ConfigError, match=r"server.api_keys\[0\].limits.cost_usd_per_day: b has no price"):
        create_app(config)


async def test_the_routers_llm_is_not_asked_for_what_no_mixture_may_answer(tmp_path: Path) -> None:
    """Nor where only the router's part would fit."""
    held = asyncio.Event()
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: hang_then_answer(held)
        config = keyed(upstream, tmp_path, tokens_per_day=4_000, max_tokens=2_000)
        config["router"] = {"kind": "llm", "llm": "a", "fallback": "one"}
        async with served(config) as server:
            asked = [asyncio.create_task(ask(server, model="auto")) for _ in range(5)]
            statuses = [reply.status for reply in await first_of(asked, 4)]
            await upstream.request(1)
            called = len(upstream.received)
            held.set()
            statuses += [reply.status for reply in await first_of(asked, 5) if reply.status != 429]

    assert statuses[:4] == [429] * 4
    assert called == 1
    assert statuses[4:] == [200]


async def test_limits_change_while_the_server_runs(tmp_path: Path) -> None:
    """A name keeps its counts, a new limit counts what was used before, and who is taken out is let in no more."""
    path = tmp_path / "mollm.yaml"

    def kept() -> list[Path]:
        return list(tmp_path.glob("*.sqlite*"))

    async with Upstream() as upstream:
        upstream.reply_to = lambda _: answer()
        config = keyed(upstream, tmp_path)
        del config["server"]["usage"]
        path.write_text(yaml.safe_dump(config))
        async with served(path) as server:
            await ask(server)
            assert not kept(), "nothing has to be kept"
            config["server"]["api_keys"][0]["limits"] = {"tokens_per_day": USED}
            path.write_text(yaml.safe_dump(config))
            assert await server.deployment.reload()
            refused = await ask(server)
            config["server"]["api_keys"][0]["name"] = "bert"
            path.write_text(yaml.safe_dump(config))
            assert await server.deployment.reload()
            renamed = await ask(server)
            config["server"]["api_keys"][0]["name"] = "anna"
            path.write_text(yaml.safe_dump(config))
            assert await server.deployment.reload()
            again = await ask(server)
            del config["server"]["api_keys"][0]
            path.write_text(yaml.safe_dump(config))
            assert await server.deployment.reload()
            gone = await ask(server)
    rows = sqlite3.connect(tmp_path / "mollm-usage.sqlite").execute("SELECT name, tokens FROM usage").fetchall()

    assert (refused.status, renamed.status, again.status, gone.status) == (429, 400, 429, 401)
    assert refused.body["error"]["code"] == again.body["error"]["code"] == "daily_limit_exceeded"
    assert rows == [("anna", USED)]


async def test_a_server_without_keys_tells_nothing_of_keys() -> None:
    """And keeps nothing."""
    async with Upstream(answer()) as upstream, served(config_of(upstream)) as server:
        await server.chat(model="one")
        page = (await server.get("/metrics")).raw

    assert b"mollm_key" not in page


@asynccontextmanager
async def process(path: Path) -> AsyncGenerator[tuple[asyncio.subprocess.Process, Caller], None]:
    """`mollm serve`, as a process of its own."""
    command = (sys.executable, "-m", "mollm", "serve", "--config", str(path), "--port", "0")
    running = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        assert running.stderr
        async with asyncio.timeout(60):
            while b"serving" not in (line := await running.stderr.readline()):
                assert line, "it ended before it served"
        async with aiohttp.ClientSession() as session:
            yield running, Caller(line.split()[-1].decode(), session)
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """Not after `kill -9` either, once what was used is written; nor in a second server on the same file."""
    path, kept = tmp_path / "mollm.yaml", tmp_path / "usage.sqlite"
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: answer()
        path.write_text(yaml.safe_dump(keyed(upstream, tmp_path, tokens_per_day=10_000)))

        def sum_of() -> int:
            found: int = sqlite3.connect(kept).execute("SELECT coalesce(sum(tokens), 0) FROM usage").fetchone()[0]
            return found

        async with process(path) as (first, server):
            assert (await ask(server)).status == (await ask(server)).status == 200
            await until(lambda: sum_of() == 2 * USED)
            os.kill(first.pid, signal.SIGKILL)
        async with process(path) as (second, server), process(path) as (third, beside):
            before = await used(server, "tokens_today")
            await ask(server)
            await ask(beside)
            for ended in (second, third):
                ended.terminate()
                assert await ended.wait() == 0
            after = sum_of()

    assert before == 2 * USED
    assert after == 4 * USED, "both add up, and what was waiting was written at the end"
