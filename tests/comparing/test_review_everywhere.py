"""Reviews with tools, in the graph, behind the server, and in mixtures that are made for a question."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM, create_graph, load_config
from mollm.errors import ConfigError
from mollm.llms.scripted import Reply as Scripted
from mollm.plain import answer_from_plain
from mollm.types import Route
from tests.clock import run_virtual
from tests.comparing.reviewing import Panel, order_of, ranking, read_by
from tests.server.served import config_of, served
from tests.upstream import Upstream, answer, hang, stream

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.types import Message
    from tests.upstream import Received, Reply

BEST = {"aggregator": {"method": "best"}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
ACTS = Scripted(message={"role": "assistant", "content": None, "tool_calls": [CALL]}, finish_reason="tool_calls")
ASKED: list[Message] = [{"role": "user", "content": "Is it cold?"}]
STEP: list[Message] = [
    *ASKED,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "minus seven"},
]
FOR_C = {"a": ranking("from c", "from b"), "b": ranking("from c"), "c": ranking("from b")}


async def test_the_llm_for_tools_reads_the_proposals_in_order_in_every_step_of_a_turn() -> None:
    """The result of a tool brings no second review, and repeats the prompt byte for byte."""
    panel = Panel(says={"boss": ACTS}, **FOR_C)  # type: ignore[arg-type]
    async with MoLLM(panel.config, llms=panel.llms) as mollm:
        first = await mollm.aask(ASKED, tools=[TOOL])
        second = await mollm.aask(STEP, tools=[TOOL])

    one, other = panel.llms["boss"].requests
    assert read_by(one) == [f"from {worker}" for worker in order_of(first)]
    assert order_of(first)[0] == "c"
    assert list(other.messages[:1]) == list(one.messages)
    assert second.reused
    assert second.ranking == first.ranking
    assert not [call for call in second.breakdown if call.role == "reviewer"]
    assert not any(request.settings.tools for llm in "abc" for request in panel.llms[llm].requests)


@pytest.mark.parametrize("mixture", [{}, BEST], ids=["synthesize", "best"])
async def test_the_graph_answers_alike_and_keeps_the_ranking_under_a_strict_checkpointer(mixture: Any) -> None:
    """As plain data, of which no pickle is made."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    panel, again = Panel(mixture, **FOR_C), Panel(mixture, **FOR_C)  # type: ignore[arg-type]
    saver = InMemorySaver(serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None))
    graph = create_graph(panel.config, llms=panel.llms, checkpointer=saver)
    thread: Any = {"configurable": {"thread_id": "t"}}

    result = await graph.ainvoke({"messages": [("user", "Which one?")]}, thread, context={"seed": 1})

    found = answer_from_plain(result["mollm"])
    async with MoLLM(again.config, llms=again.llms) as mollm:
        walked = await mollm.aask("Which one?", seed=1)
    assert found.text == walked.text
    assert found.ranking == walked.ranking
    assert order_of(found)[0] == "c"
    stored = [key async for key in graph.aget_state_history(thread)]
    assert stored


def reviewing(received: Received) -> Reply:
    """An upstream whose reviewers put what model `c` wrote first."""
    body = received.body
    text = body["messages"][-1]["content"]
    if '"ranking"' in text:
        read = re.findall(r"<answer-\w+ number=\d+>\nfrom (\w)", text)
        others = [number for number, name in enumerate(read, 1) if name != "c"]
        first = [[read.index("c") + 1]] if "c" in read else []
        return answer(str({"ranking": [*first, others]}).replace("'", '"'))
    said = f"from {body['model']}"
    return stream(said) if body.get("stream") else answer(said)


