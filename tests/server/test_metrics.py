"""What Prometheus reads: every family counts what it says, and labels are nobody's to choose."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mollm.observing.prometheus import Metrics
from tests.clock import run_virtual
from tests.server.served import config_of, served, until
from tests.upstream import USAGE, Reply, Upstream, answer, error, stream

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.served import Client

PRICE = {"input": 1.0, "output": 10.0}
FAMILIES = {
    "mollm_requests": "counter",
    "mollm_request_failures": "counter",
    "mollm_first_token_seconds": "histogram",
    "mollm_request_seconds": "histogram",
    "mollm_agreement": "histogram",
    "mollm_confidence": "histogram",
    "mollm_degraded_answers": "counter",
    "mollm_tools_answers": "counter",
    "mollm_calls": "counter",
    "mollm_call_failures": "counter",
    "mollm_call_seconds": "histogram",
    "mollm_prompt_tokens": "counter",
    "mollm_completion_tokens": "counter",
    "mollm_cost_usd": "counter",
    "mollm_retries": "counter",
    "mollm_breakers_opened": "counter",
    "mollm_reloads": "counter",
    "mollm_audit_dropped": "counter",
    "mollm_requests_in_flight": "gauge",
    "mollm_queue_length": "gauge",
    "mollm_queue_oldest_seconds": "gauge",
    "mollm_event_loop_lag_seconds": "histogram",
    "mollm_breaker_state": "gauge",
    "mollm_connections_in_use": "gauge",
    "mollm_connections_waiting": "gauge",
    "mollm_retries_refused": "counter",
    "mollm_routes": "counter",
    "mollm_router_threshold": "gauge",
}


async def page(server: Client) -> dict[str, Any]:
    """Every family of `/metrics` by its name."""
    reply = await server.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(reply.raw.decode())}


def priced(upstream: Upstream) -> dict[str, Any]:
    """The usual configuration with a price on every LLM."""
    config = config_of(upstream)
    return {**config, "llms": {name: {**llm, "price": PRICE} for name, llm in config["llms"].items()}}


async def test_every_family_is_there_from_the_beginning() -> None:
    """With its kind and a text that says what it counts, before anything was asked."""
    async with Upstream() as upstream, served(config_of(upstream)) as server:
        found = await page(server)

    is_ours = {name: name.startswith("mollm_") and not name.endswith("_created") for name in found}
    ours = {name: family.type for name, family in found.items() if is_ours[name]}
    assert ours == FAMILIES
    assert all(family.documentation for family in found.values())
    assert "process_resident_memory_bytes" in found


async def test_an_answer_counts_with_all_its_calls() -> None:
    """Request and duration by mixture; calls, tokens and cost by LLM, the aggregator's among them."""
    workers = [answer(f"Proposal {n}.") for n in range(3)]
    async with Upstream(*workers, answer("Four.")) as upstream, served(priced(upstream)) as server:
        await server.chat(model="three")
        seen = {
            "requests": await server.metric("requests_total", mixture="three"),
            "durations": await server.metric("request_seconds_count", mixture="three"),
            "first tokens": await server.metric("first_token_seconds_count", mixture="three"),
        }
        by_llm = {
            name: [await server.metric(name, llm=llm) for llm in "abc"]
            for name in ("calls_total", "call_seconds_count", "prompt_tokens_total", "completion_tokens_total")
        }
        cost = [await server.metric("cost_usd_total", llm=llm) for llm in "abc"]

    once = (USAGE["prompt_tokens"] * PRICE["input"] + USAGE["completion_tokens"] * PRICE["output"]) / 1e6
    assert seen == {"requests": 1, "durations": 1, "first tokens": 0}
    assert by_llm == {
        "calls_total": [2, 1, 1],
        "call_seconds_count": [2, 1, 1],
        "prompt_tokens_total": [2 * USAGE["prompt_tokens"], *[USAGE["prompt_tokens"]] * 2],
        "completion_tokens_total": [2 * USAGE["completion_tokens"], *[USAGE["completion_tokens"]] * 2],
    }
    assert cost == pytest.approx([2 * once, once, once])


async def test_a_stream_counts_once_and_has_a_first_token() -> None:
    """However many pieces it has; the first token comes before the end."""
    async with Upstream(stream("Fo", "ur", ".")) as upstream, served(config_of(upstream)) as server:
        await server.chat(model="one", stream=True)
        counts = [
            await server.metric(name, mixture="one")
            for name in ("requests_total", "request_seconds_count", "first_token_seconds_count")
        ]
        first = await server.metric("first_token_seconds_sum", mixture="one")
        whole = await server.metric("request_seconds_sum", mixture="one")

    assert counts == [1, 1, 1]
    assert 0 < first <= whole


