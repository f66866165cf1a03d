"""An analysis with tools, in the graph and behind the server: kept for the turn, stored as plain data, told in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM, create_graph
from mollm.errors import LimitError
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.plain import analysis_from_plain, answer_from_plain, to_plain
from mollm.run import Run
from mollm.turns import Kept
from mollm.types import Analysis, Answer, Message, Point, Proposal
from tests.comparing.panel import GOOD, Panel, analysis, quoted, roles, said
from tests.server.served import served
from tests.upstream import Upstream, answer, error, hang, stream

if TYPE_CHECKING:
    from tests.upstream import Received
    from tests.upstream import Reply as Sent

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
ACTS = Reply(message={"role": "assistant", "content": None, "tool_calls": [CALL]}, finish_reason="tool_calls")
ASKED: list[Message] = [{"role": "user", "content": "Is it cold?"}]
STEP: list[Message] = [
    *ASKED,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "minus seven"},
]


async def test_the_llm_for_tools_reads_the_analysis_and_it_is_made_once_in_a_turn() -> None:
    """Its prompt is the same, byte for byte, when the result of the tool comes."""
    panel = Panel({"on_tools": "after"}, scripts={"boss": [ACTS, "It is."]})

    first = await panel.ask(ASKED, tools=[TOOL])
    second = await panel.ask(STEP, tools=[TOOL])

    assert panel.called == {"a": 1, "b": 1, "c": 1, "analyst": 1, "boss": 2}
    assert roles(first) == ["analyst", "tools"]
    assert (second.reused, second.analysis, second.text) == (True, first.analysis, "It is.")
    assert first.analysis
    assert "All of them greet." in quoted(panel.request(number=0))
    assert said(panel.request(number=0)) == panel.request(number=1).messages[0]["content"]


async def test_why_there_is_no_analysis_is_kept_with_the_proposals() -> None:
    """One that failed is not tried again with each result of a tool."""
    panel = Panel({"on_tools": "after"}, analyst="prose", scripts={"boss": [ACTS, "It is."]})

    first = await panel.ask(ASKED, tools=[TOOL])
    second = await panel.ask(STEP, tools=[TOOL])

    assert panel.called["analyst"] == 1
    assert first.degraded == second.degraded != ()


async def test_what_is_used_again_is_counted_with_its_analysis() -> None:
    """The second step reads it too, and is refused where that could exceed a limit."""
    panel = Panel(
        {"on_tools": "after"},
        analyst=analysis(consensus=[("word " * 300, [1])]),
        scripts={"boss": [ACTS, "It is."]},
        llm={"price": {"input": 1000.0, "output": 0.0}},
    )
    await panel.ask(ASKED, tools=[TOOL])

    async def step(cost_usd: float) -> Answer:
        limited = MoLLM({**panel.config, "limits": {"cost_usd": cost_usd}}, llms=panel.llms)
        limited._turns = panel.mollm._turns  # noqa: SLF001 - as after a reload
        return await limited.aask(STEP, tools=[TOOL])

    with pytest.raises(LimitError, match="1 tools"):
        await step(1.0)
    assert (await step(1.6)).text == "It is."


def test_an_analysis_takes_room_where_turns_are_kept() -> None:
    """A bound on memory that did not count it would be none."""
    proposals = (Proposal("a", "a", 1, "x"),)
    found = Analysis("x", consensus=(Point("y" * 10_000, ("a",)),))

    assert Kept(proposals, 1, analysis=found).size >= Kept(proposals, 1).size + 10_000


def test_an_analysis_has_a_plain_form() -> None:
    """Also inside a run, as a checkpointer stores it."""
    found = Analysis("x", contradictions=(Point("y", ("a", "b")),), blind_spots=(Point("z", ()),))

    assert analysis_from_plain(to_plain(found)) == found
    assert Run.from_plain(Run("1", analysis=found).to_plain()).analysis == found


@pytest.mark.parametrize("stops", [None, ["compare"]], ids=["at once", "interrupted"])
async def test_a_graph_keeps_an_analysis_in_its_state(stops: Any) -> None:
    """As plain data that a strict serializer takes; a run that goes on later does not ask for it again."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    saver = InMemorySaver(serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None))
    panel = Panel()
    graph = create_graph(panel.config, llms=panel.llms, checkpointer=saver)
    thread: Any = {"configurable": {"thread_id": "t"}}

    result = await graph.ainvoke({"messages": [("user", "Hello?")]}, thread, interrupt_after=stops)
    if stops:
        assert "mollm" not in result
        result = await graph.ainvoke(None, thread)

    found = answer_from_plain(result["mollm"])
    assert found.analysis
    assert found.analysis.consensus[0].text == "All of them greet."
    assert panel.called == {"a": 1, "b": 1, "c": 1, "analyst": 1, "boss": 1}
    assert "All of them greet." in quoted(panel.request())


