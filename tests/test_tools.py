"""A mixture keeps working where the caller has tools: who is asked, who has the tools, and what is used again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM, Options, create_graph
from mollm.errors import ContextTooLong, LimitError, ProviderFailed, QuorumError, RequestError
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.messages import text_of
from mollm.plain import answer_from_plain

if TYPE_CHECKING:
    from mollm.types import Answer, Message

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
ACTS = Reply(message={"role": "assistant", "content": None, "tool_calls": [CALL]}, finish_reason="tool_calls")
ASKED: list[Message] = [{"role": "user", "content": "Is it cold in Oslo?"}]
STEP: list[Message] = [
    *ASKED,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "minus seven"},
]
NAMES = ("a", "b", "c", "boss", "spare")


class Stage:
    """A mixture of three and a boss, with scripted LLMs."""

    def __init__(self, mixture: dict[str, Any] | None = None, limits: dict[str, Any] | None = None, **replies: Any):
        said = {"a": "from a", "b": "from b", "c": "from c", "boss": [ACTS, "It is."], "spare": "from spare"} | replies
        self.llms = {name: ScriptedLLM(said[name]) for name in NAMES}
        self.config: dict[str, Any] = {
            "llms": {name: {"model": "x/y", "retries": 0} for name in NAMES},
            "mixtures": {
                "m": {"description": "d", "workers": ["a", "b", "c"], "aggregator": {"llm": "boss"}, **(mixture or {})}
            },
            "limits": limits or {},
        }
        self.mollm = MoLLM(self.config, llms=self.llms)

    @property
    def called(self) -> dict[str, int]:
        """How often each LLM was asked since the last look."""
        found = {name: len(llm.requests) for name, llm in self.llms.items() if llm.requests}
        self.last = {name: list(llm.requests) for name, llm in self.llms.items()}
        for llm in self.llms.values():
            llm.requests.clear()
        return found

    async def ask(self, messages: list[Message], **options: Any) -> Answer:
        """Ask with the tool, unless something else is said."""
        return await self.mollm.aask(messages, **{"tools": [TOOL], **options})


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ([TOOL, len], r"tools\[1\]: must be a dictionary in OpenAI's form; .*`convert_to_openai_tool`"),
        (["weather"], r"tools\[0\]: must be a dictionary"),
        ("weather", "tools: must be a list"),
        (TOOL, "tools: must be a list"),
        (iter([TOOL]), "tools: must be a list"),
    ],
    ids=["function", "name", "text", "one tool", "iterator"],
)
async def test_what_is_no_tool_is_refused_before_anybody_is_asked(tools: Any, said: str) -> None:
    """The LLM for tools could not be sent it, and a proposal would pass for the answer."""
    stage = Stage()

    with pytest.raises(RequestError, match=said):
        await stage.ask(ASKED, tools=tools)

    assert not stage.called


async def test_the_workers_propose_and_one_llm_acts() -> None:
    """Workers are asked without tools; the LLM for tools reads the fenced proposals and returns its call unchanged."""
    stage = Stage()

    answer = await stage.ask(ASKED, temperature=0.5)

    assert stage.called == {"a": 1, "b": 1, "c": 1, "boss": 1}
    assert [stage.last[name][0].settings.tools for name in ("a", "boss")] == [None, [TOOL]]
    assert stage.last["boss"][0].settings.temperature == 0.5
    shown = text_of(stage.last["boss"][0].messages[-1]["content"])
    assert shown.startswith("Is it cold in Oslo?")
    assert all(f"\nfrom {name}\n</answer-" in shown for name in "abc")
    assert answer.message["tool_calls"] == [CALL]
    assert answer.finish_reason == "tool_calls"
    assert (answer.on_tools, answer.reused, answer.degraded) == ("after", False, ())
    assert [call.role for call in answer.breakdown] == ["worker", "worker", "worker", "tools"]
    assert [p.text for p in answer.proposals] == ["from a", "from b", "from c"]


async def test_the_result_of_a_tool_uses_the_proposals_again() -> None:
    """One call for the second step; its prompt repeats the first step's byte for byte, and the exchange follows."""
    stage = Stage()
    await stage.ask(ASKED)
    first = list(stage.llms["boss"].requests[0].messages)
    assert stage.called

    answer = await stage.ask(STEP)

    assert stage.called == {"boss": 1}
    assert list(stage.last["boss"][0].messages) == [*first, *STEP[1:]]
    assert (answer.text, answer.on_tools, answer.reused, answer.calls) == ("It is.", "after", True, 1)
    assert [p.text for p in answer.proposals] == ["from a", "from b", "from c"]


