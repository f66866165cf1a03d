"""Chat completions through a real socket: who is sent what, and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest
import pytest_asyncio

from mollm.llms.scripted import Reply as ScriptedReply
from mollm.llms.scripted import ScriptedLLM
from mollm.plain import answer_from_plain
from mollm.types import Route
from tests.server.served import HI, config_of, served
from tests.upstream import Upstream, answer, error, stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mollm.calling.calls import Calls
    from mollm.types import Question
    from tests.server.served import Client
    from tests.upstream import Received, Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look something up.",
            "parameters": {"type": "object", "properties": {"headers": {"type": "string"}}, "required": ["headers"]},
        },
    }
]
CALLS = [{"id": "call_7", "type": "function", "function": {"name": "look_up", "arguments": '{"headers": "x"}'}}]
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
TOKENS = {"content": [{"token": "Four", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}


class Stage(NamedTuple):
    """A server and the one that it asks."""

    server: Client
    upstream: Upstream

    def script(self, *replies: Reply) -> None:
        """Let the LLMs answer so from now on."""
        self.upstream.script[:] = replies
        self.upstream.received.clear()

    @property
    def sent(self) -> list[Any]:
        """What was sent to the LLMs, in the order in which it came."""
        return [request.body for request in self.upstream.received]

    @property
    def calls(self) -> list[Received]:
        """The requests themselves."""
        return self.upstream.received


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncGenerator[Stage, None]:
    """Every LLM is its own model; `a` has a price, `spare` and `broken` are in no mixture."""
    async with Upstream() as upstream:
        base = config_of(upstream)
        llms = {name: {**base["llms"]["a"], "model": f"hosted_vllm/{name}"} for name in (*"abc", "spare")}
        llms["a"]["price"] = {"input": 1.0, "output": 10.0}
        llms["broken"] = {**llms["spare"], "api_key": "${MOLLM_TEST_NO_SUCH_VARIABLE}"}
        mixtures = {
            **base["mixtures"],
            "handy": {"description": "Tools are for c.", "workers": ["a", "b"], "on_tools": "alone", "tools_llm": "c"},
            "unpriced": {"description": "Nobody knows what it costs.", "workers": ["b", "c"]},
        }
        async with served({**base, "llms": llms, "mixtures": mixtures}) as server:
            yield Stage(server, upstream)


async def test_the_request_of_the_readme_is_answered_as_it_stands(stage: Stage) -> None:
    """The router picks, -1 leaves the limit to the LLM, and the reply names the mixture that answered."""
    stage.script(*(answer(f"Joke {n}.") for n in range(3)), answer("The best joke."))
    request = {
        "model": "router",
        "messages": [
            {"role": "system", "content": "You are a helpful AI assistant."},
            {"role": "user", "content": "Please tell me a joke."},
        ],
        "temperature": 0.7,
        "max_tokens": -1,
        "stream": False,
    }

    reply = await stage.server.post("/v1/chat/completions", request)

    assert reply.status == 200
    assert reply.body["model"] == reply.headers["x-mollm-mixture"] == "three"
    assert reply.body["choices"][0]["message"] == {"role": "assistant", "content": "The best joke.", "refusal": None}
    assert stage.sent[-1]["temperature"] == 0.7
    assert stage.sent[-1]["max_tokens"] == 1024


async def test_a_completion_has_the_form_that_clients_check(stage: Stage) -> None:
    """Exactly OpenAI's fields, each of its type."""
    stage.script(answer("Four."))

    reply = await stage.server.chat(model="one")

    assert reply.headers["content-type"] == "application/json"
    body = reply.body
    assert body.pop("id").startswith("mollm-")
    assert isinstance(body.pop("created"), int)
    assert body == {
        "object": "chat.completion",
        "model": "one",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Four.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }


# Who answers


@pytest.mark.parametrize(
    ("model", "mixture", "calls"),
    [("auto", "three", 4), ("router", "three", 4), ("three", "three", 4), ("one", "one", 1), ("c", "c", 1)],
)
async def test_the_model_is_a_mixture_an_llm_or_left_to_the_router(
    stage: Stage, model: str, mixture: str, calls: int
) -> None:
    """`auto` and `router` let the router pick; an LLM of the file answers alone."""
    stage.script(*[answer("Four.")] * calls)

    reply = await stage.server.chat(model=model)

    assert reply.status == 200
    assert reply.body["model"] == reply.headers["x-mollm-mixture"] == mixture
    assert int(reply.headers["x-mollm-calls"]) == len(stage.calls) == calls


