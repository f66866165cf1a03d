"""A mixture as a tool of a LangChain agent."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mollm
from mollm.errors import ConfigError, ProviderFailed, RequestError, UnknownMixture
from mollm.langchain import LONGEST_DESCRIPTION, TOOL_NAME, description_of
from mollm.llms.scripted import ScriptedLLM
from mollm.plain import answer_from_plain
from mollm.types import Answer
from tests.fuzz import cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_core.messages import BaseMessage
    from langchain_core.tools import BaseTool

# LangChain's `create_agent` has taken its place, in a package that is no dependency of mollm.
pytestmark = pytest.mark.filterwarnings("ignore:create_react_agent has been moved")

CONFIG: dict[str, Any] = {
    "llms": {
        "a": {"model": "scripted/Restart it."},
        "b": {"model": "scripted/Check the cable.", "description": "Knows cables."},
        "boss": {"model": "scripted/Check the cable, then restart it."},
    },
    "router": {"fallback": "quick"},
    "mixtures": {
        "council": {
            "description": "Hard questions, of which several should think.",
            "workers": ["a", "b"],
            "aggregator": {"llm": "boss"},
        },
        "quick": {"description": "One short answer.", "workers": ["a"]},
    },
}


@pytest.fixture
def asked() -> Iterator[mollm.MoLLM]:
    """What the tools are of."""
    with mollm.MoLLM(CONFIG) as found:
        yield found


def call(tool: BaseTool, **args: Any) -> dict[str, Any]:
    """The call of a tool, as a chat model makes it."""
    return {"name": tool.name, "args": args, "id": "c1", "type": "tool_call"}


def agent(tool: BaseTool, *turns: Callable[[list[BaseMessage]], BaseMessage], **options: Any) -> Any:
    """LangGraph's ReAct agent, whose model follows a script: what it says to the conversation, one after the other."""
    from langgraph.prebuilt import create_react_agent

    from tests.llms.chat_models import Deciding

    return create_react_agent(Deciding(turns=[*turns]), [tool], **options)


def asks(tool: BaseTool) -> Callable[[list[BaseMessage]], BaseMessage]:
    """The model asks the tool what the user has asked."""
    from langchain_core.messages import AIMessage

    return lambda messages: AIMessage("", tool_calls=[call(tool, question=messages[-1].text)])


def says(text: str) -> Callable[[list[BaseMessage]], BaseMessage]:
    """The model answers: `text`, and what came before."""
    from langchain_core.messages import AIMessage

    return lambda messages: AIMessage(f"{text} {messages[-1].text}")


# What the tool is


def test_it_is_named_and_described_as_the_mixture(asked: mollm.MoLLM) -> None:
    """With one argument, which says that nothing else is passed on."""
    tool = asked.as_tool("council")

    assert (tool.name, tool.description) == ("council", CONFIG["mixtures"]["council"]["description"])
    assert list(tool.args) == ["question"]
    assert "nothing else is passed on" in tool.args["question"]["description"]


def test_an_llm_and_the_router_are_tools_too(asked: mollm.MoLLM) -> None:
    """The router's says which mixtures there are, so that the agent knows what it can ask."""
    assert asked.as_tool("b").description == "Knows cables."
    assert asked.as_tool("a").description == "scripted/Restart it., alone."
    auto = asked.as_tool()
    assert auto.name == "auto"
    assert auto.description == (
        "Answers a question with whoever suits it. There are council: Hard questions, of which several should think.; "
        "quick: One short answer."
    )
    assert auto.invoke({"question": "Why?"}) == "Restart it."


def test_a_provider_is_sent_what_it_takes(asked: mollm.MoLLM) -> None:
    """The schema of the call is that of OpenAI: one string, which is required."""
    from langchain_core.utils.function_calling import convert_to_openai_tool

    sent = convert_to_openai_tool(asked.as_tool("council"))["function"]

    assert (sent["name"], sent["parameters"]["required"]) == ("council", ["question"])
    assert sent["parameters"]["properties"]["question"]["type"] == "string"


def test_what_does_not_exist_is_refused_when_the_tool_is_made(asked: mollm.MoLLM) -> None:
    """And not when an agent calls it."""
    with pytest.raises(UnknownMixture, match="did you mean 'council'"):
        asked.as_tool("counsil")
    with pytest.raises(UnknownMixture, match="no mixture and no LLM 'panel'"):
        asked.as_tool("panel")