async def test_a_graph_uses_the_analysis_of_a_turn_again() -> None:
    """In a thread of its own, without anything in memory."""
    from langgraph.checkpoint.memory import InMemorySaver

    panel = Panel({"on_tools": "after"}, scripts={"boss": [ACTS, "It is."]})
    thread: Any = {"configurable": {"thread_id": "t"}}
    saver = InMemorySaver()

    async def ask(messages: Any) -> Answer:
        graph = create_graph(panel.config, llms=panel.llms, checkpointer=saver)
        return answer_from_plain((await graph.ainvoke({"messages": messages}, thread, context=_tools()))["mollm"])

    first = await ask([("user", "Is it cold?")])
    second = await ask([{"role": "tool", "tool_call_id": "c1", "content": "minus seven"}])

    assert panel.called["analyst"] == 1
    assert second.analysis == first.analysis
    assert first.analysis


def _tools() -> Any:
    from mollm import Options

    return Options(tools=[TOOL])


def panel_of(upstream: Upstream, **sections: Any) -> dict[str, Any]:
    """Two workers, an analyst and a writer, each its own model at a vLLM server."""
    llm = {"api_base": upstream.base_url, "retries": 0, "context_window": 8192}
    return {
        "llms": {name: {**llm, "model": f"hosted_vllm/{name}"} for name in ("a", "b", "analyst", "boss")},
        "mixtures": {
            "m": {
                "description": "d",
                "workers": ["a", "b"],
                "aggregator": {"llm": "boss", "analysis": {"llm": "analyst", "max_tokens": 300}},
                "deadline": 0.5,
            }
        },
        **sections,
    }


def replying(analyst: Sent, boss: Sent | None = None) -> Any:
    """What each model replies."""
    replies = {"analyst": analyst, "boss": boss or answer("It is so."), "a": answer("from a"), "b": answer("from b")}
    return lambda received: replies[received.body["model"]]


def sent_to(upstream: Upstream, model: str) -> Received:
    """The request that a model got."""
    (found,) = [received for received in upstream.received if received.body["model"] == model]
    return found


async def test_a_server_that_can_is_held_to_the_schema_and_the_trace_has_what_it_found() -> None:
    """The analyst's request alone has a response format; the client's trace is the whole analysis."""
    async with Upstream() as upstream, served(panel_of(upstream)) as server:
        upstream.reply_to = replying(answer(GOOD))
        reply = await server.chat(model="m", mollm={"trace": True})

        body = sent_to(upstream, "analyst").body
        form = body["response_format"]
        assert form["type"] == "json_schema"
        assert form["json_schema"]["strict"] is True
        assert form["json_schema"]["schema"]["properties"]["consensus"]["items"]["properties"]["answers"] == {
            "type": "array",
            "items": {"type": "integer", "enum": [1, 2]},
        }
        assert (body["temperature"], body["max_tokens"]) == (0, 300)
        assert "response_format" not in sent_to(upstream, "boss").body
    trace = answer_from_plain(reply.body["mollm"])
    assert trace.analysis
    assert [point.text for point in trace.analysis.points] == ["All of them greet.", "Nobody says why."]
    assert reply.body["mollm"]["analysis"]["consensus"][0]["proposals"]
    assert reply.body["usage"]["total_tokens"] == 4 * 9
    assert "x-mollm-degraded" not in reply.headers


