"""A panel that comes with an HTTP request, through real sockets: who is asked, and what nobody may bring."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio

from tests.server.served import HI, config_of, served
from tests.upstream import Upstream, answer, error, stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.server.served import Client, Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
CALLS = [{"id": "call_7", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]
WORKERS: list[Any] = ["a", "b", {"llm": "a", "temperature": 1}]
PANEL: dict[str, Any] = {"workers": WORKERS, "aggregator": {"method": "synthesize", "llm": "c"}, "ask_first": 2}
CONFIDENTIAL = "the secret of the house"


class Stage(NamedTuple):
    """A server that takes panels, and the one that it asks."""

    server: Client
    upstream: Upstream
    folder: Path

    async def ask(self, mollm: Any = PANEL, *replies: Any, model: str = "panel", **body: Any) -> Reply:
        """Ask a panel; the LLMs answer so, in turn."""
        self.upstream.script[:] = replies
        self.upstream.received.clear()
        return await self.server.chat(model=model, mollm=mollm, **body)

    async def refused(self, mollm: Any, **body: Any) -> tuple[str, Any]:
        """Ask what is refused before an LLM is called; return what is said, and of which field."""
        reply = await self.ask(mollm, **body)
        assert (reply.status, len(self.upstream.received)) == (400, 0), reply.raw
        assert reply.body["error"]["type"] == "invalid_request_error"
        return reply.body["error"]["message"], reply.body["error"]["param"]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage, None]:
    """A server for the tests of this module, and a file that is nobody's business."""
    folder = tmp_path_factory.mktemp("panels")
    (folder / "secret.md").write_text(CONFIDENTIAL)
    section = {"panels": True, "forward": ["top_k", "guided_json"]}
    async with Upstream() as upstream, served(config_of(upstream, server=section)) as server:
        yield Stage(server, upstream, folder)


THREE = (answer("One."), answer("Two."), answer("Three."), answer("The whole."))


async def test_a_panel_answers_and_says_how(stage: Stage) -> None:
    """Its workers propose, its aggregator writes, and everything that names a mixture names the panel."""
    reply = await stage.ask({**PANEL, "trace": True}, *THREE)

    assert reply.status == 200
    assert reply.body["choices"][0]["message"]["content"] == "The whole."
    assert (reply.body["model"], reply.headers["x-mollm-mixture"]) == ("panel", "panel")
    assert reply.headers["x-mollm-calls"] == "4"
    trace = reply.body["mollm"]
    assert (trace["mixture"], trace["route"]["router"]) == ("panel", "caller")
    assert [proposal["worker"] for proposal in trace["proposals"]] == ["a", "b", "a#2"]
    assert await stage.server.metric("requests_total", mixture="panel") >= 1
    assert await stage.server.metric("routes_total", mixture="panel", is_sure="true") >= 1


async def test_a_panel_streams(stage: Stage) -> None:
    """Chunk by chunk, as a mixture."""
    reply = await stage.ask(PANEL, *THREE[:3], stream("The ", "whole."), stream=True)

    assert (reply.status, reply.text, reply.events[-1]) == (200, "The whole.", "[DONE]")
    assert {chunk["model"] for chunk in reply.events[:-1]} == {"panel"}


async def test_a_panel_with_tools_proposes_once_in_a_turn(stage: Stage) -> None:
    """The result of the tool finds the proposals again, for the same panel alone."""
    acts = answer(tool_calls=CALLS, finish_reason="tool_calls")
    first = await stage.ask(PANEL, *THREE[:3], acts, tools=[TOOL])
    message = first.body["choices"][0]["message"]
    step = [*HI, message, {"role": "tool", "tool_call_id": "call_7", "content": "42"}]
    second = await stage.ask(PANEL, answer("It is 42."), messages=step, tools=[TOOL])
    other = await stage.ask({"workers": ["a", "b"]}, *THREE[:2], answer("42."), messages=step, tools=[TOOL])

    assert message["tool_calls"] == CALLS
    assert first.headers["x-mollm-on-tools"] == "after"
    assert second.body["choices"][0]["message"]["content"] == "It is 42."
    assert (second.headers["x-mollm-reused"], second.headers["x-mollm-calls"]) == ("true", "1")
    assert ("x-mollm-reused" in other.headers, other.headers["x-mollm-calls"]) == (False, "3")