async def test_agreement_is_what_the_answer_says() -> None:
    """The share of proposals with the same final answer; an answer from open text has none."""
    workers = [answer(f"Final answer: {final}") for final in (7, 7, 8)]
    async with (
        Upstream(*workers, answer("Seven."), answer("There are several ways to do that.")) as upstream,
        served(config_of(upstream)) as server,
    ):
        reply = await server.chat(model="three")
        await server.chat(model="one")
        count = await server.metric("agreement_count", mixture="three")
        summed = await server.metric("agreement_sum", mixture="three")
        below = await server.metric("agreement_bucket", mixture="three", le="0.6")
        alone = await server.metric("agreement_count", mixture="one")

    assert count == 1
    assert summed == pytest.approx(2 / 3)
    assert float(reply.headers["x-mollm-agreement"]) == pytest.approx(2 / 3, abs=1e-4)
    assert (below, alone) == (0, 0)


async def test_failures_are_counted_by_cause() -> None:
    """Each request that brought no answer once, under the mixture it was for, or none."""
    script = [error(500), error(429, retry_after="1"), *[error(500)] * 3, stream("Fo", finish_reason=None, done=False)]
    async with Upstream(*script) as upstream, served(config_of(upstream)) as server:
        statuses = [
            (await server.chat(model=model, **more)).status
            for model, more in (
                ("one", {}),
                ("one", {}),
                ("three", {}),
                ("one", {"stream": True}),
                ("nobody", {}),
                ("three", {"n": 2}),
            )
        ]
        expected = [("one", "provider"), ("one", "rate_limited"), ("three", "quorum"), ("one", "aggregation")]
        expected += [("", "request"), ("", "request")]
        found = (await page(server))["mollm_request_failures"].samples
        requests = [await server.metric("requests_total", mixture=mixture) for mixture in ("one", "three", "")]

    assert statuses == [502, 429, 502, 200, 404, 400]
    counted = {
        (s.labels["mixture"], s.labels["cause"]): s.value for s in found if s.name == "mollm_request_failures_total"
    }
    assert counted == {key: expected.count(key) for key in expected}
    assert requests == [3, 1, 2]


async def test_failed_calls_are_counted_by_cause() -> None:
    """A call that fails is a call; an answer without it is degraded where more were planned."""
    script = [error(500), error(401), answer("Four.")]
    async with Upstream(*script) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="three")
        calls = sum([await server.metric("calls_total", llm=llm) for llm in "abc"])
        causes = ("provider", "auth", "timed_out")
        failures = [
            sum([await server.metric("call_failures_total", llm=llm, cause=cause) for llm in "abc"]) for cause in causes
        ]
        degraded = await server.metric("degraded_answers_total", mixture="three")
        request_failures = await server.metric("request_failures_total", mixture="three", cause="quorum")

    assert reply.status == 200
    assert calls == 3
    assert failures == [1, 1, 0]
    assert (degraded, request_failures) == (1, 0)


async def test_retries_are_counted() -> None:
    """A call that is tried again is one call, and each further try one retry of its LLM."""
    async with Upstream(error(500), error(500), answer("Four.")) as upstream:
        config = config_of(upstream)
        llms = {name: {**llm, "retries": 2} for name, llm in config["llms"].items()}
        async with served({**config, "llms": llms}) as server:
            reply = await server.chat(model="one")
            counted = [await server.metric(name, llm="a") for name in ("calls_total", "retries_total")]
            others = await server.metric("retries_total", llm="b")

    assert reply.status == 200
    assert counted == [1, 2]
    assert others == 0


async def test_breakers_that_open_are_counted() -> None:
    """Once each time that an LLM is left alone, however many calls it turns away meanwhile."""
    async with Upstream(*[error(500)] * 20) as upstream, served(config_of(upstream)) as server:
        codes = [(await server.chat(model="one")).body["error"]["code"] for _ in range(12)]
        opened = await server.metric("breakers_opened_total", llm="a")

    assert "upstream_unavailable" in codes
    assert opened == 1


async def test_each_question_of_a_list_counts() -> None:
    """One that fails among them as well."""
    script = [answer("A."), error(500), answer("C.")]
    async with Upstream(*script) as upstream, served(config_of(upstream, router={"fallback": "one"})) as server:
        await server.post("/predict", {"query": ["A?", "B?", "C?"]})
        requests = await server.metric("requests_total", mixture="one")
        failures = await server.metric("request_failures_total", mixture="one", cause="provider")

    assert (requests, failures) == (3, 1)