async def test_an_llm_that_no_mixture_uses_answers_by_its_name(stage: Stage) -> None:
    """It is built when it is first asked for."""
    for _ in range(2):
        stage.script(answer("Spare."))

        reply = await stage.server.chat(model="spare")

        assert reply.body["choices"][0]["message"]["content"] == "Spare."
        assert [body["model"] for body in stage.sent] == ["spare"]


async def test_an_llm_that_cannot_be_built_is_the_servers_fault(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """500 without the name of a variable; the log has it."""
    stage.script()

    reply = await stage.server.chat(model="broken")

    assert reply.status == 500
    assert reply.body["error"]["code"] == "misconfigured"
    assert b"MOLLM_TEST" not in reply.raw
    assert "MOLLM_TEST_NO_SUCH_VARIABLE is not set" in caplog.text


async def test_a_name_that_is_nothing_is_not_found(stage: Stage) -> None:
    """OpenAI's status, code and param, and which mixtures there are."""
    stage.script()

    reply = await stage.server.chat(model="gpt-4.1")

    assert reply.status == 404
    assert reply.body["error"] == {
        "message": "no mixture and no LLM 'gpt-4.1'; there are: one, three, handy, unpriced; "
        "`auto` is the one that the router picks",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    assert not stage.calls


@pytest.mark.parametrize("content", ["", "  \n", []], ids=["empty", "blank", "no parts"])
async def test_an_empty_question_is_refused(stage: Stage, content: Any) -> None:
    """Nobody is asked nothing."""
    stage.script()

    reply = await stage.server.chat(model="one", messages=[{"role": "user", "content": content}])

    assert reply.status == 400
    assert reply.body["error"]["message"] == "the question is empty"


# What is passed on, and to whom


async def test_a_request_with_tools_goes_to_one_llm_unchanged(stage: Stage) -> None:
    """No worker is asked; tools, choice and conversation arrive as they were, and so do the calls that come back."""
    said = {"role": "assistant", "content": None, "tool_calls": CALLS, "refusal": None}
    stage.script(answer(None, finish_reason="tool_calls", tool_calls=CALLS))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "name": "kim", "content": "Look it up."}]

    reply = await stage.server.chat(
        model="three", messages=messages, tools=TOOLS, tool_choice="required", parallel_tool_calls=False
    )

    (body,) = stage.sent
    assert (body["messages"], body["tools"], body["tool_choice"]) == (messages, TOOLS, "required")
    assert body["parallel_tool_calls"] is False
    (choice,) = reply.body["choices"]
    assert choice["message"] == said
    assert choice["finish_reason"] == "tool_calls"
    assert (reply.body["model"], reply.headers["x-mollm-calls"]) == ("three", "1")


@pytest.mark.parametrize("more", [{"tools": TOOLS}, {}], ids=["tools again", "no tools"])
async def test_the_result_of_a_tool_reaches_the_llm_alone_unchanged(stage: Stage, more: dict[str, Any]) -> None:
    """With `on_tools: alone` the exchange arrives as it was, also where the request names no tools any more."""
    stage.script(answer("It is x."))
    messages = [
        *HI,
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": "call_7", "content": "x"},
    ]

    reply = await stage.server.chat(model="handy", messages=messages, **more)

    (body,) = stage.sent
    assert body["messages"] == messages
    assert body.get("tools") == more.get("tools")
    assert reply.body["choices"][0]["message"]["content"] == "It is x."


async def test_the_mixture_says_which_llm_has_the_tools(stage: Stage) -> None:
    """With `tools_llm: c` that is c, although it is no worker."""
    stage.script(answer(None, finish_reason="tool_calls", tool_calls=CALLS))

    await stage.server.chat(model="handy", tools=TOOLS)

    assert [body["model"] for body in stage.sent] == ["c"]


