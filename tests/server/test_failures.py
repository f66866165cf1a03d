"""What goes wrong, as a client is told; and what no client and no log is ever told."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import logging
import math
import traceback
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest
import pytest_asyncio

from mollm import errors
from mollm.errors import (
    AggregationError,
    AuthFailed,
    BadField,
    BadRequest,
    ClientGone,
    ConfigError,
    ContextTooLong,
    DataError,
    EmbeddingError,
    EmptyReply,
    Exhausted,
    FeedbackError,
    LimitError,
    LimitReached,
    LLMError,
    MollmError,
    NotInFormat,
    Overloaded,
    PromptError,
    ProviderFailed,
    QuorumError,
    QuotaExceeded,
    RateLimited,
    Refused,
    RequestError,
    RoutingError,
    RunError,
    SandboxError,
    TimedOut,
    TooDeep,
    TooLarge,
    TooSlow,
    Unexpected,
    UnknownAnswer,
    UnknownMixture,
    Unreachable,
    UserError,
)
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.server.failures import INTERNAL, LONGEST_RETRY_AFTER, problem_of
from mollm.types import Failure, Proposal, Route
from tests.server.served import config_of, served
from tests.upstream import DROP, Upstream, answer, chunk, document, error, events, sse, stream
from tests.upstream import Reply as Sent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from mollm.calling.calls import Calls
    from mollm.server.failures import Problem
    from mollm.types import Question
    from tests.server.served import Client

on_one_loop = pytest.mark.asyncio(loop_scope="module")
INVALID, SERVER, RATE = "invalid_request_error", "server_error", "rate_limit_error"


class Told(NamedTuple):
    """What a client sees of a failure."""

    status: int
    type: str
    code: str | None
    retry_after: str | None = None
    param: str | None = None


def proposals(*kinds: str | None) -> list[Proposal]:
    """One for each kind of failure; None is one that arrived."""
    return [
        Proposal(f"w{number}", "a", 1, "" if kind else "x", error=Failure(kind, None, f"no {kind}") if kind else None)
        for number, kind in enumerate(kinds)
    ]


CASES: list[tuple[MollmError, Told]] = [
    (MollmError("x"), Told(502, SERVER, "run_failed")),
    (UserError("x"), Told(400, INVALID, None)),
    (ConfigError("mollm.yaml:7: x"), Told(500, SERVER, "misconfigured")),
    (PromptError("x.md: x"), Told(500, SERVER, "misconfigured")),
    (RequestError("x"), Told(400, INVALID, None)),
    (UnknownMixture("x"), Told(404, INVALID, "model_not_found", param="model")),
    (BadField("x", "messages[0].role"), Told(400, INVALID, None, param="messages[0].role")),
    (TooDeep(["m", "n", "m"]), Told(400, INVALID, "too_deep")),
    (TooLarge("x"), Told(413, INVALID, None)),
    (TooSlow("x"), Told(408, INVALID, None)),
    (LimitError("x"), Told(400, INVALID, "limit_exceeded")),
    (DataError("x"), Told(400, INVALID, None)),
    (RunError("x"), Told(502, SERVER, "run_failed")),
    (EmbeddingError("x"), Told(502, SERVER, "run_failed")),
    (SandboxError("x"), Told(502, SERVER, "run_failed")),
    (FeedbackError("x"), Told(503, SERVER, "feedback_unavailable", "5")),
    (UnknownAnswer("x"), Told(404, INVALID, "answer_not_found", param="id")),
    (Overloaded("x", retry_after_seconds=2.1), Told(503, SERVER, "overloaded", "3")),
    (LimitReached("x", retry_after_seconds=7.2), Told(429, RATE, "rate_limit_exceeded", "8")),
    (
        LimitReached("x", retry_after_seconds=50_000, code="daily_limit_exceeded"),
        Told(429, RATE, "daily_limit_exceeded", "50000"),
    ),
    (RoutingError("x"), Told(502, SERVER, "not_routed")),
    (LLMError("x"), Told(502, SERVER, "upstream_failed")),
    (RateLimited("x"), Told(429, RATE, "rate_limit_exceeded")),
    (RateLimited("x", retry_after_seconds=7.2), Told(429, RATE, "rate_limit_exceeded", "8")),
    (QuotaExceeded("x", status=429), Told(429, "insufficient_quota", "insufficient_quota")),
    (TimedOut("x", retry_after_seconds=5), Told(504, SERVER, "upstream_timeout")),
    (Exhausted("x", retry_after_seconds=5), Told(503, SERVER, "overloaded", "5")),
    (Unreachable("x", retry_after_seconds=5), Told(502, SERVER, "upstream_failed")),
    (Unreachable("x", code="breaker_open", retry_after_seconds=14.2), Told(503, SERVER, "upstream_unavailable", "15")),
    (AuthFailed("x", status=401), Told(502, SERVER, "upstream_auth")),
    (ContextTooLong("x"), Told(400, INVALID, "context_length_exceeded")),
    (BadRequest("x", status=422), Told(400, INVALID, "upstream_bad_request")),
    (EmptyReply("x"), Told(502, SERVER, "upstream_failed")),
    (Refused("x"), Told(400, INVALID, "content_filter")),
    (NotInFormat("x"), Told(502, SERVER, "not_in_format")),
    (ProviderFailed("x", status=503, retry_after_seconds=5), Told(502, SERVER, "upstream_failed")),
    (Unexpected("x"), Told(502, SERVER, "upstream_failed")),
    (QuorumError("m", 1, proposals("provider", "empty")), Told(502, SERVER, "quorum_not_met")),
    (AggregationError("x"), Told(502, SERVER, "answer_broke_off")),
    (ClientGone("x"), Told(499, INVALID, "client_gone")),
]
"""Every class of `mollm/errors.py`, and what becomes of it."""
NAMES = [f"{number} {type(case).__name__}" for number, (case, _) in enumerate(CASES)]


def shown(problem: Problem) -> Told:
    """What a client would see of it."""
    return Told(problem.status, problem.kind, problem.code, problem.headers.get("retry-after"), problem.param)


def test_every_error_has_a_decision() -> None:
    """A class that is new in `mollm/errors.py` has to be put into the table."""
    classes = {found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, MollmError)}

    assert {type(case) for case, _ in CASES} == classes


@pytest.mark.parametrize(("case", "told"), CASES, ids=NAMES)
def test_an_error_has_a_status_a_type_and_a_code(case: MollmError, told: Told) -> None:
    """In OpenAI's error object; its message begins with our own words, unless they are the operator's business."""
    problem = problem_of(case)

    assert shown(problem) == told
    assert set(problem.body) == {"error"}
    assert set(problem.body["error"]) == {"message", "type", "param", "code"}
    is_hidden = isinstance(case, ConfigError | PromptError | FeedbackError)
    assert is_hidden != problem.body["error"]["message"].startswith(str(case))
    assert problem.cause.isidentifier(), "a label for metrics"


@pytest.mark.parametrize(("case", "told"), CASES, ids=NAMES)
def test_openai_sdks_do_not_try_again_what_only_the_operator_can_mend(case: MollmError, told: Told) -> None:
    """They read this header, and would otherwise ask a whole mixture three times for nothing.

    So with a limit of a day: where they are to wait for more than a minute, they ask again at once.
    """
    is_hopeless = told.code in ("insufficient_quota", "upstream_auth", "misconfigured", "daily_limit_exceeded")

    assert problem_of(case).headers.get("x-should-retry") == ("false" if is_hopeless else None)


@pytest.mark.parametrize(
    "case", [ValueError("x"), KeyError("x"), MemoryError("x"), asyncio.CancelledError("x")], ids=repr
)
def test_what_nobody_foresaw_is_an_internal_error(case: BaseException) -> None:
    """Of which nothing is told."""
    assert problem_of(case) == INTERNAL
    assert shown(INTERNAL) == Told(500, SERVER, "internal_error")


@pytest.mark.parametrize(
    ("seconds", "header"),
    [
        *((0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (59.9, "60"), (-5, "1"), (math.nan, "1")),
        *((1e9, str(LONGEST_RETRY_AFTER)), (math.inf, str(LONGEST_RETRY_AFTER))),
    ],
    ids=str,
)
def test_when_to_try_again_is_a_whole_number_of_seconds(seconds: float, header: str) -> None:
    """Rounded up, and bounded on both sides."""
    assert problem_of(RateLimited("x", retry_after_seconds=seconds)).headers == {"retry-after": header}


ALIKE = {
    "rate_limited": Told(429, RATE, "rate_limit_exceeded"),
    "quota": Told(429, "insufficient_quota", "insufficient_quota"),
    "timed_out": Told(504, SERVER, "upstream_timeout"),
    "exhausted": Told(503, SERVER, "overloaded"),
    "unreachable": Told(502, SERVER, "quorum_not_met"),
    "auth": Told(502, SERVER, "upstream_auth"),
    "context_too_long": Told(400, INVALID, "context_length_exceeded"),
    "bad_request": Told(400, INVALID, "upstream_bad_request"),
    "empty": Told(502, SERVER, "quorum_not_met"),
    "refused": Told(400, INVALID, "content_filter"),
    "format": Told(502, SERVER, "not_in_format"),
    "provider": Told(502, SERVER, "quorum_not_met"),
    "too_deep": Told(400, INVALID, "too_deep"),
}


def test_every_kind_of_failure_is_in_the_table() -> None:
    """A new kind has to be put there."""
    kinds = {found.kind for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, LLMError)}

    assert set(ALIKE) == kinds | {TooDeep.kind}


@pytest.mark.parametrize("kind", ALIKE)
def test_workers_that_fail_alike_are_one_failure(kind: str) -> None:
    """Where every worker failed for one reason, that is the reason; others that arrived do not change it."""
    for found in (proposals(kind), proposals(kind, kind, kind), proposals(None, kind, kind)):
        problem = problem_of(QuorumError("m", 2, found))

        assert shown(problem) == ALIKE[kind]
        assert problem.message.count(f"no {kind}") == sum(proposal.error is not None for proposal in found)


@pytest.mark.parametrize(
    "kinds", [("rate_limited", "timed_out"), ("bad_request", "provider"), ("auth", "refused")], ids=str
)
def test_workers_that_fail_differently_are_no_quorum(kinds: tuple[str, str]) -> None:
    """No one of the reasons speaks for all."""
    assert shown(problem_of(QuorumError("m", 1, proposals(*kinds)))) == Told(502, SERVER, "quorum_not_met")


UNAVAILABLE, NOT_MET = (503, "upstream_unavailable"), (502, "quorum_not_met")
OPEN, LIMITED = "unreachable", "rate_limited"
WAITS: dict[str, tuple[int, list[tuple[str, float | None] | None], tuple[int, str], str | None]] = {
    "the first breaker to close": (1, [(OPEN, 14.2), (OPEN, 3.5), (OPEN, 9)], UNAVAILABLE, "4"),
    "as many as the quorum has": (2, [(OPEN, 14.2), (OPEN, 3.5), (OPEN, 9)], UNAVAILABLE, "9"),
    "one has arrived": (2, [None, (OPEN, 14.2), (OPEN, 9)], UNAVAILABLE, "9"),
    "a probe is out": (1, [(OPEN, 0.0), (OPEN, 9)], UNAVAILABLE, "1"),
    "limited sooner than open": (1, [(OPEN, 14.2), (LIMITED, 6)], UNAVAILABLE, "6"),
    "open sooner than limited": (1, [(OPEN, 3), (LIMITED, 60)], UNAVAILABLE, "3"),
    "limited, nobody knows for how long": (1, [(OPEN, 14.2), (LIMITED, None)], UNAVAILABLE, "15"),
    "what no wait mends": (1, [(OPEN, 14.2), ("auth", None), ("bad_request", None)], UNAVAILABLE, "15"),
    "crowded here": (1, [("exhausted", 5), ("exhausted", 5)], (503, "overloaded"), "5"),
    "crowded here, or open": (1, [("exhausted", 5), (OPEN, 9)], UNAVAILABLE, "5"),
    "all limited": (1, [(LIMITED, 9), (LIMITED, 7), (LIMITED, None)], (429, "rate_limit_exceeded"), "7"),
    "two must not be limited": (2, [(LIMITED, 9), (LIMITED, 7), (LIMITED, 20)], (429, "rate_limit_exceeded"), "9"),
    "one may answer at once": (1, [(OPEN, 14.2), ("provider", None)], NOT_MET, None),
    "one alone is too few": (2, [(OPEN, 14.2), ("provider", None)], UNAVAILABLE, "15"),
    "no wait mends anything": (1, [("auth", None), ("bad_request", None)], NOT_MET, None),
}


@pytest.mark.parametrize("case", WAITS)
def test_a_quorum_that_is_open_says_when_it_can_be_met(case: str) -> None:
    """The moment at which as many workers as are missing may be called again, where that is known and not now."""
    quorum, failures, (status, code), retry_after = WAITS[case]
    found = [
        Proposal(f"w{number}", "a", 1, "", error=Failure(failure[0], None, "no", failure[1]) if failure else None)
        for number, failure in enumerate(failures)
    ]

    told = shown(problem_of(QuorumError("m", quorum, found)))

    assert (told.status, told.code, told.retry_after) == (status, code, retry_after)


def test_workers_for_whom_no_time_was_left_are_a_timeout() -> None:
    """Nobody was asked, because the request's seconds were over."""
    assert shown(problem_of(QuorumError("m", 1, []))) == Told(504, SERVER, "upstream_timeout")