async def test_what_is_not_counted() -> None:
    """Whoever only looks at the server is no request, and neither is what never was one."""
    async with Upstream() as upstream, served(config_of(upstream)) as server:
        for path in ("/health", "/ready", "/v1/models", "/v1/models/one", "/metrics", "/nowhere"):
            await server.get(path)
        await server.post("/v1/chat/completions", b"{")
        found = await page(server)

    assert found["mollm_requests"].samples == []
    assert found["mollm_request_failures"].samples == []


HOSTILE = ['x"} 1\nmollm_requests_total{mixture="x', "\\", "{}", "a" * 256, "one\x00", "ﬁne", "%s", "one ", "auto\n"]


async def test_nobody_can_invent_a_label() -> None:
    """Mixtures, LLMs and a few words: whatever clients send, in whatever place, the page grows by nothing."""
    upstream = Upstream(*[answer("Four.")] * 2)
    async with upstream, served(config_of(upstream)) as server:
        await server.chat(model="one")
        await server.chat(model="b")
        for name in HOSTILE:
            await server.chat(model=name)
            await server.chat(model=name, stream=True, user=name, metadata={"mixture": name})
            await server.get("/v1/models/" + name.encode().hex())
            await server.post("/predict", {"query": "", "mixture": name}, x_request_id="x", x_mollm_mixture="y")
        found = await page(server)

    values = {
        (label, value)
        for family in found.values()
        if family.name.startswith("mollm_")
        for sample in family.samples
        for label, value in sample.labels.items()
        if label != "le"
    }
    assert values == {
        ("is_sure", "true"),
        ("mixture", "one"),
        ("mixture", "b"),
        ("mixture", ""),
        *(("llm", llm) for llm in "abc"),
        ("address", f"127.0.0.1:{upstream.port}"),
        ("cause", "request"),
    }
    assert {name.removesuffix("_created") for name in found if name.startswith("mollm_")} == set(FAMILIES)


# The inside


async def test_the_state_of_a_breaker_is_told() -> None:
    """Of each address, named as events name it and without what else stands in it: closed, open, half-open, closed."""
    async with Upstream() as upstream, Upstream() as beside:
        upstream.reply_to = lambda _: error(500)
        config = config_of(upstream)
        one = {**config["llms"]["a"], "api_base": f"{upstream.base_url}?key=secret"}
        bases = [one["api_base"], beside.base_url]
        config["llms"] = {"a": one, "b": config["llms"]["b"], "c": {**one, "api_base": bases}}
        async with served(config) as server:
            at = f"127.0.0.1:{upstream.port}"

            async def state(llm: str, address: str = at) -> float:
                return await server.metric("breaker_state", llm=llm, address=address)

            seen = [await state("a")]
            for _ in range(8):
                await server.chat(model="a")
            seen.append(await state("a"))
            breaker = next(iter(server.deployment.mollm.catalog.llms["a"].addresses)).breaker
            breaker.failure(asyncio.get_running_loop().time() - 60, was_probe=False)
            seen.append(await state("a"))
            upstream.reply_to = lambda _: answer("Four.")
            await server.chat(model="a")
            seen.append(await state("a"))
            others = [await state("b"), await state("c"), await state("c", f"127.0.0.1:{beside.port}")]
            series = (await page(server))["mollm_breaker_state"].samples
            raw = (await server.get("/metrics")).raw

    assert seen == [0, 2, 1, 0]
    assert others == [0, 0, 0]
    assert len(series) == 4, "one for each address of each LLM"
    assert b"secret" not in raw


async def test_addresses_that_differ_by_their_path_are_one_series() -> None:
    """Prometheus refuses a page that has a series twice; the worst state is told, and calls are added up."""
    async with Upstream(*[error(500)] * 30) as upstream:
        config = config_of(upstream)
        both = {**config["llms"]["a"], "api_base": [upstream.base_url, f"{upstream.base_url}/v1"]}
        async with served({**config, "llms": {**config["llms"], "a": both}}) as server:
            first = next(iter(server.deployment.mollm.catalog.llms["a"].addresses))
            for _ in range(8):
                first.breaker.failure(asyncio.get_running_loop().time(), was_probe=False)
            series = [s for s in (await page(server))["mollm_breaker_state"].samples if s.labels["llm"] == "a"]

    assert [s.value for s in series] == [2]