async def test_one_worker_answers_alone_and_fields_are_handed_on(stage: Stage) -> None:
    """What the server forwards a worker may send, too."""
    reply = await stage.ask({"workers": [{"llm": "b", "extra_body": {"top_k": 5}, "stop": "x"}]}, answer("Alone."))

    assert reply.body["choices"][0]["message"]["content"] == "Alone."
    (sent,) = (request.body for request in stage.upstream.received)
    assert (sent["top_k"], sent["stop"]) == (5, ["x"])


async def test_a_panel_that_fails_is_counted_under_its_name(stage: Stage) -> None:
    """One for all panels, so that nobody makes up a label."""
    before = await stage.server.metric("request_failures_total", mixture="panel", cause="quorum")
    reply = await stage.ask(PANEL, *[error(500)] * 3)

    assert reply.status == 502
    assert await stage.server.metric("request_failures_total", mixture="panel", cause="quorum") == before + 1


async def test_system_messages_are_neither_templates_nor_variables(stage: Stage) -> None:
    """They are sent as they stand, whatever they look like."""
    text = "${PATH} {{ question }} {% for x in y %} {{ ''.__class__ }}"

    assert (await stage.ask({"workers": [{"llm": "a", "system": text}]}, answer("Yes."))).status == 200
    assert stage.upstream.received[0].body["messages"][0] == {"role": "system", "content": text}


@pytest.mark.parametrize(
    ("panel", "said", "param"),
    [
        ({"workers": ["a", "x"]}, "mollm.workers[1].llm: no LLM 'x'; allowed: a, b, c", "mollm.workers[1].llm"),
        ({"workers": ["three"]}, "mollm.workers[0].llm: no LLM 'three'; allowed: a, b, c", "mollm.workers[0].llm"),
        (
            {"workers": ["a"], "wokers": 1, "ask_first": 7},
            "mollm.wokers: unknown key; did you mean 'workers'?\n"
            "mollm.ask_first: 7 is more than the planned proposals (1)",
            "mollm.wokers",
        ),
        ({"workers": []}, "mollm.workers: list should have at least 1 item after validation, not 0", "mollm.workers"),
        (
            {"workers": {"choose": {"most": 1, "from": ["a"]}}},
            "mollm.workers: must be a list; workers",
            "mollm.workers",
        ),
        ({}, 'mollm.workers: is required, as in "mollm": {"workers": ["a", "b"]', "mollm.workers"),
        (None, "mollm.workers: is required", "mollm.workers"),
        ({"aggregator": {"llm": "a"}}, "mollm.workers: is required", "mollm.workers"),
        (
            {"workers": ["a"], "description": "x"},
            "mollm.description: a panel for one request has no",
            "mollm.description",
        ),
        ({"workers": ["ä\u202e😀"]}, "mollm.workers[0].llm: no LLM 'ä", "mollm.workers[0].llm"),
        ({"workers": ["x" * 200]}, "mollm: a name in a panel has 128 characters at most", "mollm"),
        ({"workers": [["a"], 3, None, {}]}, "mollm.workers[0]: must be a mapping of: ", "mollm.workers[0]"),
        ({"workers": [{"llm": "a", "extra_body": {"mock_response": "x"}}]}, "extra_body.mock_response: this", None),
        ({"workers": [{"llm": "a", "extra_body": {"max_tokens": 9}}]}, "extra_body.max_tokens: this", None),
        ({"workers": [{"llm": "a", "extra_body": {"api_base": "http://x"}}]}, "api_base: addresses, keys", "api_base"),
        ({"workers": ["a"], "review": {"x": {"Extra-Headers": {}}}}, "Extra-Headers: addresses, keys", None),
        ({"workers": ["a"], "aggregator": {"method": "mine"}}, "mollm.aggregator.method: must be", None),
    ],
)
async def test_what_is_wrong_is_a_400_that_says_where(stage: Stage, panel: Any, said: str, param: str | None) -> None:
    """Nobody is called."""
    text, field = await stage.refused(panel)

    assert said in text
    assert param in (field, None)


