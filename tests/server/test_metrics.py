"""What Prometheus reads: every family counts what it says, and labels are nobody's to choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.served import config_of, served
from tests.upstream import USAGE, Upstream, answer, error, stream

if TYPE_CHECKING:
    from tests.server.served import Client

PRICE = {"input": 1.0, "output": 10.0}
FAMILIES = {
    "mollm_requests": "counter",
    "mollm_request_failures": "counter",
    "mollm_first_token_seconds": "histogram",
    "mollm_request_seconds": "histogram",
    "mollm_agreement": "histogram",
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
        ("mixture", "one"),
        ("mixture", "b"),
        ("mixture", ""),
        ("llm", "a"),
        ("llm", "b"),
        ("cause", "request"),
    }
    assert {name.removesuffix("_created") for name in found if name.startswith("mollm_")} == set(FAMILIES)