async def test_connections_in_use_and_calls_that_wait_for_one_are_told() -> None:
    """While they are out and while they wait, of each LLM; none of them afterwards."""
    go_on = asyncio.Event()
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: Reply(answer("Four.").parts, before=go_on)
        config = config_of(upstream)
        config["llms"] = {**config["llms"], "a": {**config["llms"]["a"], "max_in_flight": 2}}
        async with served(config) as server:
            address = f"127.0.0.1:{upstream.port}"
            asking = [asyncio.create_task(server.chat(model=model)) for model in "aaaaab"]
            await upstream.request(3)
            await until(lambda: server.deployment.mollm.catalog.llms["a"].waiting == 3)
            during = [await server.metric("connections_in_use", llm=llm, address=address) for llm in "abc"]
            waiting = [await server.metric("connections_waiting", llm=llm) for llm in "abc"]
            go_on.set()
            replies = await asyncio.gather(*asking)
            after = [await server.metric("connections_in_use", llm=llm, address=address) for llm in "abc"]
            none = [await server.metric("connections_waiting", llm=llm) for llm in "abc"]

    assert [reply.status for reply in replies] == [200] * 6
    assert (during, waiting) == ([2, 1, 0], [3, 0, 0])
    assert (after, none) == ([0, 0, 0], [0, 0, 0])


async def test_retries_that_were_refused_are_counted_by_cause() -> None:
    """The budget of ten that all LLMs share is used up, or the wait that was asked for is longer than there is time."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: error(503, retry_after="1000")
        config = config_of(upstream)
        llm = {**config["llms"]["a"], "retries": 1}
        async with served({**config, "llms": dict.fromkeys("abc", llm)}) as server:
            await server.chat(model="a")
            no_time = await server.metric("retries_refused_total", llm="a", cause="time")
            upstream.reply_to = lambda _: error(500)
            await asyncio.gather(*(server.chat(model=model) for model in "bc" * 7))
            no_budget = [await server.metric("retries_refused_total", llm=llm, cause="budget") for llm in "abc"]
            retries = [await server.metric("retries_total", llm=llm) for llm in "abc"]

    assert no_time == 1
    assert retries[0] == no_budget[0] == 0
    assert sum(no_budget) >= 1
    assert sum(retries) <= 11


async def test_a_late_event_loop_is_told() -> None:
    """Whatever holds it up for a quarter of a second is seen as that, and a look costs nothing between."""
    async with Upstream() as upstream, served(config_of(upstream)) as server:
        lateness = server.deployment.metrics.lateness
        time.sleep(0.6)  # noqa: ASYNC251 - what must not happen
        await until(lambda: lateness.looks >= 2)
        count = await server.metric("event_loop_lag_seconds_count")
        soon = await server.metric("event_loop_lag_seconds_bucket", le="0.25")
        summed = await server.metric("event_loop_lag_seconds_sum")

    assert count >= 2
    assert soon == count - 1
    assert summed >= 0.25


def test_a_server_that_is_started_twice_is_looked_at_four_times_a_second() -> None:
    """Its process starts it before it listens, and the application when it does; `stop` ends it all."""

    async def look() -> tuple[int, int]:
        lateness = Metrics(in_flight=int, waiting=int).lateness
        lateness.start()
        await asyncio.sleep(0.1)
        lateness.start()
        await asyncio.sleep(2.0)
        lateness.stop()
        before = lateness.looks
        await asyncio.sleep(1.0)
        return before, lateness.looks

    assert run_virtual(look()) == (8, 8)


async def test_the_age_of_the_oldest_in_the_queue_is_told() -> None:
    """0 while nobody waits, and the age of the first while somebody does."""
    go_on = asyncio.Event()
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: Reply(answer("Four.").parts, before=go_on)
        async with served(config_of(upstream, server={"max_in_flight": 1, "queue": 4})) as server:
            nobody = await server.metric("queue_oldest_seconds")
            asking = [asyncio.create_task(server.chat(model="one")) for _ in range(3)]
            await until(lambda: server.deployment.admission.waiting == 2)
            first = await server.metric("queue_oldest_seconds")
            second = await server.metric("queue_oldest_seconds")
            go_on.set()
            await asyncio.gather(*asking)
            after = await server.metric("queue_oldest_seconds")

    assert 0 < first < second
    assert (nobody, after) == (0, 0)


async def test_an_llm_that_a_reload_removed_leaves_no_series(tmp_path: Path) -> None:
    """Neither its state nor its counts; those of the others stay."""
    path = tmp_path / "mollm.yaml"
    async with Upstream(*[answer("Four.")] * 9) as upstream:
        config = config_of(upstream)
        path.write_text(yaml.safe_dump(config))
        async with served(path) as server:
            for llm in "abc":
                await server.chat(model=llm)
            del config["llms"]["b"], config["mixtures"]["three"]
            path.write_text(yaml.safe_dump({**config, "router": {"fallback": "one"}}))
            assert await server.deployment.reload()
            found = await page(server)
            again = await server.chat(model="a")
            counted = await server.metric("calls_total", llm="a")

    labels = {sample.labels.get("llm") for family in found.values() for sample in family.samples}
    assert "b" not in labels
    assert {"a", "c"} <= labels
    assert (again.status, counted) == (200, 2)
