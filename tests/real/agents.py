"""A mixture inside the agents of other packages: whoever hands over to it, its workers are asked.

.ci/run installs the packages; none of them is a dependency of mollm.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.tools import ToolRuntime  # noqa: TC002 - it says what the tool is given
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_supervisor import create_supervisor
from langgraph_supervisor.handoff import create_forward_message_tool
from langgraph_supervisor.handoff import create_handoff_tool as create_task_tool
from langgraph_swarm import create_handoff_tool, create_swarm

from mollm import create_graph
from mollm.llms.scripted import ScriptedLLM
from tests.reference import ROOT
from tests.test_docs import blocks, save_files

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.types import Message

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

QUESTION = {"messages": [HumanMessage("The printer is dead.")]}
CONFIG: dict[str, Any] = {
    "llms": {name: {"model": "scripted/unused"} for name in ("a", "b", "writer")},
    "router": {"kind": "fixed", "fallback": "help"},
    "mixtures": {
        "help": {"description": "d", "workers": ["a", "b"], "aggregator": {"llm": "writer"}},
        "quick": {"description": "d", "workers": ["a"]},
    },
}


class Experts:
    """A mixture and what its LLMs were sent."""

    def __init__(self, name: str = "experts", **options: Any) -> None:
        self.llms = {llm: ScriptedLLM(f"from {llm}") for llm in ("a", "b", "writer")}
        self.graph: Any = create_graph(CONFIG, name=name, llms=self.llms, **options)

    @property
    def asked(self) -> list[int]:
        """How often each was."""
        return [len(llm.requests) for llm in self.llms.values()]

    def sent(self, llm: str = "a", number: int = -1) -> list[Message]:
        """The messages of a request."""
        return list(self.llms[llm].requests[number].messages)


class Model(GenericFakeChatModel):
    """A chat model that follows a script, whatever tools it is given."""

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        """Take them."""
        return self


def model(*replies: str | AIMessage) -> Model:
    """A chat model that says one thing after the other."""
    return Model(messages=iter([AIMessage(reply) if isinstance(reply, str) else reply for reply in replies]))


def calls(*names: str, **args: Any) -> AIMessage:
    """A message that calls tools."""
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"{name}-1"} for name in names])


@tool
def find(what: str) -> str:
    """Find something."""
    return f"{what} is in room 4"


def assert_plain(messages: list[Message]) -> None:
    """No tools, and turns that alternate, the user's first and last."""
    roles = [message["role"] for message in messages if message["role"] != "system"]
    assert not set(roles) - {"user", "assistant"}
    assert all(one != other for one, other in pairwise(roles))
    assert roles[0] == roles[-1] == "user"
    assert not any("tool_calls" in message or "name" in message for message in messages)


def test_the_page_runs(tmp_path: Path) -> None:
    """Every block of docs/agents.md in order, as one program; it asserts that the workers were asked."""
    page = ROOT / "docs" / "agents.md"
    save_files(page, tmp_path)
    program = tmp_path / "program.py"
    program.write_text("\n".join(block.text for block in blocks(page, "python")), "utf-8")

    done = subprocess.run([sys.executable, program], cwd=tmp_path, env=os.environ, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert len(re.findall("^ *assert watch.asked|^assert first.asked", program.read_text("utf-8"), re.MULTILINE)) >= 6


@pytest.mark.parametrize("output_mode", ["last_message", "full_history"])
@pytest.mark.parametrize("adds", [True, False], ids=["hand-over shown", "hand-over hidden"])
async def test_behind_a_supervisor(output_mode: Any, *, adds: bool) -> None:
    """The worker sees the question alone, and the supervisor the answer."""
    experts = Experts()
    built = create_supervisor(
        [experts.graph],
        model=model(calls("transfer_to_experts"), "Done."),
        output_mode=output_mode,
        add_handoff_messages=adds,
    ).compile()

    state = await built.ainvoke(QUESTION)

    assert experts.asked == [1, 1, 1]
    assert experts.sent() == [{"role": "user", "content": "The printer is dead."}]
    assert ("experts", "from writer") in [(m.name, m.content) for m in state["messages"]]


def test_behind_a_supervisor_in_turn_after_turn() -> None:
    """With a checkpointer, other agents with tools, and hand-overs back: a plain conversation every time."""
    experts = Experts()
    other = create_agent(model(calls("find", what="paper"), "Room 4."), tools=[find], name="scout")
    script = model(
        calls("transfer_to_scout"), calls("transfer_to_experts"), "First done.", calls("transfer_to_experts"), "Done."
    )
    built = create_supervisor(
        [experts.graph, other], model=script, output_mode="full_history", supervisor_name="The Boss"
    ).compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}

    built.invoke(QUESTION, thread)
    built.invoke({"messages": [HumanMessage("And the scanner?")]}, thread)

    assert experts.asked == [2, 2, 2]
    first, second = experts.sent(number=0), experts.sent(number=1)
    assert_plain(first)
    assert_plain(second)
    assert "paper is in room 4" in first[-1]["content"]
    assert 'by="scout"' in first[-1]["content"]
    assert "ransfer" not in str(first) + str(second)
    assert second[-1]["content"] == "And the scanner?"