# Through a socket


class Failing:
    """A router that raises what it is told to."""

    kind: ClassVar[str] = "failing"
    error: BaseException

    async def route(self, question: Question, calls: Calls) -> Route:  # noqa: ARG002 - the interface has them
        """Fail."""
        raise self.error


class Stage(NamedTuple):
    """A server whose router fails."""

    server: Client
    router: Failing


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncGenerator[Stage, None]:
    """Its LLM would answer."""
    router = Failing()
    config = {"llms": {"a": {"model": "scripted/x"}}, "mixtures": {"m": {"description": "x", "workers": ["a"]}}}
    async with served(config, router=router) as server:
        yield Stage(server, router)


@on_one_loop
@pytest.mark.parametrize("fields", [{}, {"stream": True}], ids=["whole", "streamed"])
async def test_an_error_arrives_with_its_status(stage: Stage, fields: dict[str, Any]) -> None:
    """Each of them, streamed or not: before the first token a stream is an ordinary response."""
    for case, told in CASES:
        stage.router.error = case

        reply = await stage.server.chat(model="auto", **fields)

        said = reply.body["error"]
        retry_after = reply.headers.get("retry-after")
        assert Told(reply.status, said["type"], said["code"], retry_after, said["param"]) == told
        assert reply.headers["content-type"] == "application/json"
        assert said["message"] == problem_of(case).message