@pytest.mark.parametrize("streams", [False, True])
async def test_a_review_works_behind_the_server_over_real_sockets(streams: bool) -> None:
    """Streamed too; vLLM is held to the schema; the answer in full has the ranking."""
    async with Upstream() as upstream:
        upstream.reply_to = reviewing
        base = config_of(upstream)
        llms = {name: {**base["llms"]["a"], "model": f"hosted_vllm/{name}"} for name in "abc"}
        mixture = {"description": "d", "workers": ["a", "b", "c"], "review": {"max_tokens": 50}, **BEST}
        async with served({**base, "llms": llms, "mixtures": {"m": mixture}, "router": {"fallback": "m"}}) as server:
            reply = await server.chat(model="m", stream=streams)

        text = reply.text if streams else reply.body["choices"][0]["message"]["content"]
        assert text == "from c"
        reviews = [r.body for r in upstream.received if '"ranking"' in r.body["messages"][-1]["content"]]
        assert 2 <= len(reviews) <= 3
        assert len(upstream.received) == 3 + len(reviews)
        form = reviews[0]["response_format"]["json_schema"]
        assert (form["strict"], form["schema"]["required"]) == (True, ["ranking"])
        assert reviews[0]["max_tokens"] == 50
        assert "temperature" not in reviews[0], "some LLMs refuse any but their own"


async def test_a_reviewer_that_hangs_on_a_real_socket_is_dropped_when_the_others_have_decided() -> None:
    """Its connection is closed, and nobody waits for it."""
    async with Upstream() as upstream:

        def reply(received: Received) -> Reply:
            is_asked_to_rank = '"ranking"' in received.body["messages"][-1]["content"]
            return hang() if received.body["model"] == "b" and is_asked_to_rank else reviewing(received)

        upstream.reply_to = reply
        llm = {"api_base": upstream.base_url, "retries": 0, "context_window": 8192}
        llms = {name: {**llm, "model": f"hosted_vllm/{name}"} for name in "abcd"}
        mixture = {"description": "d", "workers": ["a", "b", "c", "d"], "review": {}, "widen_after": 0.05, **BEST}
        async with MoLLM({"llms": llms, "mixtures": {"m": mixture}}) as mollm:
            found = await mollm.aask("Which one?", seed=1)

        assert found.text == "from c"
        assert found.ranking is not None
        hung = next(ballot for ballot in found.ranking.ballots if ballot.reviewer == "b")
        assert hung.error is not None
        assert hung.error.kind == "cancelled"
        (dropped,) = [r for r in upstream.received if r.body["model"] == "b" and "ranking" in str(r.body["messages"])]
        async with asyncio.timeout(10):
            await dropped.closed_early.wait()


def test_of_workers_that_are_chosen_those_who_were_chosen_review() -> None:
    """Any of the candidates may; the limits count as many as may be chosen, and with two nobody could review."""
    chooses = {"choose": {"most": 3, "from": ["a", "b", "c", "k"], "by": "router_llm", "llm": "j"}}
    three = Panel({"workers": chooses, **BEST}, says={"j": "a, c, k"}, limits={"calls": 7})
    two = Panel({"workers": chooses, **BEST}, says={"j": "a, c"}, limits={"calls": 7})

    found, few = three.ask(), two.ask()

    assert found.ranking is not None
    assert {ballot.reviewer for ballot in found.ranking.ballots} <= {"a", "c", "k"}
    assert found.degraded == ()
    assert few.ranking is None
    assert not [call for call in few.breakdown if call.role == "reviewer"]
    assert few.degraded == ("the best proposal (a) is the answer",)


def test_two_mixtures_that_answer_together_are_not_reviewed() -> None:
    """Each answers another part of the question, so none can be ranked above another."""
    panel = Panel()
    panel.config["mixtures"]["n"] = {"description": "e", "workers": ["j"]}
    panel.config["router"] = {"fallback": "n"}
    mollm = MoLLM(panel.config, llms=panel.llms, router=lambda _: Route("m", {}, "mine", "both", second="n"))

    found = run_virtual(mollm.aask("Which one?"))

    assert len(found.proposals) == 4
    assert found.ranking is None
    assert found.degraded == ()
    assert [call.role for call in found.breakdown] == ["worker"] * 4 + ["aggregator"]


FILE = """\
llms:
  a: {{model: scripted/a}}
  b: {{model: scripted/b}}
  c: {{model: scripted/c}}
mixtures:
  m:
    description: d
    workers: {workers}
    aggregator: {aggregator}
    review: {review}
"""