async def test_images_reach_workers_and_aggregator(stage: Stage) -> None:
    """The part with the data: URL arrives at all four calls as it was."""
    stage.script(*[answer("A cat.")] * 4)
    content = [{"type": "text", "text": "What is this?"}, PICTURE]

    reply = await stage.server.chat(model="three", messages=[{"role": "user", "content": content}])

    assert reply.status == 200
    parts = [body["messages"][-1]["content"] for body in stage.sent]
    assert len(parts) == 4
    assert [found[:2] for found in parts] == [content] * 4
    assert [len(found) for found in parts] == [2, 2, 2, 3], "the aggregator's instructions come after it"


WRITING = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": {"headers": {}}}}},
    "stop": ["\n\n", "END"],
    "temperature": 1.5,
    "top_p": 0.25,
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "logit_bias": {"1734": -100.0},
    "reasoning_effort": "low",
    "chat_template_kwargs": {"enable_thinking": False, "headers": "x"},
    "top_k": 5,
    "guided_json": {"properties": {"headers": {}}},
    "thinking": {"type": "enabled", "budget_tokens": 512},
    "prompt_cache_key": "k",
    "max_tokens": 77,
}


async def test_how_to_write_goes_to_the_llm_that_writes_the_answer(stage: Stage) -> None:
    """All of it to the aggregator, none of it to the workers."""
    stage.script(*[answer("Four.")] * 4)

    reply = await stage.server.chat(model="three", **WRITING)

    assert reply.status == 200
    *workers, aggregator = stage.sent
    assert {name: aggregator.get(name) for name in WRITING} == WRITING
    for body in workers:
        assert set(body) == {"model", "messages", "max_tokens"}
        assert body["max_tokens"] == 1024


@pytest.mark.parametrize("has_stream", [False, True], ids=["unstreamed", "streamed"])
async def test_what_reaches_nobody_is_named(stage: Stage, has_stream: bool) -> None:
    """In a header, by names that a header can hold; where nothing was left out there is none."""
    odd = {
        "user": "kim",
        "functions": [],
        "a,b": 1,
        "x" * 70: 1,
        "sn\u00f6\r\nset-cookie: x": 1,
        "top_k": 5,
        "store": None,
    }
    many = {f"field_{number:02}": number for number in range(30)}
    seen = []
    for fields in ({"top_k": 5}, odd, many):
        stage.script(stream("Four.") if has_stream else answer("Four."))
        reply = await stage.server.chat(model="one", stream=has_stream, **fields)
        assert reply.status == 200
        assert "set-cookie" not in reply.headers
        seen.append(reply.headers.get("x-mollm-dropped"))

    assert seen == [
        None,
        f"a?b, functions, sn???set-cookie:?x, user, {'x' * 64}...",
        f"{', '.join(list(many)[:20])}, and 10 more",
    ]


async def test_the_configuration_says_what_is_handed_on() -> None:
    """What it names, and nothing else; the header names the rest."""
    async with (
        Upstream(answer("Four."), answer("Four.")) as upstream,
        served(config_of(upstream, server={"forward": ["user", "store"]})) as some,
        served(config_of(upstream, server={"forward": []})) as none,
    ):
        fields = {"user": "kim", "top_k": 5, "reasoning_effort": "low"}
        replies = [await server.chat(model="one", **fields) for server in (some, none)]

    assert [fields.keys() & received.body.keys() for received in upstream.received] == [{"user"}, set()]
    dropped = [reply.headers["x-mollm-dropped"] for reply in replies]
    assert dropped == ["reasoning_effort, top_k", "reasoning_effort, top_k, user"]


async def test_a_single_worker_writes_the_answer(stage: Stage) -> None:
    """In a mixture of one, all of it goes to that one."""
    stage.script(answer("Four."))

    await stage.server.chat(model="one", **WRITING)

    assert {name: stage.sent[0].get(name) for name in WRITING} == WRITING


DEFAULTS = {
    "n": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0.0,
    "logit_bias": {},
    "response_format": {"type": "text"},
    "tools": [],
    "stop": [],
    "stream": False,
    "parallel_tool_calls": True,
    "max_tokens": None,
    "temperature": None,
    "mollm": {"trace": False},
}
IGNORED = {
    "user": "kim",
    "store": True,
    "service_tier": "auto",
    "metadata": {"a": "b"},
    "cache": {"no-cache": True},
    "route": "x",
}