@on_one_loop
async def test_what_the_configuration_lacks_is_logged_and_not_told(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """The client cannot mend it, and whoever can reads the log."""
    stage.router.error = ConfigError("mollm.yaml:7: the environment variable X is not set")

    reply = await stage.server.chat(model="auto")

    assert reply.body["error"]["message"].startswith("the configuration cannot be used for this request")
    assert "mollm.yaml:7: the environment variable X is not set" in caplog.text


@on_one_loop
async def test_a_router_that_picks_what_does_not_exist_is_told_so() -> None:
    """502: the request was right."""

    class Lost:
        kind: ClassVar[str] = "lost"

        async def route(self, question: Question, calls: Calls) -> Route:  # noqa: ARG002 - the interface has them
            return Route("nowhere", {}, self.kind, "why not")

    config = {"llms": {"a": {"model": "scripted/x"}}, "mixtures": {"m": {"description": "x", "workers": ["a"]}}}
    async with served(config, router=Lost()) as server:
        reply = await server.chat(model="auto")

    assert (reply.status, reply.body["error"]["code"]) == (502, "not_routed")
    assert "picked 'nowhere', which is no mixture; there are: m" in reply.body["error"]["message"]


@on_one_loop
async def test_workers_that_are_all_turned_away_turn_the_client_away() -> None:
    """429 of three LLMs is a 429; the causes are named, one for each worker."""
    script = [error(429, retry_after="9")] * 3
    async with Upstream(*script) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model="three")

    assert reply.status == 429
    assert reply.body["error"]["code"] == "rate_limit_exceeded"
    message = reply.body["error"]["message"]
    assert message.splitlines()[0] == "mixture 'three': every worker failed"
    assert sorted(message.splitlines()[1:]) == [
        f"  {name}: too many requests, or its quota is used up (HTTP 429)" for name in "abc"
    ]