@settings(max_examples=cases(30))
@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:@~+=-]{0,80}(/[A-Za-z0-9_][A-Za-z0-9_.:@~+=-]{0,20})?", fullmatch=True))
def test_every_name_of_a_mixture_becomes_one_that_providers_take(name: str) -> None:
    """Characters that they refuse become `_`, and what is too long is cut."""
    config = {**CONFIG, "router": {"fallback": "m"}, "mixtures": {"m": CONFIG["mixtures"]["quick"]}}
    if name not in {"m", "auto", "router", *CONFIG["llms"]}:
        config["mixtures"][name] = CONFIG["mixtures"]["quick"]
    with mollm.MoLLM(config) as found:
        tool = found.as_tool(name)

    assert TOOL_NAME.fullmatch(tool.name)
    assert not TOOL_NAME.fullmatch(name) or tool.name == name


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ä", "a/b", "a\n"])
def test_a_name_that_providers_refuse_is_refused_here(asked: mollm.MoLLM, name: str) -> None:
    """Before an agent is built on it."""
    with pytest.raises(RequestError, match="the name of a tool is 1 to 64 letters"):
        asked.as_tool("council", tool_name=name)


def test_a_name_of_ones_own_tells_two_apart(asked: mollm.MoLLM) -> None:
    """Where two mixtures would have one name, or the agent is to read another."""
    assert asked.as_tool("council", tool_name="ask_the-council").name == "ask_the-council"


def test_a_description_is_not_longer_than_providers_take() -> None:
    """However many mixtures there are, each is named."""
    many = {f"m{number}": {"description": "Long. " * 100, "workers": ["a"]} for number in range(20)}
    with mollm.MoLLM({**CONFIG, "router": {"fallback": "m0"}, "mixtures": many}) as found:
        described = description_of(found.config, "auto")
        assert len(description_of(found.config, "m1")) <= LONGEST_DESCRIPTION

    assert len(described) <= LONGEST_DESCRIPTION
    assert all(f"m{number}: Long." in described for number in range(20))


# What it does


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "blocking"])
def test_it_returns_the_text_and_the_answer(asked: mollm.MoLLM, *, is_async: bool) -> None:
    """The model reads the text; a program finds the whole answer beside it."""
    tool = asked.as_tool("council")
    given = call(tool, question="The printer is dead.")

    message = asyncio.run(tool.ainvoke(given)) if is_async else tool.invoke(given)

    assert message.content == "Check the cable, then restart it."
    assert isinstance(message.artifact, Answer)
    assert [proposal.text for proposal in message.artifact.proposals] == ["Restart it.", "Check the cable."]
    assert message.artifact.mixture == "council"


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "blocking"])
def test_an_agent_decides_whether_a_question_is_worth_a_panel(*, is_async: bool) -> None:
    """Nobody is asked where it answers by itself."""
    llms = {name: ScriptedLLM(f"from {name}") for name in CONFIG["llms"]}
    with mollm.MoLLM(CONFIG, llms=llms) as asked:
        tool = asked.as_tool("council")

        def run(*turns: Any) -> str:
            built, question = agent(tool, *turns), {"messages": [("user", "Why is it dead?")]}
            state = asyncio.run(built.ainvoke(question)) if is_async else built.invoke(question)
            return str(state["messages"][-1].text)

        assert run(says("I know:")) == "I know: Why is it dead?"
        assert [len(llm.requests) for llm in llms.values()] == [0, 0, 0]

        assert run(asks(tool), says("The panel says:")) == "The panel says: from boss"
        assert [len(llm.requests) for llm in llms.values()] == [1, 1, 1]
        assert llms["a"].requests[0].messages == [{"role": "user", "content": "Why is it dead?"}]


