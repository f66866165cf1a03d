"""The tools of the Model Context Protocol, called by the SDK's client in this process."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.cli.checks import check_config
from mollm.errors import ConfigError, Overloaded
from mollm.server import create_app
from tests.command import TEAM
from tests.mcp.client import asked, connected, text_of
from tests.server.served import until
from tests.upstream import Upstream, answer, error, hang

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from mcp import Client

ERAS = ("legacy", "2026-07-28")
"""The protocol with its handshake, and the one without."""


def config_of(upstream: Upstream, **sections: Any) -> dict[str, Any]:
    """A mixture of two workers and an aggregator, and one of a single worker."""
    llm = {"model": "hosted_vllm/m", "api_base": upstream.base_url, "retries": 0, "context_window": 8192}
    mixtures = {
        "team": {"description": "Hard\n  questions.", "workers": ["a", "b"], "aggregator": {"llm": "boss"}},
        "solo": {"description": "Easy ones.", "workers": ["a"]},
    }
    router = {"kind": "fixed", "fallback": "team"}
    return {"llms": dict.fromkeys(("a", "b", "boss"), llm), "mixtures": mixtures, "router": router, **sections}


class Direct:
    """Asks a configuration, or fails with what it was given."""

    def __init__(self, mollm: MoLLM, failure: Exception | None = None) -> None:
        self.mollm, self.failure = mollm, failure

    async def ask(self, request: Any, question: str, observer: Any, **options: Any) -> Any:
        assert request is None
        if self.failure:
            raise self.failure
        return await self.mollm.arun(question, observer, **options)

    async def route(self, request: Any, question: str) -> Any:
        assert request is None
        return await self.mollm.aroute(question)


@asynccontextmanager
async def client_of(
    config: Any, *, pinned: str | None = None, failure: Exception | None = None, mode: str = "legacy"
) -> AsyncGenerator[Client, None]:
    """A client of a configuration."""
    from mollm.mcp.protocol import Tools, server_of

    async with MoLLM(config) as mollm:
        server = server_of(Tools(Direct(mollm, failure), pinned))
        async with connected(server, mode=mode) as client:
            yield client


async def test_an_agent_reads_which_mixtures_there_are_and_what_they_take() -> None:
    """In the description of the tool, so that it can decide; the names are the only ones that it may give."""
    async with Upstream() as upstream, client_of(config_of(upstream)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

    assert list(tools) == ["ask", "route", "mixtures"]
    assert "- team: Hard questions. (at most 3 calls)\n- solo: Easy ones. (1 call)" in (tools["ask"].description or "")
    assert tools["ask"].input_schema["properties"]["mixture"]["enum"] == ["auto", "team", "solo"]
    assert tools["ask"].input_schema["required"] == ["question"]
    assert "title" not in json.dumps([tool.input_schema for tool in tools.values()])


@pytest.mark.parametrize("mode", ERAS)
async def test_an_answer_is_text_for_the_agent_and_fields_for_its_program(mode: str) -> None:
    """The client checks the fields against the schema of the tool; progress comes before, and only forward."""
    steps: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, total, message))

    async with Upstream() as upstream, client_of(config_of(upstream), mode=mode) as client:
        late, last = asyncio.Event(), asyncio.Event()
        upstream.script = [answer("A."), replace(answer("B."), before=late), replace(answer("Both."), before=last)]
        call = asyncio.create_task(client.call_tool("ask", {"question": "Why?"}, progress_callback=note))
        await upstream.request(2)
        await until(lambda: any("1 answered" in str(step) for step in steps))
        late.set()
        await until(lambda: any("writing" in str(step) for step in steps))
        last.set()
        found = await call

    assert (found.is_error, text_of(found)) == (False, "Both.")
    fields = found.structured_content
    assert fields.pop("seconds") > 0
    assert (fields.pop("agreement"), fields.pop("confidence")) == (0.5, None)
    assert fields == {"text": "Both.", "mixture": "team", "degraded": [], "calls": 3, "cost_usd": None}
    done = [step[0] for step in steps]
    assert done == sorted(set(done))
    assert {step[1] for step in steps} == {7.0}
    assert steps[-1][2] == "writing the answer"


async def test_a_mixture_is_asked_by_its_name_and_an_answer_has_a_length() -> None:
    """Nothing is routed then."""
    async with Upstream(answer("Four.")) as upstream, client_of(config_of(upstream)) as client:
        found = await asked(client, "2 + 2?", mixture="solo", max_tokens=7)

        assert found.structured_content["mixture"] == "solo"
        assert upstream.received[0].body["max_tokens"] == 7


async def test_route_says_which_mixture_and_how_sure_that_is() -> None:
    """No LLM is asked."""
    async with Upstream() as upstream, client_of(config_of(upstream)) as client:
        found = await client.call_tool("route", {"question": "Why?"})

        assert upstream.received == []
    assert found.structured_content["mixture"] == "team"
    assert found.structured_content["is_sure"] is True
    assert text_of(found).startswith("team: ")


async def test_the_mixtures_are_listed_with_their_worst_cases() -> None:
    """As `mollm show` has them."""
    async with Upstream() as upstream, client_of(config_of(upstream)) as client:
        found = (await client.call_tool("mixtures", {})).structured_content["mixtures"]

    assert [(one["name"], one["workers"], one["calls"]) for one in found] == [("team", 2, 3), ("solo", 1, 1)]
    assert found[0]["output_tokens"] == 3 * 1024


async def test_where_one_mixture_answers_everything_there_is_one_tool() -> None:
    """It has no mixture to choose, and no other tool can be called."""
    from mcp.shared.exceptions import MCPError

    async with Upstream(answer("Four.")) as upstream, client_of(config_of(upstream), pinned="solo") as client:
        (tool,) = (await client.list_tools()).tools
        found = await asked(client, "2 + 2?")
        refused = await asked(client, "2 + 2?", mixture="team")
        with pytest.raises(MCPError, match="no tool 'route'"):
            await client.call_tool("route", {"question": "Why?"})

    assert list(tool.input_schema["properties"]) == ["question", "max_tokens"]
    assert "solo: Easy ones." in (tool.description or "")
    assert found.structured_content["mixture"] == "solo"
    assert (refused.is_error, text_of(refused)) == (True, "mixture: is no argument; there are: question, max_tokens")


async def test_a_mixture_that_answered_everything_and_is_gone_is_named() -> None:
    """By the list, and by whoever asks: a server may have read its file again."""
    from mcp.shared.exceptions import MCPError

    async with Upstream() as upstream, client_of(config_of(upstream), pinned="gone") as client:
        with pytest.raises(MCPError, match="no mixture and no LLM 'gone'"):
            await client.list_tools()
        found = await asked(client, "Why?")

    assert found.is_error
    assert "no mixture and no LLM 'gone'" in text_of(found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "question: is required"),
        ({"question": ""}, "question: must have at least 1 character"),
        ({"question": 7}, "question: must be a valid string"),
        ({"question": " \n "}, "the question is empty"),
        ({"question": "Why?", "mixture": "teem"}, "did you mean 'team'?"),
        ({"question": "Why?", "mixture": "boss"}, "no mixture"),
        ({"question": "Why?", "max_tokens": 0}, "max_tokens: must be greater than or equal to 1"),
        ({"question": "Why?", "api_base": "http://elsewhere"}, "api_base: is no argument"),
    ],
)
async def test_arguments_that_are_wrong_are_told_to_the_agent(arguments: dict[str, Any], words: str) -> None:
    """As the result of the tool, which it can mend; an LLM alone is not offered."""
    async with Upstream() as upstream, client_of(config_of(upstream)) as client:
        found = await client.call_tool("ask", arguments)

        assert upstream.received == []
    assert found.is_error
    assert words in text_of(found)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (ConfigError("/etc/mollm.yaml:7: llms.a: no"), "the configuration cannot be used for this question"),
        (ValueError("sk-secret"), "mollm failed to answer"),
        (Overloaded("there is no room", retry_after_seconds=2.5), "there is no room; try again in 3 s"),
    ],
)
async def test_a_failure_is_told_in_our_words(failure: Exception, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where a file lies and what a foreign error says is for whoever runs this, if for anybody."""
    with caplog.at_level(logging.ERROR):
        async with Upstream() as upstream, client_of(config_of(upstream), failure=failure) as client:
            found = await asked(client, "Why?")

    assert found.is_error
    assert text_of(found).startswith(words)
    assert "/etc" not in text_of(found)
    assert "sk-secret" not in text_of(found) + caplog.text


