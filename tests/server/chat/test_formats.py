"""The form that a caller asks for is kept by whatever becomes the answer, also when an LLM fails.

Each LLM is a model of one upstream and behaves as it is told: `able` answers in JSON if it is asked to, as servers do,
and in words if it is not; `words` never does; `fenced` puts JSON into a fence; `down` fails.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.server.served import config_of, served
from tests.upstream import Reply, Upstream, answer, document, error, stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.server.served import Client
    from tests.server.served import Reply as Got
    from tests.upstream import Received

Json: TypeAlias = dict[str, Any]

N = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
STRICT = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": N}}
FORMATS: dict[str, Json] = {"json_schema": STRICT, "json_object": {"type": "json_object"}}
WORDS = "The answer is 7."
VOTE = {"aggregator": {"method": "vote"}}
BEST = {"aggregator": {"method": "best", "llm": "boss"}}
BOSS = {"aggregator": {"llm": "boss"}}
BOTH = {"aggregator": {"llm": "boss", "fallback_llm": "deputy"}}
AGREE = {"agree": 2, "ask_first": 2, "aggregator": {"llm": "boss"}}


def behave(how: str, body: Json) -> Reply:
    """Reply as one that behaves in this way."""
    asked = body.get("response_format") is not None
    texts = {
        "able": '{"n": 7}' if asked else WORDS,
        "other": '{"n": 8}' if asked else "The answer is 8.",
        "odd": '{"n": "seven"}' if asked else WORDS,
        "list": "[7]" if asked else WORDS,
        "fenced": '```json\n{"n": 7}\n```' if asked else WORDS,
        "words": WORDS,
        "judge": "1" if not asked else '{"n": 7}',
        "cut": '{"n": ' if asked else "The answer",
        "long": " ".join(["seven"] * 40),
    }
    if how == "down":
        return error(500, "down")
    text, reason = texts[how], "length" if how == "cut" else "stop"
    tokens = {"prompt_tokens": 1, "completion_tokens": 40, "total_tokens": 41} if how == "long" else None
    if body.get("stream"):
        return stream(*(text[at : at + 3] for at in range(0, len(text), 3)), finish_reason=reason, usage=tokens)
    return answer(text, finish_reason=reason, usage=tokens)


@dataclass
class Stage:
    """A server of ours before LLMs `a`, `b`, `c`, `boss` and `deputy` that behave as they are told."""

    server: Client
    received: list[Received]
    more: Json = field(default_factory=lambda: {"response_format": STRICT})

    async def ask(self, **more: Any) -> Got:
        """Ask the mixture."""
        return await self.server.chat(model="m", **{**self.more, **more})

    def sent(self, *llms: str) -> list[Json]:
        """What was sent to these."""
        return [request.body for request in self.received if request.body["model"] in llms]


@asynccontextmanager
async def stage(behaviors: dict[str, str], mixture: Json, **sections: Any) -> AsyncGenerator[Stage, None]:
    """Serve a mixture `m` of three workers."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda request: (
            behave(behaviors[request.body["model"]], request.body)
            if request.method == "POST"
            else document({"data": []})
        )
        names = ("a", "b", "c", "boss", "deputy")
        common = {"api_base": upstream.base_url, "retries": 0, "context_window": 8192}
        llms = {name: {"model": f"hosted_vllm/{name}", **common} for name in names}
        mixtures = {"m": {"description": "d", "workers": ["a", "b", "c"], **mixture}}
        async with served({"llms": llms, "mixtures": mixtures, **sections}) as server:
            yield Stage(server, upstream.received)


def told(**behaviors: str) -> dict[str, str]:
    """Who behaves how; `able` where nothing else is said."""
    return dict.fromkeys(("a", "b", "c", "boss", "deputy"), "able") | behaviors