async def test_an_answer_streams_from_the_server_after_an_analysis() -> None:
    """Piece by piece, and the trace comes with its end."""
    async with Upstream() as upstream, served(panel_of(upstream)) as server:
        upstream.reply_to = replying(answer(GOOD), stream("It ", "is ", "so."))
        reply = await server.chat(model="m", stream=True, mollm={"trace": True})

    assert reply.text == "It is so."
    (traced,) = [event["mollm"] for event in reply.events if event != "[DONE]" and "mollm" in event]
    assert answer_from_plain(traced).analysis


@pytest.mark.parametrize(
    ("analyst", "reason"),
    [
        (error(400, "SECRET"), "analyst: the provider refused the request (HTTP 400)"),
        (error(503, "SECRET"), "analyst: "),
        (hang(), "analyst did not reply in the time there was"),
        (answer("They agree, SECRET."), "what analyst wrote cannot be read: it is not JSON"),
        (answer(GOOD[:40], finish_reason="length"), "analyst was cut off by its token limit"),
    ],
    ids=["refuses", "fails", "hangs", "prose", "cut off"],
)
async def test_an_upstream_that_cannot_analyze_costs_no_answer(analyst: Sent, reason: str) -> None:
    """The client gets the answer, and a header that says what was left out, in our own words."""
    async with Upstream() as upstream, served(panel_of(upstream)) as server:
        upstream.reply_to = replying(analyst)
        reply = await server.chat(model="m", mollm={"trace": True})

        assert reply.status == 200
        assert reply.body["choices"][0]["message"]["content"] == "It is so."
        told = reply.headers["x-mollm-degraded"]
        assert told.startswith(f"the proposals were not analyzed: {reason}")
        assert "SECRET" not in told
        assert reply.body["mollm"]["analysis"] is None
        assert "comparison-" not in str(sent_to(upstream, "boss").body)
        if "time there was" in reason:
            await sent_to(upstream, "analyst").closed_early.wait()


@pytest.mark.parametrize("model", ["openai/analyst", "hosted_vllm/analyst"])
async def test_only_servers_that_are_known_to_take_a_schema_are_sent_one(model: str) -> None:
    """Elsewhere a refusal would cost the analysis, and the reply is read as strictly."""
    async with Upstream() as upstream:
        upstream.reply_to = replying(answer(GOOD))
        config = panel_of(upstream)
        config["llms"]["analyst"] |= {"model": model, "api_key": "k"}
        async with MoLLM(config) as mollm:
            found = await mollm.aask("Hello?")

        assert ("response_format" in sent_to(upstream, "analyst").body) is model.startswith("hosted_vllm")
    assert found.analysis


def test_an_llm_given_in_python_is_sent_no_schema() -> None:
    """Nobody knows what it takes, whatever the file says of the one in whose place it stands."""
    llms = {name: ScriptedLLM("from it") for name in ("a", "b", "boss")} | {"analyst": ScriptedLLM(GOOD)}
    config = {
        "llms": {name: {"model": f"hosted_vllm/{name}", "api_base": "http://127.0.0.1:1/v1"} for name in llms},
        "mixtures": {
            "m": {
                "description": "d",
                "workers": ["a", "b"],
                "aggregator": {"llm": "boss", "analysis": {"llm": "analyst"}},
            }
        },
    }
    with MoLLM(config, llms=llms) as mollm:
        assert mollm.ask("Hi").analysis

    assert llms["analyst"].requests[0].settings.response_format is None