def test_a_thread_keeps_the_answer_as_plain_data(asked: mollm.MoLLM) -> None:
    """A checkpointer stores no objects of ours; the same function as for the graph's `mollm` brings the answer back."""
    from langgraph.checkpoint.memory import InMemorySaver

    tool = asked.as_tool("council")
    built = agent(tool, asks(tool), says("So:"), checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}

    built.invoke({"messages": [("user", "Why?")]}, thread)

    kept = built.get_state(thread).values["messages"][-2].artifact
    assert answer_from_plain(kept).text == "Check the cable, then restart it."


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "blocking"])
def test_callbacks_of_the_agent_hear_every_call(asked: mollm.MoLLM, *, is_async: bool) -> None:
    """As when the graph is nested: the tool, inside it the nodes, and inside them the calls."""
    from langchain_core.callbacks import BaseCallbackHandler

    heard: list[str] = []

    class Handler(BaseCallbackHandler):
        def on_tool_start(self, serialized: Any, *_: Any, **__: Any) -> None:
            heard.append(f"tool {serialized['name']}")

        def on_chat_model_start(self, serialized: Any, *_: Any, **__: Any) -> None:
            heard.append(f"llm {serialized['name']}")

        def on_chain_start(self, *_: Any, name: str = "", **__: Any) -> None:
            heard.append(f"node {name}")

    tool, handler = asked.as_tool("council"), Handler()
    if is_async:
        asyncio.run(tool.ainvoke({"question": "Why?"}, {"callbacks": [handler]}))
    else:
        tool.invoke({"question": "Why?"}, {"callbacks": [handler]})

    assert heard[0] == "tool council"
    assert [name for name in heard if name.startswith("llm")] == ["llm a", "llm b", "llm boss"]
    assert {"node route", "node propose", "node aggregate"} <= {*heard}


# What goes wrong


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "blocking"])
def test_a_run_that_fails_is_a_tool_error_that_says_why(*, is_async: bool) -> None:
    """The agent reads it and goes on; nothing that a provider said is in it."""
    llms = {name: ScriptedLLM(ProviderFailed("HTTP 500", status=500, said="key sk-1")) for name in CONFIG["llms"]}
    config = {**CONFIG, "llms": {name: {**llm, "retries": 0} for name, llm in CONFIG["llms"].items()}}
    with mollm.MoLLM(config, llms=llms) as asked:
        tool = asked.as_tool("council")
        given = call(tool, question="Why?")

        message = asyncio.run(tool.ainvoke(given)) if is_async else tool.invoke(given)
        state = agent(tool, asks(tool), says("Sorry:")).invoke({"messages": [("user", "Why?")]})

    assert message.status == "error"
    assert message.content.startswith("council did not answer: mixture 'council': every worker failed\n  a: HTTP 500")
    assert message.artifact is None
    assert "sk-1" not in message.content
    assert state["messages"][-1].text.startswith("Sorry: council did not answer")


def test_a_question_that_is_none_is_a_tool_error(asked: mollm.MoLLM) -> None:
    """Models make such calls."""
    tool = asked.as_tool("council")

    assert tool.invoke(call(tool, question=" ")).content == "council did not answer: the question is empty"


def test_a_mixture_that_has_gone_is_a_tool_error(asked: mollm.MoLLM) -> None:
    """Another configuration may be in force by the time of the call."""
    tool = asked.as_tool("council")
    asked.use({**CONFIG, "mixtures": {"quick": CONFIG["mixtures"]["quick"]}})

    assert "no mixture and no LLM 'council'" in tool.invoke(call(tool, question="Why?")).content


def test_what_the_configuration_lacks_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """It names files and variables, which are the operator's, and the agent's model may be anybody's."""

    class Lacking:
        kind = "lacking"

        async def route(self, *_: Any) -> Any:
            raise ConfigError("/home/kim/mollm.yaml:7: the environment variable KIM is not set")

    with mollm.MoLLM(CONFIG, router=Lacking()) as asked, caplog.at_level(logging.ERROR, "mollm"):
        tool = asked.as_tool()
        message = tool.invoke(call(tool, question="Why?"))

    assert (message.status, message.content) == ("error", "auto cannot be asked: its configuration is not complete")
    assert "/home/kim/mollm.yaml:7" in caplog.text


def test_a_bug_is_no_tool_error() -> None:
    """It ends the agent with its traceback, since nobody else would see it."""

    class Broken:
        kind = "broken"

        async def route(self, *_: Any) -> Any:
            raise ZeroDivisionError("a bug")

    with mollm.MoLLM(CONFIG, router=Broken()) as asked, pytest.raises(ZeroDivisionError):
        asked.as_tool().invoke({"question": "Why?"})