KEPT: dict[str, tuple[Json, Json]] = {
    "synthesize": ({}, told()),
    "synthesize by an LLM of its own": (BOSS, told()),
    "vote": (VOTE, told(c="other")),
    "best": (BEST, told(boss="judge")),
    "agreement": (AGREE, told(c="other")),
    "one left of a synthesis": (BOSS, told(a="down", c="down")),
    "one left of a vote": (VOTE, told(a="down", b="down")),
    "one left, aggregator down": (BOSS, told(a="down", c="down", boss="down")),
    "aggregator down": (BOSS, told(boss="down")),
    "aggregator is a worker that is down": ({}, told(a="down")),
    "judge down": (BEST, told(boss="down")),
    "judge names none": (BEST, told(boss="words")),
    "aggregator writes words": (BOSS, told(boss="words")),
    "aggregator writes another schema": (BOSS, told(boss="down", c="odd")),
    "fallback writes": (BOTH, told(boss="words")),
    "fallback writes words": (
        {"aggregator": {"llm": "boss", "fallback_llm": "deputy"}},
        told(boss="down", deputy="words"),
    ),
    "a fence": (BOSS, told(boss="fenced")),
    "a vote of fences": (VOTE, told(a="fenced", b="fenced", c="fenced")),
    "a vote of words, one is able": (VOTE, told(a="words", b="words")),
    "a vote of words, written by the LLM that is named": (
        {"aggregator": {"method": "vote", "llm": "boss"}},
        told(a="words", b="words", c="words"),
    ),
    "the best in words": (
        {"aggregator": {"method": "best", "llm": "boss"}},
        told(a="words", b="words", c="words", boss="judge"),
    ),
    "agreement in words": (AGREE, told(a="words", b="words")),
    "two layers": ({"layers": 2, "aggregator": {"llm": "boss"}}, told()),
    "two layers and a vote": ({"layers": 2, **VOTE}, told(c="other")),
    "two layers, aggregator down": ({"layers": 2, "aggregator": {"llm": "boss"}}, told(boss="down")),
    "one worker": ({"workers": ["a"]}, told()),
    "one worker, fenced": ({"workers": ["a"]}, told(a="fenced")),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", KEPT)
async def test_the_answer_is_in_the_format(case: str, form: str, streams: bool) -> None:
    """Whoever writes it, and whoever failed."""
    mixture, behaviors = KEPT[case]
    async with stage(behaviors, mixture) as on:
        got = await on.ask(stream=streams, response_format=FORMATS[form])

    assert got.status == 200, got.raw
    text = got.text if streams else got.body["choices"][0]["message"]["content"]
    assert not streams or got.events[-1] == "[DONE]"
    if form == "json_schema":
        assert json.loads(text) == {"n": 7}
    assert isinstance(json.loads(text), dict)


FAILS: dict[str, tuple[Json, Json]] = {
    "all in words": (BOSS, dict.fromkeys(told(), "words")),
    "a vote in words": (VOTE, dict.fromkeys(told(), "words")),
    "best in words": (BEST, dict.fromkeys(told(), "words")),
    "agreement in words": (AGREE, dict.fromkeys(told(), "words")),
    "a list": (BOSS, dict.fromkeys(told(), "list")),
    "aggregator down, workers in words": (
        {"aggregator": {"llm": "boss", "fallback_llm": "deputy"}},
        dict.fromkeys(told(), "words") | {"boss": "down", "deputy": "down"},
    ),
    "one worker in words": ({"workers": ["a"]}, told(a="words")),
}


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", FAILS)
async def test_a_request_that_nobody_answers_in_the_format_fails(case: str, streams: bool) -> None:
    """With a status, streamed or not, since nothing was shown; and the metrics say why."""
    mixture, behaviors = FAILS[case]
    async with stage(behaviors, mixture) as on:
        got = await on.ask(stream=streams)

    assert (got.status, got.body["error"]["code"]) == (502, "not_in_format"), got.raw
    assert WORDS not in got.raw.decode()


async def test_what_is_against_the_schema_is_another_format() -> None:
    """JSON that parses and breaks the schema is not shown as an answer; `json_object` takes any object."""
    async with stage(dict.fromkeys(told(), "odd"), VOTE) as on:
        strict = await on.ask()
        loose = await on.ask(response_format={"type": "json_object"})

    assert strict.status == 502
    assert "does not match the schema (properties/n/type)" in strict.body["error"]["message"]
    assert json.loads(loose.body["choices"][0]["message"]["content"]) == {"n": "seven"}


async def test_a_schema_that_is_not_strict_is_a_wish() -> None:
    """It is sent, and what comes is the answer."""
    wish = {"type": "json_schema", "json_schema": {"name": "n", "schema": N}}
    async with stage(dict.fromkeys(told(), "words"), VOTE) as on:
        got = await on.ask(response_format=wish)

    assert got.body["choices"][0]["message"]["content"] == WORDS
    assert [body.get("response_format") for body in on.sent("a", "b", "c")] == [wish] * 3


async def test_json_that_breaks_off_while_it_is_shown_is_an_error() -> None:
    """What was shown cannot be taken back, so the stream ends with an error and without `[DONE]`."""
    async with stage(told(boss="odd"), BOSS) as on:
        got = await on.ask(stream=True)

    assert got.status == 200
    assert got.events[-1]["error"]["code"] == "answer_broke_off"


async def test_an_aggregator_that_is_cut_off_is_replaced_unless_it_was_shown() -> None:
    """Half an object is in no format; in a stream it stays, and the finish reason says that it is half."""
    async with stage(told(boss="cut"), BOSS) as on:
        whole, streamed = await on.ask(), await on.ask(stream=True)

    assert json.loads(whole.body["choices"][0]["message"]["content"]) == {"n": 7}
    assert streamed.events[-2]["choices"][0]["finish_reason"] == "length"


async def test_workers_of_a_synthesis_think_freely() -> None:
    """They are read by an LLM that writes in the format, so they are not held to it themselves."""
    async with stage(told(), BOSS) as on:
        await on.ask(stop=["END"], max_tokens=50)

    assert [set(body) & {"response_format", "stop"} for body in on.sent("a", "b", "c")] == [set()] * 3
    assert [body["response_format"] for body in on.sent("boss")] == [STRICT]


@pytest.mark.parametrize("mixture", [VOTE, BEST, AGREE], ids=["vote", "best", "agree"])
async def test_workers_whose_words_become_the_answer_are_asked_for_its_form(mixture: Json) -> None:
    """Format, stop, and the caller's limit where it is lower than their own."""
    async with stage(told(boss="judge"), mixture) as on:
        await on.ask(stop=["END"], max_tokens=50)
        first = on.sent("a", "b", "c")
        await on.ask(max_tokens=5000)

    assert len(first) >= 2
    assert {json.dumps(body["response_format"]) for body in first} == {json.dumps(STRICT)}
    assert [(body["stop"], body["max_tokens"]) for body in first] == [(["END"], 50)] * len(first)
    assert {body["max_tokens"] for body in on.sent("a", "b", "c")[len(first) :]} == {1024}


async def test_the_answer_says_who_wrote_it_anew() -> None:
    """In the headers, and the call is counted."""
    async with stage(told(boss="down"), BOSS) as on:
        got = await on.ask(mollm={"trace": True})

    assert got.headers["x-mollm-calls"] == "5"
    *_, why, who = got.body["mollm"]["degraded"]
    assert (why, who) == ("what a wrote is not in the response format: it is not JSON", "a wrote it anew")
    assert [call["role"] for call in got.body["mollm"]["breakdown"]][-2:] == ["aggregator", "fallback"]


@pytest.mark.parametrize(("calls", "status"), [(5, 200), (4, 400)])
async def test_limits_count_the_call_that_writes_it_anew(calls: int, status: int) -> None:
    """One call, whoever makes it; without a format there is none."""
    async with stage(told(), BOSS, limits={"calls": calls}) as on:
        got, plain = await on.ask(), await on.ask(response_format=None)

    assert (got.status, plain.status) == (status, 200)
    assert status == 200 or "3 proposals + 1 aggregator + 1 fallback" in got.body["error"]["message"]


async def test_equal_values_agree_whatever_they_look_like() -> None:
    """Two workers whose JSON says the same end the asking; another value does not."""
    async with stage(told(b="fenced"), AGREE) as on:
        agreed = await on.ask(mollm={"trace": True})
    async with stage(told(b="other"), AGREE) as on:
        differed = await on.ask(mollm={"trace": True})

    assert agreed.headers["x-mollm-calls"] == "2"
    assert agreed.headers["x-mollm-agreement"] == "1.0000"
    assert [proposal["final"] for proposal in differed.body["mollm"]["proposals"]] == ['{"n":7}', '{"n":8}', '{"n":7}']


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("mixture", "behaviors"),
    [
        (VOTE, dict.fromkeys(told(), "long")),
        (BOSS, dict.fromkeys(told(), "long") | {"boss": "down"}),
        (BOSS, dict.fromkeys(told(), "long") | {"b": "down", "c": "down"}),
    ],
    ids=["vote", "aggregator down", "one left"],
)
async def test_a_proposal_that_is_the_answer_ends_where_the_caller_says(
    mixture: Json, behaviors: Json, streams: bool
) -> None:
    """At `stop`, and after `max_tokens` where the worker was not asked to keep it, with the reason that says so."""
    plain = {"response_format": None, "stream": streams}
    async with stage(behaviors, mixture) as on:
        stopped = await on.ask(stop="n seven", **plain)
        short = await on.ask(max_tokens=5, **plain)

    def ended(got: Got) -> tuple[str, str]:
        if streams:
            return got.text, got.events[-2]["choices"][0]["finish_reason"]
        return got.body["choices"][0]["message"]["content"], got.body["choices"][0]["finish_reason"]

    assert ended(stopped) == ("seve", "stop")
    if mixture is VOTE:
        assert {body["max_tokens"] for body in on.sent("a", "b", "c")[3:]} == {5}
    else:
        text, reason = ended(short)
        assert reason == "length"
        assert 3 <= len(text.split()) <= 6
        assert " ".join(["seven"] * 40).startswith(text)