def test_behind_a_supervisor_with_hand_overs_of_its_own() -> None:
    """A hand-over has any name, and comes beside other calls."""
    experts = Experts()
    built = create_supervisor(
        [experts.graph],
        model=model(calls("ask_them", "find", what="paper"), "Done."),
        tools=[
            create_task_tool(agent_name="experts", name="ask_them"),
            find,
            create_forward_message_tool("supervisor"),
        ],
        parallel_tool_calls=True,
    ).compile()

    built.invoke(QUESTION)

    assert experts.asked == [1, 1, 1]
    assert_plain(experts.sent())


async def test_in_a_swarm_there_and_back_again() -> None:
    """Two agents and a mixture, which stays active for the next turn."""
    experts = Experts()
    front = create_agent(
        model(calls("find", what="ink"), calls("transfer_to_experts")),
        tools=[find, create_handoff_tool(agent_name="experts")],
        name="front",
    )
    built = create_swarm([front, experts.graph], default_active_agent="front").compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}

    state = await built.ainvoke(QUESTION, thread)
    await built.ainvoke({"messages": [HumanMessage("Still dead.")]}, thread)

    assert experts.asked == [2, 2, 2]
    assert "ink is in room 4" in experts.sent(number=0)[-1]["content"]
    assert_plain(experts.sent(number=0))
    assert_plain(experts.sent(number=1))
    assert experts.sent(number=1)[-1] == {"role": "user", "content": "Still dead."}
    assert experts.sent(number=1)[-2] == {"role": "assistant", "content": "from writer"}
    assert state["messages"][-1].name == "experts"


@pytest.mark.parametrize("kind", ["function", "as_tool"])
def test_as_a_tool_of_an_agent(kind: str) -> None:
    """Called by an LLM as the tool's own schema says."""
    experts = Experts()

    @tool
    def ask_experts(messages: list[dict[str, str]]) -> str:
        """Ask the experts."""
        return str(experts.graph.invoke({"messages": messages})["messages"][-1].content)

    offered = ask_experts
    if kind == "as_tool":
        with pytest.warns(match="beta"):
            offered = experts.graph.as_tool(name="ask_experts", description="d")
    question = [{"role": "user", "content": "Why?"}]
    agent = create_agent(model(calls("ask_experts", messages=question), "Done."), tools=[offered])

    state = agent.invoke(QUESTION)

    assert experts.asked == [1, 1, 1]
    assert experts.sent() == question
    assert "from writer" in str(state["messages"][-2].content)


async def test_as_a_subagent_that_gets_the_conversation() -> None:
    """With the other tools' results, and with the call that is being answered, as text."""
    experts = Experts()

    @tool
    async def consult(runtime: ToolRuntime) -> str:
        """Ask the experts."""
        state = await experts.graph.ainvoke({"messages": runtime.state["messages"]})
        return str(state["messages"][-1].content)

    script = model(calls("find", what="ink"), calls("consult", "find", what="ink"), "Done.")

    state = await create_agent(script, tools=[consult, find], name="front").ainvoke(QUESTION)

    assert experts.asked == [1, 1, 1]
    assert_plain(experts.sent())
    assert "ink is in room 4" in experts.sent()[-1]["content"]
    assert "from writer" in [message.content for message in state["messages"]]


@pytest.mark.parametrize("mode", ["fresh", "fork"])
async def test_as_a_subagent_of_a_deep_agent(mode: str) -> None:
    """With a task of its own, or with the conversation so far, in which the deep agent used its own tools."""
    experts = Experts()
    subagent: Any = {"name": "experts", "description": "d", "runnable": experts.graph}
    script = model(
        calls("find", what="ink"), calls("task", description="Why is it dead?", subagent_type="experts"), "Done."
    )
    agent = create_deep_agent(
        model=script, tools=[find], subagents=[subagent | ({"mode": "fork"} if mode == "fork" else {})]
    )

    state = await agent.ainvoke(QUESTION)

    assert experts.asked == [1, 1, 1]
    assert_plain(experts.sent())
    assert "Why is it dead?" in experts.sent()[-1]["content"]
    assert ("ink is in room 4" in str(experts.sent())) == (mode == "fork")
    assert state["messages"][-2].content == "from writer"


def test_options_reach_a_mixture_behind_a_supervisor() -> None:
    """In the entry `mollm` of the context, beside what is the supervisor's own."""
    experts = Experts()
    built = create_supervisor([experts.graph], model=model(calls("transfer_to_experts"), "Done.")).compile()

    built.invoke(QUESTION, context={"user_id": "kim", "mollm": {"mixture": "quick"}})

    assert experts.asked == [1, 0, 0]
