"""Facts on which most proposals agree: they stand in the answer, or it says that they do not."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

import mollm
from mollm import MoLLM, load_config
from mollm.aggregation.guarding import LIST_BYTES, NAMED
from mollm.errors import BadRequest, ConfigError, LimitError
from mollm.events import Done, Token, Writing
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.types import Answer, Usage
from tests.clock import run_virtual
from tests.server.served import served
from tests.upstream import Upstream, answer, error, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.llms.scripted import Script
    from tests.upstream import Received
    from tests.upstream import Reply as Upstreams

SAID = "Surveyors found it to be 8,849 m high. Their camp stood in Nepal for some weeks."
POOR = "It is very high."
RICH = "It is 8849 m high and stands in Nepal."
LACKS = "the answer lacks what most proposals say: 8,849, Nepal"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
BROKEN = Reply(error=BadRequest("rejected"))


def configured(aggregator: dict[str, Any] | None = None, **mixture: Any) -> dict[str, Any]:
    """Three workers, an LLM that writes and one in its place."""
    section = {"llm": "boss", "guard": "facts", **(aggregator or {})}
    whole = {"description": "x", "workers": ["a", "b", "c"], "aggregator": section, **mixture}
    llm = {"model": "scripted/x", "retries": 0, "context_window": 100_000}
    llms = dict.fromkeys(("a", "b", "c", "boss", "spare"), llm)
    return {"llms": llms, "mixtures": {"m": whole}}


def scripted(boss: Sequence[Script], spare: Sequence[Script] = (), said: str | Sequence[str] = SAID) -> dict[str, Any]:
    """The LLMs, of which the workers say all the same, or each its own."""
    texts = [said] * 3 if isinstance(said, str) else said
    workers = {name: ScriptedLLM(text) for name, text in zip("abc", texts, strict=True)}
    return {**workers, "boss": ScriptedLLM(list(boss)), "spare": ScriptedLLM(list(spare))}


def asked(
    config: dict[str, Any],
    llms: dict[str, Any],
    question: Any = "How high is it?",
    *,
    streams: bool = False,
    **options: Any,
) -> tuple[Answer, list[Any]]:
    """Ask on a virtual clock; returns the answer and the events."""

    async def run() -> list[Any]:
        asking = MoLLM(config, llms=llms)
        if not streams:
            return [Done(await asking.aask(question, **options))]
        return [event async for event in asking.astream(question, **options)]

    events = run_virtual(run())
    found = events[-1].answer
    if streams:
        shown = "".join(event.text for event in events if isinstance(event, Token))
        assert shown == found.text, "what was shown is the answer"
    return found, events


def test_an_answer_that_lacks_what_most_say_is_written_anew() -> None:
    """The LLM that wrote is shown its answer and what it lacks, once, and the better answer counts."""
    llms = scripted([POOR, RICH])

    found, _ = asked(configured(), llms)

    assert found.text == RICH
    assert found.degraded == ()
    assert [call.role for call in found.breakdown] == ["worker"] * 3 + ["aggregator"] * 2
    told = llms["boss"].requests[1].messages[-1]["content"]
    assert "How high is it?" in told
    assert POOR in told
    assert "- 8,849, in:" in told
    assert "- Nepal, in:" in told


def test_an_answer_that_has_the_facts_costs_no_call() -> None:
    """However it writes them."""
    found, _ = asked(configured(), scripted([RICH]))

    assert (found.text, found.calls, found.degraded) == (RICH, 4, ())


def test_without_the_guard_nobody_looks() -> None:
    """It is off unless it is asked for."""
    config = configured()
    del config["mixtures"]["m"]["aggregator"]["guard"]

    found, _ = asked(config, scripted([POOR]))

    assert (found.text, found.calls, found.degraded) == (POOR, 4, ())


def test_what_was_streamed_is_gone_on_with() -> None:
    """The tokens are out: only what is missing is asked for, and follows after a blank line."""
    llms = scripted([POOR, "  The height is 8,849 m, in Nepal."])

    found, events = asked(configured(), llms, streams=True)

    assert found.text == f"{POOR}\n\nThe height is 8,849 m, in Nepal."
    assert found.message["content"] == found.text
    assert found.degraded == ()
    assert [event.llm for event in events if isinstance(event, Writing)] == ["boss", "boss"]
    assert all(event.delta.get("content", "") == event.text for event in events if isinstance(event, Token))


def test_nothing_is_added_by_an_llm_that_has_nothing_to_add() -> None:
    """An empty reply is fine; the answer says what it lacks, and nothing of a failure."""
    found, _ = asked(configured(), scripted([POOR, ""]), streams=True)

    assert found.text == POOR
    assert found.degraded == (LACKS,)


@pytest.mark.parametrize("streams", [False, True])
def test_a_second_call_that_fails_leaves_the_answer(streams: bool) -> None:
    """Nothing is lost by asking once more."""
    found, _ = asked(configured(), scripted([POOR, BROKEN]), streams=streams)

    assert found.text == POOR
    assert len(found.degraded) == 2
    assert "boss" in found.degraded[0]
    assert found.degraded[1] == LACKS


@pytest.mark.parametrize("streams", [False, True])
def test_a_second_call_that_hangs_leaves_the_answer(streams: bool) -> None:
    """It ends with the time that a question has, and the answer that was there is the answer."""
    config = {**configured(), "limits": {"seconds": 30}}

    found, _ = asked(config, scripted([POOR, Reply(RICH, delay=1e6)]), streams=streams)

    assert found.text == POOR
    assert found.seconds == pytest.approx(30, abs=1)
    assert "boss" in found.degraded[0]
    assert found.degraded[1] == LACKS


def test_what_was_added_before_it_broke_off_is_part_of_the_answer() -> None:
    """It was shown, so it counts; and the answer says that it is not whole."""
    broken = Reply("Its height is 8,849 m in Nepal", error=BadRequest("rejected"), breaks_after=4)

    found, _ = asked(configured(), scripted([POOR, broken]), streams=True)

    assert found.text == f"{POOR}\n\nIts height is 8,849"
    assert "is not whole" in found.degraded[0]
    assert found.degraded[1] == "the answer lacks what most proposals say: Nepal"


def test_what_still_lacks_the_facts_says_so() -> None:
    """The writer is told once; an answer that is no better is not taken, one that is a little better is."""
    same, _ = asked(configured(), scripted([POOR, "Still very high."]))
    better, _ = asked(configured(), scripted([POOR, "It stands in Nepal."]))

    assert (same.text, same.degraded) == (POOR, (LACKS,))
    assert better.text == "It stands in Nepal."
    assert better.degraded == ("the answer lacks what most proposals say: 8,849",)
    assert same.calls == better.calls == 5


@pytest.mark.parametrize(
    "worse",
    [
        Reply(RICH, finish_reason="length"),
        Reply(message={"role": "assistant", "content": None, "refusal": "I cannot say."}),
    ],
)
def test_an_answer_anew_that_is_cut_off_or_refused_is_not_taken(worse: Reply) -> None:
    """The first one was whole."""
    found, _ = asked(configured(), scripted([POOR, worse]))

    assert found.text == POOR
    assert found.degraded[-1] == LACKS
    assert len(found.degraded) == 2


@pytest.mark.parametrize(
    ("first", "options"),
    [
        (Reply(POOR, finish_reason="length"), {"max_tokens": 100}),
        (Reply(message={"role": "assistant", "content": None, "refusal": "I cannot say."}), {}),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
def test_what_is_no_whole_text_is_not_guarded(first: Reply, options: dict[str, Any], streams: bool) -> None:
    """An answer that was cut off, and a refusal, stay as they are."""
    found, _ = asked(configured(), scripted([first]), streams=streams, **options)

    assert found.calls == 4
    assert not any("lacks" in reason for reason in found.degraded)


def test_a_proposal_word_for_word_is_not_guarded() -> None:
    """By vote, and where only one arrived; what vote has written is guarded."""
    votes = ["The answer is 8,849.", "The answer is 8,849.", POOR]
    vote = {"method": "vote"}

    picked, _ = asked(configured(vote), scripted([], said=votes))
    alone, _ = asked(configured(), {**scripted([]), "b": ScriptedLLM(BROKEN), "c": ScriptedLLM(BROKEN)})
    written, _ = asked(configured(vote), scripted([POOR, RICH]))

    assert (picked.text, picked.calls) == (votes[0], 3)
    assert (alone.text, alone.calls) == (SAID, 3)
    assert (written.text, written.calls) == (RICH, 5)


def test_whoever_wrote_is_told() -> None:
    """Where the fallback LLM wrote the answer, it is the one that writes it anew."""
    found, _ = asked(configured({"fallback_llm": "spare"}), scripted([BROKEN], [POOR, RICH]))

    assert found.text == RICH
    assert [(call.role, call.llm) for call in found.breakdown[3:]] == [
        ("aggregator", "boss"), ("fallback", "spare"), ("aggregator", "spare"),
    ]  # fmt: skip


def test_facts_that_the_question_has_are_not_demanded() -> None:
    """They are no news."""
    found, _ = asked(configured(), scripted([POOR]), "Is it 8849 m high, and in Nepal?")

    assert (found.text, found.degraded) == (POOR, ())


def test_json_that_was_streamed_is_not_gone_on_with() -> None:
    """Nothing can follow on it: the answer says what it lacks. Unstreamed it is written anew, in the format."""
    form = {"type": "json_object"}
    poor, rich = json.dumps({"is": POOR}), json.dumps({"is": RICH})

    streamed, _ = asked(configured(), scripted([poor]), streams=True, response_format=form)
    whole, _ = asked(configured(), scripted([poor, rich]), response_format=form)
    prose, _ = asked(configured(), scripted([poor, RICH]), response_format=form)

    assert (streamed.text, streamed.degraded) == (poor, (LACKS,))
    assert (whole.text, whole.degraded) == (rich, ())
    assert prose.text == poor, "an answer anew that is not in the format is not taken"


def test_what_is_added_keeps_to_the_limit_of_the_caller() -> None:
    """Of `max_tokens`, what the answer has left; where that is too little, nothing is asked."""
    used = Reply(POOR, usage=Usage(10, 60, 70))
    llms = scripted([used, "8,849 m, Nepal."])

    found, _ = asked(configured(), llms, streams=True, max_tokens=100)
    too_little, _ = asked(configured(), scripted([used]), streams=True, max_tokens=70)

    assert found.degraded == ()
    assert llms["boss"].requests[1].settings.max_tokens == 40
    assert (too_little.text, too_little.degraded) == (POOR, (LACKS,))


def test_a_list_of_what_is_missing_is_bounded() -> None:
    """However much the proposals agree on, a prompt and an answer say so much of it and no more."""
    said = " ".join(f"Seen by {1000 + n} people." for n in range(400))
    llms = scripted([POOR, POOR], said=said)

    found, _ = asked(configured(), llms)

    (reason,) = found.degraded
    assert f"and {400 - NAMED} more" in reason
    assert len(reason) < 1000
    assert len(llms["boss"].requests[1].messages[-1]["content"]) < LIST_BYTES + 2000


async def test_long_proposals_are_read_beside_the_event_loop() -> None:
    """They are guarded as others are."""
    llms = scripted([POOR, RICH], said=f"{SAID} {'And it is cold. ' * 2000}")

    found = await MoLLM(configured(), llms=llms).aask("How high is it?")

    assert (found.text, found.calls) == (RICH, 5)


def test_with_tools_the_llm_that_acts_is_told() -> None:
    """What it writes is guarded, as the aggregator's; a call of a tool is none, and neither what follows its result."""
    config = configured(tools_llm="spare")
    acting = Reply(message={"role": "assistant", "content": None, "tool_calls": [CALL]}, finish_reason="tool_calls")

    written, _ = asked(config, scripted([], [POOR, RICH]), tools=[TOOL])
    streamed, _ = asked(config, scripted([], [POOR, "8,849 m, in Nepal."]), tools=[TOOL], streams=True)

    assert (written.text, written.degraded) == (RICH, ())
    assert [(call.role, call.llm) for call in written.breakdown[3:]] == [("tools", "spare"), ("aggregator", "spare")]
    assert streamed.text == f"{POOR}\n\n8,849 m, in Nepal."

    llms = scripted([], [acting, POOR])
    assert llms["spare"] is not None

    async def turn() -> tuple[Answer, Answer]:
        asking = MoLLM(config, llms=llms)
        before: list[dict[str, Any]] = [{"role": "user", "content": "How high is it?"}]
        first = await asking.aask(before, tools=[TOOL])
        result = {"role": "tool", "tool_call_id": "c1", "content": "It has sunk."}
        return first, await asking.aask([*before, first.message, result], tools=[TOOL])

    called, after = run_virtual(turn())
    assert called.finish_reason == "tool_calls"
    assert called.calls == 4
    assert after.reused
    assert (after.text, after.calls, after.degraded) == (POOR, 1, ())