@pytest.mark.parametrize(
    ("messages", "options"),
    [
        (ASKED, {}),
        ([{"role": "system", "content": "New."}, *STEP], {}),
        ([*STEP, {"role": "assistant", "content": "It is."}, {"role": "user", "content": "Sure?"}], {}),
        ([{"role": "user", "content": "Is it cold in Rome?"}, *STEP[1:]], {}),
    ],
    ids=["the same question again", "another system prompt", "the next question", "an edited history"],
)
async def test_what_is_not_found_is_asked_anew(messages: list[Message], options: dict[str, Any]) -> None:
    """Once for each, and never an error; earlier calls and results are shown to the workers as text."""
    stage = Stage()
    await stage.ask(ASKED)
    assert stage.called

    answer = await stage.ask(messages, **options)

    assert stage.called == {"a": 1, "b": 1, "c": 1, "boss": 1}
    assert (answer.on_tools, answer.reused) == ("after", False)
    heard = stage.last["a"][0].messages
    assert {m["role"] for m in heard} <= {"system", "user", "assistant"}
    assert not any("tool_calls" in m for m in heard)
    if len(messages) > 1:
        assert "minus seven" in str(heard)


async def test_a_conversation_without_a_user_is_never_found_again() -> None:
    """Two of them would be taken for the same turn."""
    stage = Stage(boss=lambda _: Reply("It is."))

    assert not (await stage.ask(STEP[1:])).reused
    assert not (await stage.ask(STEP[1:])).reused


async def test_another_owner_does_not_find_them() -> None:
    """Proposals that one key paid for are not shown to another."""
    stage = Stage(boss=lambda _: Reply("It is."))
    found = []
    for messages, owner in ((ASKED, "x"), (STEP, "y"), (STEP, "x")):
        found.append((await stage.mollm.arun(messages, owner=owner, tools=[TOOL])).reused)

    assert found == [False, False, True]


async def test_every_asks_the_workers_before_each_step() -> None:
    """They see the calls so far and their results, as text."""
    stage = Stage({"on_tools": "every"})
    await stage.ask(ASKED)
    assert stage.called

    answer = await stage.ask(STEP)

    assert stage.called == {"a": 1, "b": 1, "c": 1, "boss": 1}
    assert "minus seven" in stage.last["a"][0].messages[-1]["content"]
    assert (answer.on_tools, answer.reused) == ("every", False)