async def test_json_that_the_callers_own_limit_cut_says_so() -> None:
    """As it is with one LLM: `length`, and no failure."""
    async with stage(dict.fromkeys(told(), "cut"), VOTE) as on:
        got = await on.ask(max_tokens=2)

    choice = got.body["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ('{"n": ', "length")


async def test_a_refusal_is_an_answer_under_a_schema() -> None:
    """As OpenAI has it."""
    async with Upstream(answer(None, refusal="No.")) as upstream, served(config_of(upstream)) as server:
        got = await server.chat(model="one", response_format=STRICT)

    assert got.status == 200
    assert got.body["choices"][0]["message"]["refusal"] == "No."


TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("behaviors", [told(), told(boss="down")], ids=["acting", "tools LLM down"])
async def test_an_answer_beside_tools_is_in_the_format(behaviors: dict[str, str], streams: bool) -> None:
    """Workers propose freely, and the LLM that has the tools, or what is left without it, writes in the format."""
    async with stage(behaviors, BOSS) as on:
        got = await on.ask(tools=TOOLS, stream=streams)

    text = got.text if streams else got.body["choices"][0]["message"]["content"]
    assert json.loads(text) == {"n": 7}
    assert [body.get("response_format") for body in on.sent("a", "b", "c")[:3]] == [None] * 3
    assert not any(body.get("tools") for body in on.sent("a", "b", "c"))