@on_one_loop
@pytest.mark.parametrize("fields", [{}, {"stream": True}], ids=["whole", "streamed"])
async def test_open_breakers_of_a_mixture_say_when_to_try_again(fields: dict[str, Any]) -> None:
    """As one worker alone does: 503 with the moment at which the first of them is called again; `/predict`, too."""
    async with Upstream() as upstream, served(config_of(upstream)) as server:
        upstream.reply_to = lambda _: error(500)
        for model in "abc":
            for _ in range(8):
                await server.chat(model=model)
        asked = len(upstream.received)
        replies = [
            await server.chat(model="three", **fields),
            await server.chat(model="a", **fields),
            await server.post("/predict", {"query": "Hi"}),
            await server.post("/predict", {"query": ["Hi", "Hi"]}),
        ]

    assert [(reply.status, reply.body["error"]["code"]) for reply in replies] == [(503, "upstream_unavailable")] * 4
    assert all(1 <= int(reply.headers["retry-after"]) <= 15 for reply in replies)
    assert len(upstream.received) == asked, "nobody was called"


@on_one_loop
async def test_an_open_breaker_of_the_router_or_the_aggregator_costs_no_answer() -> None:
    """The router's LLM leaves it to the fallback, and the best proposal stands in for the aggregator's."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda asked: error(500) if asked.body["model"] == "broken" else answer("Four.")
        config = config_of(upstream)
        broken = {**config["llms"]["a"], "model": "hosted_vllm/broken"}
        three = {**config["mixtures"]["three"], "aggregator": {"llm": "r"}}
        config |= {
            "llms": {**config["llms"], "r": broken},
            "mixtures": {**config["mixtures"], "three": three},
            "router": {"kind": "llm", "llm": "r", "fallback": "three"},
        }
        async with served(config) as server:
            for _ in range(8):
                await server.chat(model="r")
            reply = await server.chat(model="auto")

    assert reply.status == 200
    assert reply.headers["x-mollm-mixture"] == "three"
    assert "the best proposal" in reply.headers["x-mollm-degraded"]


# What is never told


def mark(what: str) -> str:
    """A word that stands nowhere in the code, since tracebacks quote the code."""
    return f"{what}-{'5e17' * 3}"


BODY, KEY, PROMPT = mark("Body"), mark("sk-Key"), mark("Prompt")
WORDS = (BODY, PROMPT, KEY, KEY[:8], base64.b64encode(KEY.encode()).decode())

REPLIES: dict[str, Sent] = {
    **{
        str(status): error(status, BODY, code=BODY.lower(), x_told=BODY)
        for status in (302, 400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 500, 501, 503, 529)
    },
    "too long": error(400, f"maximum context length: {BODY}", code="context_length_exceeded"),
    "filtered": error(400, f"content_filter {BODY}", code="content_filter"),
    "plain text": Sent((BODY.encode(),), 500, {"content-type": "text/plain"}),
    "HTML": Sent((f"<html>{BODY}</html>".encode(),), 200, {"content-type": "text/html"}),
    "HTML 502": Sent((f"<html>{BODY}</html>".encode(),), 502, {"content-type": "text/html"}),
    "error with 200": document({"error": {"message": BODY, "code": 400}}),
    "other JSON": document({"x": BODY}),
    "no choices": document({"choices": [], "x": BODY}),
    "no message": document({"choices": [{"message": BODY}]}),
    "odd usage": document({"choices": [{"message": {"content": None}}], "usage": BODY}),
    "retry-after": error(429, BODY, retry_after=BODY),
    "cut": Sent((b'{"choices": ["', BODY.encode(), DROP), headers={"content-type": "application/json"}),
    "not gzip": Sent((BODY.encode(),), 200, {"content-type": "application/json", "content-encoding": "gzip"}),
}
STREAMS: dict[str, Sent] = {
    "error event": events(sse({"error": {"message": BODY, "code": BODY}})),
    "no JSON": events(f"data: {BODY}\n\n".encode()),
    "other JSON": events(sse({"x": BODY}), sse({"choices": BODY})),
    "late error": events(sse(chunk({"content": "Fo"})), sse({"error": {"message": BODY}})),
    "late no JSON": events(sse(chunk({"content": "Fo"})), f"data: {BODY}\n\n".encode()),
    "late cut": events(sse(chunk({"content": "Fo"})), b"data: {" + BODY.encode(), DROP),
    "late end": stream("Fo", finish_reason=None, done=False, usage=None),
}


def assert_silent(*texts: str, case: str = "") -> None:
    """None of the words is in one of the texts, whatever its case."""
    for text in texts:
        for word in WORDS:
            assert word.lower() not in text.lower(), case


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Everything in the log: messages, what they were made of, and tracebacks."""
    records = [
        f"{record.name} {record.getMessage()} {record.args!r} {record.exc_info!r} {record.exc_text}"
        for record in caplog.records
    ]
    return "\n".join([*records, caplog.text])