@pytest.mark.parametrize(
    ("changes", "line", "said"),
    [
        ({"workers": "[a]"}, 10, r"m.review: has no effect on a single proposal"),
        ({"workers": "[a, b]"}, 10, r"m.review.by: a worker ranks the proposals of others, and there are 2 in all"),
        ({"aggregator": "{method: vote}"}, 10, r"m.review: has no effect where `vote` counts who agrees; `best`"),
        (
            {"review": "{}\n    enough: 2"},
            10,
            r"m.review.by: a worker ranks .*, and there are 2 when `enough` have arrived",
        ),
        ({"review": "{by: [a, b]}\n    enough: 1"}, 10, r"m.review: has no effect on a single proposal"),
        (
            {"aggregator": "{analysis: true}", "review": "\n    enough: 1"},
            9,
            r"m.aggregator.analysis: has no effect on a",
        ),
        ({"review": "{by: [a, x]}"}, 10, r"m.review.by\[1\]: no LLM 'x'"),
        ({"review": "{by: [c, c]}"}, 10, r"m.review.by\[1\]: 'c' stands here twice; a reviewer has one voice"),
        ({"review": "{by: []}"}, 10, r"m.review.by: must be `workers`, or name an LLM at least"),
        ({"review": "{by: c}"}, 10, r"m.review.by: must be `workers`, or a list of LLMs"),
        (
            {"workers": "[a, b]", "review": "{by: [c, a]}"},
            10,
            r"m.review.by\[1\]: 'a' ranks .*: it is never asked",
        ),
        ({"review": "{keep: 2}"}, 10, r"m.review.keep: must be `all`: .* was measured to cost 0.11 to 0.13"),
        ({"aggregator": "{method: best, max_tokens: 9}"}, 9, r"m.aggregator.max_tokens: has no effect where the first"),
        ({"review": "{criteria: [price, ' ']}"}, 10, r"m.review.criteria: a criterion has to say something"),
        (
            {"aggregator": "{analysis: {criteria: ''}}"},
            9,
            r"m.aggregator.analysis.criteria: a criterion has to say something",
        ),
        ({"review": "{most: 2}"}, 10, r"m.review.most: unknown key; allowed: by, criteria, prompt, keep, max_tokens"),
    ],
)
def test_what_has_no_effect_or_cannot_work_is_said_when_the_file_is_read(
    tmp_path: Path, changes: dict[str, str], line: int, said: str
) -> None:
    """With file, line and key."""
    file = tmp_path / "mollm.yaml"
    file.write_text(FILE.format(**{"workers": "[a, b, c]", "aggregator": "{}", "review": "{}", **changes}))

    with pytest.raises(ConfigError, match=rf"mollm\.yaml:{line}: mixtures\.{said}"):
        load_config(file)


@pytest.mark.parametrize(
    ("review", "said"),
    [
        (
            {"criteria": "is short", "prompt": "Rank: {{ proposals }}"},
            r"review.criteria: has no effect: the pro",
        ),
        (
            {"prompt": "Rank: {{ answers }} {{ proposals }}"},
            r"a prompt for the reviewer may use {{ crit",
        ),
        ({"prompt": "Rank them."}, r"the placeholder {{ proposals }} is missing"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_said_before_a_question_is_asked(review: Any, said: str) -> None:
    """As for every other prompt."""
    panel = Panel({"review": review})

    with pytest.raises(ConfigError, match=said):
        MoLLM(panel.config, llms=panel.llms)


def test_a_reviewer_that_reviews_alone_is_no_unused_llm() -> None:
    """It belongs to those that the mixture may call."""
    config = load_config(Panel({"review": {"by": ["j", "k"]}}).config)

    assert config.mixtures["m"].llms == ("a", "b", "c", "boss", "j", "k")


def test_with_grace_more_than_enough_may_be_reviewed() -> None:
    """So it is no setting without effect; `enough` alone would leave no worker two proposals of others."""
    load_config(Panel({"enough": 2, "grace": 1}).config)
    with pytest.raises(ConfigError, match=r"m\.review\.by: a worker ranks"):
        load_config(Panel({"enough": 2}).config)