@pytest.mark.parametrize(
    "fields",
    [*({name: value} for name, value in DEFAULTS.items()), {"stop": ""}, dict.fromkeys(DEFAULTS), IGNORED],
    ids=[*DEFAULTS, "stop, empty", "all null", "unknown"],
)
async def test_defaults_and_unknown_fields_pass_and_are_left_to_the_llm(stage: Stage, fields: dict[str, Any]) -> None:
    """A mixture of several answers, and none of it is sent on."""
    stage.script(*[answer("Four.")] * 4)

    reply = await stage.server.chat(model="three", **fields)

    assert reply.status == 200
    assert len(stage.sent) == 4
    assert {frozenset(body) for body in stage.sent} == {frozenset(("model", "messages", "max_tokens"))}
    assert "mollm" not in reply.body


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({}, 1024),
        ({"max_tokens": -1}, 1024),
        ({"max_completion_tokens": -1}, 1024),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
    ],
    ids=["none", "-1", "-1 new", "old name", "new name", "both", "new one null"],
)
async def test_both_names_of_the_limit_are_understood(stage: Stage, fields: dict[str, Any], limit: int) -> None:
    """The newer name wins; -1 and none mean the LLM's own."""
    stage.script(answer("Four."))

    await stage.server.chat(model="one", **fields)

    assert stage.sent[0]["max_tokens"] == limit
    assert "max_completion_tokens" not in stage.sent[0]


async def test_a_developer_message_is_a_system_message(stage: Stage) -> None:
    """Chat templates know the older name only."""
    stage.script(answer("Four."))

    await stage.server.chat(model="one", messages=[{"role": "developer", "content": "Be brief."}, *HI])

    assert stage.sent[0]["messages"] == [{"role": "system", "content": "Be brief."}, *HI]


async def test_the_seed_goes_to_everybody(stage: Stage) -> None:
    """Workers and aggregator get the caller's."""
    stage.script(*[answer("Four.")] * 4)

    await stage.server.chat(model="three", seed=41)

    assert [body["seed"] for body in stage.sent] == [41] * 4


# One LLM: n and logprobs