async def test_an_upstream_that_fails_is_named_without_what_it_said() -> None:
    """Every worker's failure, in our words."""
    async with Upstream() as upstream, client_of(config_of(upstream)) as client:
        upstream.reply_to = lambda _: error(401, "sk-secret is wrong")
        found = await asked(client, "Why?")

    assert found.is_error
    assert "every worker failed" in text_of(found)
    assert "sk-secret" not in text_of(found)


def test_without_the_sdk_the_command_that_brings_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything of it is imported, and by `mollm check` before anything is served."""
    from mollm.mcp import check_installed

    monkeypatch.setitem(sys.modules, "mcp", None)

    with pytest.raises(ConfigError, match=r"Model Context Protocol is not installed; run `.* mcp`"):
        check_installed()
    path = tmp_path / "mollm.yaml"
    path.write_text(f"{TEAM}server: {{mcp: true}}\n")
    warning = check_config(path).warnings[-1]
    assert warning.startswith(f"{path}:10: server.mcp: the SDK of the Model Context Protocol is not installed; run `")
    assert warning.endswith("`mollm serve` does not start")
    with pytest.raises(ConfigError, match=r":10: server\.mcp: the SDK"):
        create_app(path)


async def test_half_a_character_costs_half_a_character() -> None:
    """A provider that cuts a pair in two; the SDK could not write it, and would end with it."""
    async with Upstream(answer("Four \ud83d.")) as upstream, client_of(config_of(upstream)) as client:
        found = await asked(client, "2 + 2?", mixture="solo")

    assert text_of(found) == "Four \ufffd."


@pytest.mark.parametrize("mode", ERAS)
async def test_a_question_that_is_cancelled_reaches_no_upstream_any_more(mode: str) -> None:
    """Its HTTP connections are closed; another question goes on, and so does the client."""
    async with Upstream() as upstream, client_of(config_of(upstream), mode=mode) as client:
        upstream.reply_to = lambda got: hang() if "Why?" in str(got.body["messages"]) else answer("Four.")
        call = asyncio.create_task(asked(client, "Why?"))
        await upstream.request(2)
        call.cancel()
        async with asyncio.timeout(5):
            for received in upstream.received[:2]:
                await received.closed_early.wait()
        found = await asked(client, "2 + 2?", mixture="solo")

    assert call.cancelled() or isinstance(call.exception(), asyncio.CancelledError)
    assert text_of(found) == "Four."


async def test_questions_are_answered_side_by_side() -> None:
    """One that takes long holds no other up, and each client gets its own answer."""
    async with Upstream() as upstream, client_of(config_of(upstream)) as client:
        late = asyncio.Event()
        upstream.reply_to = lambda got: answer("Four.") if "2 + 2" in str(got.body["messages"]) else hang(late)
        slow = asyncio.create_task(asked(client, "Why?", mixture="solo"))
        await upstream.request(1)
        found = await asked(client, "2 + 2?", mixture="solo")

        assert not slow.done()
        late.set()
        await slow
    assert text_of(found) == "Four."