FORCED = (
    "required",
    "any",
    {"type": "function", "function": {"name": "weather"}},
    {"function": {"name": "weather"}},
    {"type": "tool", "name": "weather"},
    {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}},
    {"type": "any"},
)
FREE: tuple[Any, ...] = (
    None,
    "auto",
    {},
    {"type": "auto"},
    {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
)


@pytest.mark.parametrize("choice", FORCED, ids=str)
async def test_a_forced_call_goes_alone(choice: Any) -> None:
    """What structured output of agents asks for are arguments, and no proposal helps with them."""
    stage = Stage()

    answer = await stage.ask(ASKED, tool_choice=choice)

    assert stage.called == {"boss": 1}
    assert list(stage.last["boss"][0].messages) == ASKED
    assert answer.on_tools == "alone"


@pytest.mark.parametrize("choice", FREE, ids=str)
async def test_a_free_choice_is_answered_by_the_mixture(choice: Any) -> None:
    """However `auto` is spelled."""
    stage = Stage()

    assert (await stage.ask(ASKED, tool_choice=choice)).on_tools == "after"
    assert stage.called == {"a": 1, "b": 1, "c": 1, "boss": 1}


async def test_tools_that_must_not_be_called_leave_the_mixture_as_it_is() -> None:
    """With `tool_choice: none` after a question the aggregator answers; after a result the LLM for tools does."""
    stage = Stage(boss="Yes.")

    answer = await stage.ask(ASKED, tool_choice="none")

    assert (answer.on_tools, [c.role for c in answer.breakdown][-1]) == (None, "aggregator")
    assert (await stage.ask(STEP, tool_choice="none")).on_tools == "after"


@pytest.mark.parametrize("more", [{"n": 2}, {"logprobs": True}], ids=["n", "logprobs"])
async def test_several_answers_and_log_probabilities_need_one_llm(more: dict[str, Any]) -> None:
    """With tools that is the LLM for tools, alone."""
    stage = Stage(boss=lambda _: ACTS)

    assert (await stage.ask(ASKED, **more)).on_tools == "alone"
    assert set(stage.called) == {"boss"}
    with pytest.raises(RequestError, match="single LLM"):
        await stage.ask(ASKED, tools=None, **more)


async def test_a_single_worker_keeps_its_persona_with_tools() -> None:
    """A mixture of one acts itself, as the expert that it is."""
    worker = {"llm": "a", "system": "You know Oslo.", "temperature": 0.1}
    stage = Stage({"workers": [worker], "aggregator": {}}, a=ACTS)

    answer = await stage.ask(ASKED)

    (request,) = stage.llms["a"].requests
    assert request.messages[0] == {"role": "system", "content": "You know Oslo."}
    assert (request.settings.temperature, request.settings.tools) == (0.1, [TOOL])
    assert answer.on_tools == "alone"


async def test_a_single_worker_may_propose_to_another_llm() -> None:
    """`on_tools: after` holds for one worker as well."""
    stage = Stage({"workers": ["a"], "aggregator": {}, "on_tools": "after", "tools_llm": "boss"})

    answer = await stage.ask(ASKED)

    assert stage.called == {"a": 1, "boss": 1}
    assert answer.message["tool_calls"] == [CALL]


async def test_agreement_still_lets_the_llm_act() -> None:
    """Workers who agree are not asked further, and a tool may be needed all the same."""
    stage = Stage({"ask_first": 2, "agree": 2}, a="The answer is 4.", b="The answer is 4.")

    answer = await stage.ask(ASKED)

    assert stage.called == {"a": 1, "b": 1, "boss": 1}
    assert answer.message["tool_calls"] == [CALL]


async def test_the_fallback_acts_where_the_llm_for_tools_fails() -> None:
    """With the same tools and proposals."""
    stage = Stage({"aggregator": {"llm": "boss", "fallback_llm": "spare"}}, boss=ProviderFailed("down"), spare=ACTS)

    answer = await stage.ask(ASKED)

    assert answer.message["tool_calls"] == [CALL]
    assert "the LLM for tools boss: down" in answer.degraded[0]
    assert stage.llms["spare"].requests[0].settings.tools == [TOOL]


async def test_without_any_llm_for_tools_the_best_proposal_answers_a_question() -> None:
    """And says so; a result that a tool brought is known to no proposal, so then the question fails."""
    stage = Stage(boss=lambda _: Reply(error=ProviderFailed("down")))

    answer = await stage.ask(ASKED)

    assert answer.text == "from a"
    assert answer.degraded == ("the LLM for tools boss: down", "the best proposal (a) is the answer")
    with pytest.raises(ProviderFailed, match="down"):
        await stage.ask(STEP)


async def test_too_few_proposals_are_an_error_as_without_tools() -> None:
    """A mixture below its quorum is no mixture."""
    stage = Stage({"quorum": 2}, a=ProviderFailed("x"), b=ProviderFailed("y"))

    with pytest.raises(QuorumError):
        await stage.ask(ASKED)


async def test_limits_count_the_workers_until_the_proposals_are_found() -> None:
    """Four calls at worst for a step whose proposals are not kept, one for a step whose are."""
    stage, refused = Stage(limits={"calls": 4}), Stage(limits={"calls": 3})
    await stage.ask(ASKED)

    with pytest.raises(LimitError, match="3 proposals \\+ 1 tools"):
        await refused.ask(STEP)
    assert refused.called == {}
    await stage.mollm.ause({**stage.config, "limits": {"calls": 1}})
    assert (await stage.ask(STEP)).reused
    await stage.mollm.ause({**stage.config, "limits": {"output_tokens": 10}})
    with pytest.raises(LimitError, match="1024 output tokens at worst \\(1 tools\\)"):
        await stage.ask(STEP)


async def test_a_long_history_goes_on_without_the_proposals() -> None:
    """Where the window has no room for them, the LLM for tools acts alone, and the answer says so."""
    stage = Stage()
    stage.config["llms"]["boss"] |= {"context_window": 1100, "max_tokens": 1000}
    await stage.mollm.ause(stage.config)

    answer = await stage.ask([{"role": "user", "content": "Is it cold? " * 40}])

    assert answer.message["tool_calls"] == [CALL]
    assert "leaves no room for proposals in the window of boss" in answer.degraded[0]


async def test_a_window_that_nobody_knows_has_room_for_the_tools() -> None:
    """Whoever offers so many knows that they fit, so the proposals are shown beside them."""
    stage = Stage()
    many = [{**TOOL, "function": {**TOOL["function"], "description": "x" * 900}} for _ in range(40)]  # type: ignore[dict-item]

    answer = await stage.ask(ASKED, tools=many)

    assert "from a" in stage.llms["boss"].requests[0].messages[-1]["content"]
    assert answer.degraded == ()


async def test_two_layers_come_before_the_act() -> None:
    """The second layer reads the first, and the LLM for tools the second."""
    stage = Stage({"layers": 2})

    await stage.ask(ASKED)

    assert stage.called == {"a": 2, "b": 2, "c": 2, "boss": 1}
    assert (await stage.ask(STEP)).reused


async def test_a_stream_shows_the_call_of_the_tool_as_it_comes() -> None:
    """Routed says what is done with the tools before anybody is asked."""
    stage = Stage()

    events = [event async for event in stage.mollm.astream(ASKED, tools=[TOOL])]

    assert type(events[0]).__name__ == "Routed"
    assert (events[0].on_tools, events[0].reused) == ("after", False)  # type: ignore[union-attr]
    tokens = [event for event in events if type(event).__name__ == "Token"]
    assert [token.delta.get("tool_calls") for token in tokens if token.delta.get("tool_calls")]  # type: ignore[union-attr]


@pytest.mark.parametrize("is_kept", [True, False], ids=["with a checkpointer", "without"])
async def test_a_graph_uses_the_proposals_again(is_kept: bool) -> None:
    """In the state of its thread, also in another process; without a checkpointer, in memory."""
    from langchain_core.messages import ToolMessage
    from langgraph.checkpoint.memory import InMemorySaver

    saver = InMemorySaver() if is_kept else None
    stages = [Stage(), Stage(boss="It is.")] if is_kept else [Stage()] * 2
    thread: Any = {"configurable": {"thread_id": "1"}} if is_kept else {}
    options = Options(tools=[TOOL])
    graph = create_graph(stages[0].config, llms=stages[0].llms, checkpointer=saver)
    first = await graph.ainvoke({"messages": [("user", "Is it cold?")]}, thread, context=options)
    assert stages[0].called
    result = ToolMessage("minus seven", tool_call_id="c1", name="weather")
    if is_kept:
        graph = create_graph(stages[1].config, llms=stages[1].llms, checkpointer=saver)
    messages = [result] if is_kept else [*first["messages"], result]

    found = await graph.ainvoke({"messages": messages}, thread, context=options)

    assert stages[1].called == {"boss": 1}
    answer = answer_from_plain(found["mollm"])
    assert (answer.text, answer.reused) == ("It is.", True)


LONG: list[Message] = [*STEP[:2], {**STEP[2], "content": "minus seven " * 3000}]


async def test_a_worker_reads_as_much_of_the_results_as_its_window_holds() -> None:
    """One with a small window reads them shortened, and the answer says so; the others read all of them."""
    stage = Stage(boss="It is.")
    stage.config["llms"]["a"] |= {"context_window": 4000, "max_tokens": 1000}
    stage.config["llms"]["boss"] |= {"context_window": 65_536}
    await stage.mollm.ause(stage.config)

    answer = await stage.ask(LONG)

    heard = {name: len(str(stage.llms[name].requests[0].messages)) for name in "abc"}
    assert 5000 < heard["a"] < 9000
    assert heard["b"] == heard["c"] > 36_000
    assert stage.llms["boss"].requests[0].messages[-1] == LONG[-1]
    assert answer.degraded == ("what tools brought was shortened to fit the window of a",)


async def test_later_layers_read_the_results_beside_the_proposals() -> None:
    """Both are shown to them, although the results alone would fill the window."""
    stage = Stage({"layers": 2}, boss="It is.")
    for name in "abc":
        stage.config["llms"][name] |= {"context_window": 4000, "max_tokens": 1000}
    stage.config["llms"]["boss"] |= {"context_window": 65_536}
    await stage.mollm.ause(stage.config)

    answer = await stage.ask(LONG)

    later = str(stage.llms["b"].requests[1].messages)
    assert "minus seven" in later
    assert all(f"from {name}" in later for name in "abc")
    assert len(later) < 9000
    assert answer.degraded == ("what tools brought was shortened to fit the window of a, b, c",)


TOO_LONG = ContextTooLong("the messages do not fit")


async def test_a_conversation_that_is_too_long_for_every_worker_is_no_end() -> None:
    """It grows with what tools bring, and whoever has the tools can go on; the answer says that it is alone."""
    stage = Stage(
        a=lambda _: Reply(error=TOO_LONG), b=lambda _: Reply(error=TOO_LONG), c=lambda _: Reply(error=TOO_LONG)
    )

    answer = await stage.ask(STEP)

    assert answer.message["tool_calls"] == [CALL]
    assert list(stage.llms["boss"].requests[0].messages) == STEP
    assert answer.degraded == ("the conversation is too long for every worker",)
    assert [p.error.kind for p in answer.proposals if p.error] == ["context_too_long"] * 3
    assert not (await stage.ask(STEP)).reused


@pytest.mark.parametrize("mixture", [{"quorum": 2}, {"on_tools": "after"}], ids=["a quorum that was set", "an outage"])
async def test_other_failures_of_all_workers_are_an_error(mixture: dict[str, Any]) -> None:
    """Whoever asks for two proposals is not given an answer without any, and an outage passes."""
    last = TOO_LONG if "quorum" in mixture else ProviderFailed("down")
    stage = Stage(mixture, a=TOO_LONG, b=TOO_LONG, c=last)

    with pytest.raises(QuorumError):
        await stage.ask(ASKED)


async def test_without_proposals_a_failing_llm_for_tools_fails() -> None:
    """There is nothing that could take the place of its answer."""
    stage = Stage(a=TOO_LONG, b=TOO_LONG, c=TOO_LONG, boss=ProviderFailed("down"))

    with pytest.raises(ProviderFailed, match="down"):
        await stage.ask(ASKED)


async def test_a_router_that_asks_an_llm_counts_what_is_kept() -> None:
    """Before it is asked, limits count the writer alone for a mixture whose proposals are still there."""
    stage = Stage(spare=lambda _: Reply("m"))
    stage.config["mixtures"]["other"] = {"description": "Other.", "workers": ["a", "b"]}
    stage.config["router"] = {"kind": "llm", "llm": "spare", "fallback": "m"}
    await stage.mollm.ause(stage.config)
    await stage.ask(ASKED)
    await stage.mollm.ause({**stage.config, "limits": {"calls": 2}})
    assert stage.called

    answer = await stage.ask(STEP)

    assert stage.called == {"spare": 1, "boss": 1}
    assert answer.reused
    with pytest.raises(LimitError):
        await stage.ask(ASKED)
    assert stage.called == {}


CUT = Reply("It is c", finish_reason="length")


async def test_an_llm_for_tools_that_is_cut_off_is_replaced() -> None:
    """By the fallback; without one what there is is the answer, and says so."""
    with_spare = Stage({"aggregator": {"llm": "boss", "fallback_llm": "spare"}}, boss=CUT, spare=ACTS)
    failing = Stage({"aggregator": {"llm": "boss", "fallback_llm": "spare"}}, boss=CUT, spare=ProviderFailed("down"))
    alone, asked_for = Stage(boss=CUT), Stage(boss=CUT)
    why = "the LLM for tools boss was cut off by its token limit"

    answers = [await stage.ask(STEP) for stage in (with_spare, failing, alone)]

    assert [answer.degraded for answer in answers] == [(why,), (why, "the LLM for tools spare: down"), (why,)]
    assert answers[0].message["tool_calls"] == [CALL]
    assert [(answer.text, answer.finish_reason) for answer in answers[1:]] == [("It is c", "length")] * 2
    assert (await asked_for.ask(STEP, max_tokens=3)).degraded == ()


@pytest.mark.parametrize("choice", ["none", "None", {"type": "none"}], ids=str)
async def test_no_call_is_no_call_however_it_is_spelled(choice: Any) -> None:
    """Providers write it in two ways."""
    stage = Stage(boss="Yes.")

    assert (await stage.ask(ASKED, tool_choice=choice)).on_tools is None


@pytest.mark.parametrize("tools", [[], None], ids=["an empty list", "none"])
async def test_without_tools_no_field_of_tools_is_sent(tools: Any) -> None:
    """Providers refuse an empty list, and a choice where there is nothing to choose."""
    stage = Stage(boss="It is.")

    answer = await stage.ask(STEP, tools=tools, tool_choice="required")

    assert stage.called == {"a": 1, "b": 1, "c": 1, "boss": 1}
    assert answer.on_tools == "after"
    assert stage.last["boss"][0].settings.payload().keys().isdisjoint({"tools", "tool_choice"})


REMINDER: Message = {"role": "system", "content": "Remember to be brief."}


async def test_a_reminder_behind_the_question_is_no_result() -> None:
    """The same question is asked anew, and a proposal may still be the answer."""
    stage = Stage(boss=lambda _: Reply(error=ProviderFailed("down")))

    answers = [await stage.ask([*ASKED, REMINDER]) for _ in range(2)]

    assert [(answer.reused, answer.text) for answer in answers] == [(False, "from a")] * 2


async def test_layers_that_were_not_all_asked_are_not_used_again() -> None:
    """A thread that was stopped between two layers asks them all for its next request."""
    from langchain_core.messages import AIMessage, ToolMessage
    from langgraph.checkpoint.memory import InMemorySaver

    stage = Stage({"layers": 2}, boss=lambda _: Reply("It is."))
    graph = create_graph(stage.config, llms=stage.llms, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    options = Options(tools=[TOOL])
    calls = [{"name": "weather", "args": {"city": "Oslo"}, "id": "c1"}]
    step = [
        ("user", "Is it cold?"),
        AIMessage("", tool_calls=calls, id="1"),
        ToolMessage("minus seven", tool_call_id="c1", id="2"),
    ]
    steps = graph.astream({"messages": step}, thread, context=options, stream_mode="updates")
    async for update in steps:
        if "propose" in update:
            break
    await steps.aclose()  # type: ignore[attr-defined]
    assert stage.called == {"a": 1, "b": 1, "c": 1}

    found = await graph.ainvoke({"messages": [step[2]]}, thread, context=options)

    assert stage.called == {"a": 2, "b": 2, "c": 2, "boss": 1}
    assert not answer_from_plain(found["mollm"]).reused


async def test_a_graph_inside_another_uses_the_proposals_again() -> None:
    """Its state begins anew each time, and its memory stays."""
    from langchain_core.messages import ToolMessage
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph

    stage = Stage()
    builder: Any = StateGraph(MessagesState, context_schema=dict)
    builder.add_node("expert", create_graph(stage.config, llms=stage.llms))
    builder.add_edge(START, "expert")
    graph = builder.compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    context: Any = {"mollm": Options(tools=[TOOL])}
    await graph.ainvoke({"messages": [("user", "Is it cold?")]}, thread, context=context)
    assert stage.called == {"a": 1, "b": 1, "c": 1, "boss": 1}

    found = await graph.ainvoke({"messages": [ToolMessage("minus seven", tool_call_id="c1")]}, thread, context=context)

    assert stage.called == {"boss": 1}
    assert found["messages"][-1].content == "It is."


def test_a_reason_that_two_calls_have_in_common_is_said_once() -> None:
    """The fallback may be the same LLM, and be cut off as well."""
    config: dict[str, Any] = {
        "llms": {name: {"model": "scripted/x", "retries": 0} for name in "abc"},
        "mixtures": {
            "m": {"description": "d", "workers": ["a", "b"], "aggregator": {"llm": "c", "fallback_llm": "c"}},
        },
    }
    llms = {"a": ScriptedLLM("1"), "b": ScriptedLLM("2"), "c": ScriptedLLM(Reply("3", finish_reason="length"))}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    with MoLLM(config, llms=llms) as mollm:
        answer = mollm.ask("Hm?", tools=tools)
    assert len(llms["c"].requests) == 2
    assert answer.degraded == ("the LLM for tools c was cut off by its token limit",)