@pytest.mark.parametrize("where", ["worker", "aggregator", "analysis", "review"])
@pytest.mark.parametrize("written", ["secret.md", "file", "template"])
async def test_no_client_names_a_file_or_brings_a_prompt(stage: Stage, where: str, written: str) -> None:
    """Not even one that is there, and the reply does not say whether it is."""
    path = stage.folder / "secret.md"
    prompt = {"secret.md": "secret.md", "file": str(path), "template": "{{ proposals }} and {{ question }}"}[written]
    changes: dict[str, dict[str, Any]] = {
        "worker": {"workers": [{"llm": "a", "prompt": prompt}, "b", "c"]},
        "aggregator": {"aggregator": {"prompt": prompt}},
        "analysis": {"aggregator": {"analysis": {"prompt": prompt}}},
        "review": {"review": {"prompt": prompt}},
    }

    text, param = await stage.refused({"workers": ["a", "b", "c"], **changes[where]})

    assert text == f"{param}: cannot be set here: only the configuration may name files and prompts"
    assert CONFIDENTIAL not in text
    assert str(path) not in text


@pytest.mark.parametrize("score", ["os:system", {"python": "os:system"}])
async def test_no_client_names_a_function(stage: Stage, score: Any) -> None:
    """Nothing is imported for a request."""
    text, _ = await stage.refused({"workers": ["a", "b"], "aggregator": {"method": "best", "score": score}})

    assert text.startswith("mollm.aggregator.score: cannot be set here: only the configuration may name functions")


@pytest.mark.parametrize(
    "workers", [["a"] * 1000, [{"llm": "a", "samples": 64}] * 16, [{"llm": "a", "samples": 64}] * 1000, ["a"] * 16]
)
async def test_a_panel_stays_within_the_limits(stage: Stage, workers: list[Any]) -> None:
    """The worst case is counted, and what is far beyond it is not even built."""
    reply = await stage.ask({"workers": workers})

    assert (reply.status, reply.body["error"]["code"]) == (400, "limit_exceeded")
    assert "limits.calls is 16" in reply.body["error"]["message"]
    assert not stage.upstream.received


def deep(levels: int) -> Any:
    """Objects in one another."""
    found: Any = {}
    for _ in range(levels):
        found = {"review": found}
    return found


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        ({"workers": ["a"], **deep(40)}, "a panel of more than 20 levels"),
        ({"workers": ["a"], **{f"k{n}": n for n in range(600)}}, "a panel of more than 300 keys"),
        ({"workers": [{"llm": "a", "system": "x" * 300_000}]}, "a panel of more than 256 KiB"),
    ],
)
async def test_a_panel_is_of_bounded_size(stage: Stage, panel: Any, said: str) -> None:
    """It is checked, kept and remembered as a whole."""
    assert await stage.refused(panel) == (f"mollm: {said}", "mollm")


@pytest.mark.parametrize("model", ["auto", "three", "a", "no such"])
@pytest.mark.parametrize("key", ["workers", "aggregator", "ask_first"])
async def test_a_panel_under_another_name_is_refused(stage: Stage, model: str, key: str) -> None:
    """It would be ignored, and somebody else asked."""
    text, param = await stage.refused({key: PANEL[key]}, model=model)

    assert (text, param) == (f"mollm.{key}: only with `model`: 'panel'", f"mollm.{key}")


async def test_what_mollm_held_before_it_still_holds(stage: Stage) -> None:
    """Fields that nobody knows are ignored beside other models, as they always were."""
    reply = await stage.ask({"trace": True, "colour": "red"}, answer("Hi."), model="one")

    assert (reply.status, reply.body["mollm"]["mixture"]) == (200, "one")