@pytest.mark.parametrize(
    "fields",
    [{"model": "one"}, {"model": "spare"}, {"model": "three", "tools": TOOLS}],
    ids=["mixture of one", "LLM", "tools"],
)
async def test_one_llm_gives_several_answers(stage: Stage, fields: dict[str, Any]) -> None:
    """As many choices and calls as were asked for, each with a seed of its own, and the usage of them all."""
    stage.script(*(answer(f"Answer {n}.") for n in range(3)))

    reply = await stage.server.chat(n=3, seed=41, **fields)

    assert sorted(body["seed"] for body in stage.sent) == [41, 42, 43]
    assert not any("n" in body for body in stage.sent)
    choices = reply.body["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert sorted(choice["message"]["content"] for choice in choices) == ["Answer 0.", "Answer 1.", "Answer 2."]
    assert {choice["finish_reason"] for choice in choices} == {"stop"}
    assert {choice["message"]["refusal"] for choice in choices} == {None}
    assert reply.body["usage"] == {"prompt_tokens": 21, "completion_tokens": 6, "total_tokens": 27}
    assert reply.headers["x-mollm-calls"] == "3"


@pytest.mark.parametrize(
    "fields",
    [{"model": "one"}, {"model": "spare"}, {"model": "three", "tools": TOOLS}],
    ids=["mixture of one", "LLM", "tools"],
)
async def test_one_llm_gives_the_probabilities_of_its_tokens(stage: Stage, fields: dict[str, Any]) -> None:
    """They are asked for, and come back as the LLM gave them."""
    stage.script(answer("Four", logprobs=TOKENS))

    reply = await stage.server.chat(logprobs=True, top_logprobs=2, **fields)

    assert (stage.sent[0]["logprobs"], stage.sent[0]["top_logprobs"]) == (True, 2)
    assert reply.body["choices"][0]["logprobs"] == TOKENS


@pytest.mark.parametrize("fields", [{"n": 2}, {"logprobs": True}, {"logprobs": True, "top_logprobs": 3}], ids=str)
async def test_several_llms_together_cannot_give_n_or_logprobs(stage: Stage, fields: dict[str, Any]) -> None:
    """That is refused before anybody is asked."""
    stage.script()

    reply = await stage.server.chat(model="three", **fields)

    assert reply.status == 400
    assert reply.body["error"]["message"] == "n and logprobs need a single LLM, and 'three' is a mixture of several"
    assert not stage.calls


async def test_what_could_exceed_a_limit_is_refused(stage: Stage) -> None:
    """Twenty answers are twenty calls, and sixteen are allowed; the message has the arithmetic."""
    stage.script()

    reply = await stage.server.chat(model="one", n=20)

    assert reply.status == 400
    assert reply.body["error"]["code"] == "limit_exceeded"
    assert "20 calls at worst (1 worker x 20 answers)" in reply.body["error"]["message"]
    assert not stage.calls


FOREIGN = {
    "x_mollm_mixture": "one",
    "x_mollm_calls": "0",
    "x_mollm_internal": "1",
    "x_mollm_reused": "true",
    "authorization": "Bearer of-the-client",
    "api_key": "of-the-client",
    "openai_organization": "of-the-client",
    "x_forwarded_for": "127.0.0.1",
    "cookie": "a=of-the-client",
}


async def test_no_header_of_a_client_is_an_instruction(stage: Stage) -> None:
    """None changes who is asked or what is said of the answer, and none is handed on."""
    stage.script(*[answer("Four.")] * 4)

    reply = await stage.server.post("/v1/chat/completions", {"model": "three", "messages": HI}, **FOREIGN)

    assert reply.body["model"] == reply.headers["x-mollm-mixture"] == "three"
    assert reply.headers["x-mollm-calls"] == "4"
    assert "x-mollm-reused" not in reply.headers
    names = {name.lower() for call in stage.calls for name in call.headers}
    assert not names & {name.replace("_", "-") for name in FOREIGN}
    assert "of-the-client" not in str([call.headers for call in stage.calls])


# What comes back


async def test_what_the_llm_added_to_its_message_comes_along(stage: Stage) -> None:
    """Reasoning, a refusal and a reason to end that is not `stop`."""
    stage.script(answer("No.", finish_reason="length", refusal="I would rather not.", reasoning_content="Hm."))

    reply = await stage.server.chat(model="one")

    (choice,) = reply.body["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "No.",
        "refusal": "I would rather not.",
        "reasoning_content": "Hm.",
    }
    assert choice["finish_reason"] == "length"


async def test_the_usage_sums_every_call(stage: Stage) -> None:
    """Three workers and the aggregator, one of the workers having failed; plain integers and nothing beside them."""
    many = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "details": {"cached_tokens": 3}}
    stage.script(answer("1", usage=many), answer("2"), error(400), answer("Four.", usage=many))

    reply = await stage.server.chat(model="three")

    assert reply.body["usage"] == {"prompt_tokens": 207, "completion_tokens": 42, "total_tokens": 249}
    assert {type(value) for value in reply.body["usage"].values()} == {int}


def response_for(headers: Any) -> dict[str, str]:
    """What the headers tell of the answer."""
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-mollm-")}


async def test_the_headers_tell_how_the_answer_came_about(stage: Stage) -> None:
    """Mixture, probability, calls, agreement and cost; nothing was degraded, so nothing says so."""
    stage.script(*[answer("The answer is 4.")] * 2, answer("The answer is 5."), answer("Four."))

    reply = await stage.server.chat(model="three")

    found = response_for(reply.headers)
    assert float(found.pop("x-mollm-cost-usd")) == pytest.approx(2 * (7 * 1.0 + 2 * 10.0) / 1e6), "a works and writes"
    assert found == {
        "x-mollm-mixture": "three",
        "x-mollm-probability": "1.0000",
        "x-mollm-calls": "4",
        "x-mollm-agreement": "0.6667",
    }


@pytest.mark.parametrize(
    ("probabilities", "header"),
    [({"m": 0.73456, "other": 0.26544}, "0.7346"), ({"m": 1e-9}, "0.0000"), ({}, None), ({"other": 1.0}, None)],
    ids=["sure", "hardly", "no opinion", "another's"],
)
async def test_the_probability_is_that_of_the_mixture(probabilities: dict[str, float], header: str | None) -> None:
    """As the router gave it for the mixture that answers; one without an opinion has no header."""

    class Picks:
        kind: ClassVar[str] = "picks"

        async def route(self, question: Question, calls: Calls) -> Route:  # noqa: ARG002 - the interface has them
            return Route("m", probabilities, self.kind, "because")

    config = {"llms": {"a": {"model": "scripted/x"}}, "mixtures": {"m": {"description": "x", "workers": ["a"]}}}
    async with served(config, router=Picks()) as server:
        reply = await server.chat(model="auto", mollm={"trace": True})

    assert reply.headers.get("x-mollm-probability") == header
    assert (reply.body["mollm"]["route"]["router"], reply.body["mollm"]["route"]["reason"]) == ("picks", "because")