def secretive(upstream: Upstream) -> dict[str, Any]:
    """A configuration with a key to keep; nothing is tried twice."""
    config = config_of(upstream)
    llm = {**config["llms"]["a"], "api_key": KEY}
    return {**config, "llms": dict.fromkeys("abc", llm)}


async def check(name: str, server: Client, upstream: Upstream, replies: Sequence[Sent], **fields: Any) -> None:
    """Ask, and find none of the words in what comes back; `name` is the case's."""
    upstream.script[:], upstream.received[:] = replies, []
    messages = [{"role": "user", "content": f"{PROMPT}?"}]

    reply = await server.chat(messages=messages, **fields)

    sent = upstream.received[0]
    assert sent.headers["Authorization"] == f"Bearer {KEY}", "there was a key that could have been told"
    assert PROMPT in json.dumps(sent.body)
    assert b'"error"' in reply.raw, (name, fields)
    assert_silent(reply.raw.decode(), str(reply.headers), case=name)


async def soothe(server: Client, upstream: Upstream) -> None:
    """Let every LLM answer once, so that no breaker opens."""
    upstream.script[:] = [answer("Fine.")] * 4
    assert (await server.chat(model="three")).status == 200


@on_one_loop
async def test_no_body_key_or_prompt_is_in_a_response_or_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an upstream sends, whole or streamed, to a single LLM and to a mixture."""
    caplog.set_level(logging.DEBUG)
    async with Upstream() as upstream, served(secretive(upstream)) as server:
        for name, reply in REPLIES.items():
            await check(name, server, upstream, [reply], model="one")
            await check(name, server, upstream, [reply] * 3, model="three")
            await soothe(server, upstream)
        for name, reply in (REPLIES | STREAMS).items():
            await check(name, server, upstream, [reply], model="one", stream=True)
            await soothe(server, upstream)

    assert "Application startup complete" in caplog.text, "the log is looked at"
    assert_silent(logged(caplog))


@on_one_loop
async def test_an_answer_with_failed_workers_tells_no_body_either(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in its headers nor in its trace, where every failure is named."""
    caplog.set_level(logging.DEBUG)
    async with Upstream() as upstream, served(secretive(upstream)) as server:
        for name, reply in REPLIES.items():
            upstream.script[:] = [reply, answer("Four."), answer("4"), reply]

            found = await server.chat(model="three", mollm={"trace": True})

            assert found.status == 200, name
            assert "the best proposal" in found.headers["x-mollm-degraded"]
            assert [p["error"] is not None for p in found.body["mollm"]["proposals"]].count(True) == 1
            assert_silent(found.raw.decode(), str(found.headers), case=name)
            await soothe(server, upstream)
    assert_silent(logged(caplog))