async def test_models_list_panels_where_they_are_taken(stage: Stage) -> None:
    """With the form that one has."""
    one = await stage.server.get("/v1/models/panel")
    listed = [model["id"] for model in (await stage.server.get("/v1/models")).body["data"]]

    assert (one.status, one.body["mollm"]["kind"]) == (200, "panel")
    assert '{"workers": ["a", "b"]' in one.body["mollm"]["description"]
    assert listed == ["auto", "router", "one", "three", "panel", "a", "b", "c"]


async def test_a_server_takes_no_panels_unless_it_is_told_to() -> None:
    """Whatever is in them; and nobody learns more of what is served."""
    async with Upstream() as upstream, served(config_of(upstream)) as server:
        for panel in (PANEL, {}, {"workers": ["x"]}, {"workers": ["a"] * 1000}):
            reply = await server.chat(model="panel", mollm=panel)
            said = reply.body["error"]
            assert (reply.status, said["param"]) == (400, "model")
            assert said["message"] == (
                "model: this server takes no panels; who runs it may allow them with `server.panels: true`"
            )
        other = await server.chat(model="one", mollm=PANEL)
        listed = await server.get("/v1/models/panel")
        assert (other.status, other.body["error"]["param"], listed.status) == (400, "mollm.workers", 404)
        assert not upstream.received


async def test_reading_the_file_again_switches_panels(tmp_path: Path) -> None:
    """Without a restart, in both directions."""
    path = tmp_path / "mollm.json"
    async with Upstream(answer("Yes.")) as upstream:

        def write(*, panels: bool) -> None:
            path.write_text(json.dumps(config_of(upstream, server={"panels": panels})))

        write(panels=False)
        async with served(path) as server:
            for panels, status in ((True, 200), (False, 400)):
                write(panels=panels)
                assert await server.deployment.reload()
                assert (await server.chat(model="panel", mollm={"workers": ["a"]})).status == status


async def test_a_key_pays_for_its_panels(tmp_path: Path) -> None:
    """Its limits hold before an LLM is called, and what was used is counted."""
    priced = {"price": {"input": 1.0, "output": 10.0}, "max_tokens": 100}
    key = "the-key-of-anna-0001"
    keys = [{"name": "anna", "key": key, "limits": {"tokens_per_day": 700}}]
    async with Upstream(*THREE) as upstream:
        config = config_of(upstream, server={"panels": True, "api_keys": keys, "usage": str(tmp_path / "usage.sqlite")})
        config["llms"] = {name: {**llm, **priced} for name, llm in config["llms"].items()}
        async with served(config) as server:
            body = {"model": "panel", "messages": HI}
            sent = {"authorization": f"Bearer {key}"}
            small = await server.post("/v1/chat/completions", {**body, "mollm": {"workers": ["a"]}}, **sent)
            large = await server.post("/v1/chat/completions", {**body, "mollm": PANEL}, **sent)
            used = [quota.today.used.tokens for quota in server.deployment.quotas]

    assert small.status == 200
    assert (large.status, large.body["error"]["code"]) == (400, "limit_exceeded")
    assert "limits.tokens_per_day is 700 tokens" in large.body["error"]["message"]
    assert (used, len(upstream.received)) == ([9], 1)


async def test_the_audit_log_names_the_panel_and_nothing_of_it(tmp_path: Path) -> None:
    """Not even what is wrong with it."""
    section = {"panels": True, "audit": str(tmp_path / "audit")}
    async with Upstream(*THREE) as upstream, served(config_of(upstream, server=section)) as server:
        await server.chat(model="panel", mollm=PANEL)
        await server.chat(model="panel", mollm={"workers": ["nobody-of-that-name"]})
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]

    assert [(line["mixture"], line["status"], line["llms"]) for line in lines] == [
        ("panel", 200, {"a": 2, "b": 1, "c": 1}),
        (None, 400, {}),
    ]
    assert "nobody" not in str(lines)