def test_the_call_is_counted_before_the_first_one() -> None:
    """The worst case has it, and a limit that it exceeds refuses the question."""
    config = {**configured(), "limits": {"calls": 4}}

    with pytest.raises(LimitError, match=r"3 proposals \+ 2 aggregators"):
        asked(config, scripted([POOR, RICH]))
    found, _ = asked({**configured(), "limits": {"calls": 5}}, scripted([POOR, RICH]))

    assert found.calls == 5


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"aggregator": {"method": "best", "llm": "boss", "guard": "facts"}}, "word for word"),
        ({"aggregator": {"method": "vote", "guard": "facts"}}, "word for word"),
        ({"workers": ["a"]}, "only one proposal"),
        ({"workers": ["a"], "layers": 2}, "only one proposal"),
        ({"enough": 1}, "only one proposal"),
    ],
)
def test_a_guard_that_has_no_effect_is_refused_when_loaded(change: dict[str, Any], why: str) -> None:
    """Where no LLM ever writes from two proposals, there is nothing to guard."""
    with pytest.raises(ConfigError, match=f"mixtures.m.aggregator.guard: has no effect: .*{why}"):
        load_config(configured(**change) if "aggregator" not in change else {**configured(), "mixtures": {"m": {
            "description": "x", "workers": ["a", "b"], **change}}})  # fmt: skip