@on_one_loop
async def test_no_body_key_or_prompt_is_in_an_exception() -> None:
    """Nor in its traceback, as a report of it elsewhere would have it."""
    async with Upstream() as upstream, served(secretive(upstream)) as server:
        for name, reply in REPLIES.items():
            for model in ("one", "three"):
                upstream.script[:] = [reply] * 3

                with pytest.raises(RunError) as caught:
                    await server.deployment.mollm.aask(f"{PROMPT}?", mixture=model)

                told = "".join(traceback.format_exception(caught.value))
                # The provider's own code is kept for programs, and what it said for the log; no message has them.
                kept = {field: value for field, value in vars(caught.value).items() if field not in ("code", "said")}
                assert_silent(told, repr(caught.value), repr(kept), case=f"{name}, {model}")
            await soothe(server, upstream)


# What nobody foresaw


class Rude(Exception):
    """Cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError(BODY)


UNFORESEEN: dict[str, BaseException] = {
    "ValueError": ValueError(BODY),
    "KeyError": KeyError(BODY),
    "MemoryError": MemoryError(BODY),
    "RecursionError": RecursionError(BODY),
    "CancelledError": asyncio.CancelledError(BODY),
    "StopAsyncIteration": StopAsyncIteration(BODY),
    "group": ExceptionGroup(BODY, [ValueError(BODY)]),
    "unprintable": Rude(BODY),
}
REPLACED = ("CancelledError", "StopAsyncIteration")
"""What arrives is another error, raised in their place by what ran the router."""


@on_one_loop
@pytest.mark.parametrize("fields", [{}, {"stream": True}], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", UNFORESEEN)
async def test_a_router_that_breaks_is_an_internal_error(
    stage: Stage, kind: str, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """500 in our words; the log has its kind and where it came from, not what it says."""
    caplog.set_level(logging.DEBUG)
    stage.router.error = UNFORESEEN[kind]

    reply = await stage.server.chat(model="auto", messages=[{"role": "user", "content": PROMPT}], **fields)

    assert reply.status == 500
    assert reply.body == INTERNAL.body
    assert " while an HTTP request was answered, at" in caplog.text
    assert "in route" in caplog.text or kind in REPLACED
    assert_silent(logged(caplog))


@on_one_loop
@pytest.mark.parametrize("kind", UNFORESEEN)
async def test_an_llm_that_breaks_is_told_in_our_words(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Alone, among others and streamed, also after its first token: a 5xx or an error event, and nothing of it."""
    caplog.set_level(logging.DEBUG)
    broken = UNFORESEEN[kind]

    def misbehave(_: Any) -> Reply:
        # A scripted LLM would take an exception for a reply; this one breaks by itself.
        raise broken

    late = ScriptedLLM(lambda _: Reply("Fo ur.", error=broken, breaks_after=1))  # type: ignore[arg-type] # not only Exceptions
    llms = {"a": ScriptedLLM(misbehave), "b": ScriptedLLM(misbehave), "c": late}
    config = {
        "llms": {name: {"model": "scripted/x", "retries": 0} for name in llms},
        "router": {"fallback": "m"},
        "mixtures": {"m": {"description": "x", "workers": ["a", "b"]}, "c1": {"description": "x", "workers": ["c"]}},
    }
    messages = [{"role": "user", "content": PROMPT}]
    async with served(config, llms=llms) as server:
        replies = [
            await server.chat(messages=messages, **fields)
            for fields in (
                {"model": "a"},
                {"model": "a", "stream": True},
                {"model": "m"},
                {"model": "m", "stream": True},
            )
        ]
        cut = await server.chat(messages=messages, model="c", stream=True)

    for reply in replies:
        assert reply.status in (500, 502)
        assert set(reply.body["error"]) == {"message", "type", "param", "code"}
        assert_silent(reply.raw.decode(), str(reply.headers))
    assert cut.status == 200
    assert cut.events[-1]["error"]["type"] == "server_error"
    assert b"[DONE]" not in cut.raw
    assert_silent(cut.raw.decode(), logged(caplog))