async def test_what_is_not_known_has_no_header(stage: Stage) -> None:
    """No final answer, no agreement; no price, no cost."""
    stage.script(*[answer("Well, that depends on many things.")] * 3)

    reply = await stage.server.chat(model="unpriced")

    assert response_for(reply.headers) == {
        "x-mollm-mixture": "unpriced",
        "x-mollm-probability": "1.0000",
        "x-mollm-calls": "3",
    }


async def test_a_degraded_answer_says_so(stage: Stage) -> None:
    """The aggregator failed, so the best proposal is the answer."""
    stage.script(answer("The answer is 4."), answer("The answer is 4."), answer("Well."), error(400, "SECRET"))

    reply = await stage.server.chat(model="three")

    assert reply.status == 200
    assert reply.body["choices"][0]["message"]["content"] == "The answer is 4."
    assert "aggregator a: the provider refused the request (HTTP 400)" in reply.headers["x-mollm-degraded"]
    assert "SECRET" not in reply.headers["x-mollm-degraded"]


async def test_the_trace_is_the_whole_answer(stage: Stage) -> None:
    """What Python would have returned: route, proposals, breakdown, and all the rest."""
    stage.script(answer("The answer is 4."), error(400), answer("The answer is 4."), answer("Four."))

    reply = await stage.server.chat(model="three", mollm={"trace": True})

    trace = answer_from_plain(reply.body["mollm"])
    assert (trace.id, trace.text, trace.mixture) == (reply.body["id"], "Four.", "three")
    assert sorted(proposal.text for proposal in trace.proposals) == ["", "The answer is 4.", "The answer is 4."]
    assert [proposal.error.status for proposal in trace.proposals if proposal.error] == [400]
    assert sorted(call.role for call in trace.breakdown) == ["aggregator", "worker", "worker", "worker"]
    assert trace.usage.total_tokens == reply.body["usage"]["total_tokens"]
    assert trace.agreement == 1.0
    assert trace.route.router == "caller"


async def test_half_a_character_and_a_foreign_number_do_not_break_the_reply() -> None:
    """JSON can carry what a library of an LLM let through, so the client gets the answer."""

    class Odd(float):
        """Such as numpy's."""

    half = "\ud83d"
    message = {"role": "assistant", "content": f"Look: {half}", "score": Odd(0.5)}
    llm = ScriptedLLM(lambda _: ScriptedReply(message=message))
    config = {
        "llms": {"a": {"model": "scripted/x"}},
        "mixtures": {"m": {"description": "x", "workers": ["a"]}},
    }

    async with served(config, llms={"a": llm}) as server:
        whole = await server.chat(model="m", mollm={"trace": True})
        pieces = await server.chat(model="m", stream=True)

    assert whole.body["choices"][0]["message"] == {**message, "refusal": None}
    assert whole.body["mollm"]["text"] == f"Look: {half}"
    assert pieces.text == f"Look: {half}"
    assert pieces.events[-1] == "[DONE]"


@pytest.mark.parametrize("body", [{"stream": False}, {"stream": True}], ids=["whole", "streamed"])
@pytest.mark.parametrize("mixture", ["one", "three"])
async def test_an_answer_that_a_stop_text_ended_at_once_is_empty(mixture: str, body: dict[str, Any]) -> None:
    """What the caller asked for is no failure, and no worker's proposal takes its place."""
    workers = [answer(f"Worker {n}.") for n in range(3)] if mixture == "three" else []
    last = stream() if body["stream"] else answer("")
    async with Upstream(*workers, last) as upstream, served(config_of(upstream)) as server:
        reply = await server.chat(model=mixture, stop=["Hello"], **body)

    assert reply.status == 200
    assert (reply.text if body["stream"] else reply.body["choices"][0]["message"]["content"]) == ""
    assert "x-mollm-degraded" not in reply.headers