@pytest.mark.parametrize("streams", [False, True])
async def test_a_graph_guards_as_well(streams: bool) -> None:
    """The state has the whole answer, and the messages that were streamed add up to it."""
    replies = [POOR, "8,849 m, in Nepal."] if streams else [POOR, RICH]
    graph = mollm.create_graph(configured(), llms=scripted(replies))
    question = {"messages": [("user", "How high is it?")]}

    if not streams:
        assert (await graph.ainvoke(question))["messages"][-1].content == RICH
        return
    shown, state = "", dict[str, Any]()
    found: Any
    async for found in graph.astream(question, stream_mode=["messages", "values"]):
        mode, part = found
        if mode == "messages":
            shown += part[0].content
        else:
            state = part
    assert shown == state["messages"][-1].content == f"{POOR}\n\n8,849 m, in Nepal."


def over_sockets(upstream: Upstream) -> dict[str, Any]:
    """The same LLMs, at an address."""
    llm = {"api_base": upstream.base_url, "context_window": 8192, "retries": 0}
    config = configured()
    return {**config, "llms": {name: {**llm, "model": f"hosted_vllm/{name}"} for name in config["llms"]}}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_it_works_over_real_sockets(streams: bool, fails: bool) -> None:
    """A server that is told once and answers, or that fails then: the answer comes in both cases."""
    written: list[Received] = []

    def reply_to(received: Received) -> Upstreams:
        if received.body["model"] != "boss":
            return answer(SAID)
        written.append(received)
        if len(written) == 1:
            return stream("It is ", "very high.") if streams else answer(POOR)
        if fails:
            return error(400, "rejected")
        return stream("8,849 m,", " Nepal.") if streams else answer(RICH)

    async with Upstream() as upstream:
        upstream.reply_to = reply_to
        config = over_sockets(upstream)
        async with MoLLM(config) as asking:
            if streams:
                events = [event async for event in asking.astream("How high is it?")]
                found = events[-1].answer  # type: ignore[union-attr]
                assert "".join(event.text for event in events if isinstance(event, Token)) == found.text
            else:
                found = await asyncio.wait_for(asking.aask("How high is it?"), 10)

    text = POOR if fails else f"{POOR}\n\n8,849 m, Nepal." if streams else RICH
    assert found.text == text
    assert (found.degraded == ()) is not fails
    assert len(written) == 2
    assert written[1].body.get("stream", False) is streams


@pytest.mark.parametrize("streams", [False, True])
async def test_a_server_sends_what_was_added(streams: bool) -> None:
    """The content of the chunks, put together, is the answer with what was added; one role, one end."""
    written = iter([stream(POOR), stream("8,849 m,", " Nepal.")] if streams else [answer(POOR), answer(RICH)])

    def reply_to(received: Received) -> Upstreams:
        return next(written) if received.body["model"] == "boss" else answer(SAID)

    async with Upstream() as upstream:
        upstream.reply_to = reply_to
        async with served({**over_sockets(upstream), "router": {"fallback": "m"}}) as server:
            reply = await server.chat(model="m", stream=streams)

    assert reply.status == 200
    if not streams:
        assert reply.body["choices"][0]["message"]["content"] == RICH
        return
    choices = [event["choices"][0] for event in reply.events if event != "[DONE]" and event.get("choices")]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == f"{POOR}\n\n8,849 m, Nepal."
    assert sum("role" in choice["delta"] for choice in choices) == 1
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
