"""What an answer says of its certainty survives a larger agent: its checkpoints, its interrupts and its streams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import mollm
from mollm import MoLLM
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.plain import answer_from_plain, to_plain
from tests.calibrations import written
from tests.vectors import by_storm

if TYPE_CHECKING:
    from pathlib import Path

FOUR, FIVE = "The answer is 4.", "The answer is 5."
SHIP = "The ship sank in the storm, and all of its crew were saved by fishermen."
BOAT = "A storm sank the boat; fishermen rescued everybody who was on board of it."
BREAD = "Bread needs flour, water, salt and some hours in which it can rise."
LIKELY = Reply(FOUR, logprobs={"content": [{"token": "4", "logprob": -0.5}]})
VOTE: dict[str, Any] = {"aggregator": {"method": "vote"}}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sure": ({"ask_first": 1, "agree": 0.75}, {}),
    "kept": ({"aggregator": {"llm": "boss", "keep_above": 0.7}}, {"boss": "The answer is 7."}),
    "majority": ({"ask_first": 2, "agree": "majority"}, {"b": FIVE}),
    "alike": ({"alike": 0.9, **VOTE}, {"a": BREAD, "b": SHIP, "c": BOAT}),
    "likely": ({"logprobs": True}, {"a": LIKELY}),
}


def plain(answer: Any) -> dict[str, Any]:
    """An answer as JSON, without what differs from run to run."""
    found: dict[str, Any] = json.loads(json.dumps(to_plain(answer)))
    for part in (found, *found["proposals"], *found["breakdown"]):
        part["seconds"] = 0
    return {**found, "id": ""}


@pytest.mark.parametrize(("mixture", "scripts"), CASES.values(), ids=CASES)
async def test_an_agent_that_is_interrupted_and_resumed_keeps_it(
    mixture: dict[str, Any], scripts: dict[str, Any], tmp_path: Path
) -> None:
    """Both engines give one answer, and it stands in the agent's state before the interrupt and after it."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.types import Command, interrupt

    class Agent(MessagesState):
        mollm: dict[str, Any]

    def gate(_: Any) -> dict[str, Any]:
        interrupt("go on?")
        return {}

    whole = {"description": "d", "workers": ["a", "b", "c"], "aggregator": {"llm": "boss"}, "shuffle": False, **mixture}
    names = ("a", "b", "c", "boss")
    config = {"llms": {name: {"model": "x/y", "retries": 0} for name in names}, "mixtures": {"m": whole}}
    if "alike" not in mixture:
        whole["calibration"] = str(written(tmp_path / "c.json", {**config, "mixtures": {"m": {**whole}}}))

    def given() -> dict[str, Any]:
        return {"llms": {name: ScriptedLLM(scripts.get(name, FOUR)) for name in names}, "embedder": by_storm}

    async with MoLLM(config, **given()) as asked:
        expected = plain(await asked.aask("How many?"))

    saver = InMemorySaver()
    builder: Any = StateGraph(Agent)
    builder.add_node("experts", mollm.create_graph(config, **given()))
    builder.add_node("gate", gate)
    builder.add_edge(START, "experts")
    builder.add_edge("experts", "gate")
    agent: Any = builder.compile(checkpointer=saver)
    thread = {"configurable": {"thread_id": "t"}}
    start = {"messages": [("user", "How many?")]}
    seen = [piece async for piece in agent.astream(start, thread, stream_mode=["updates", "values"])]
    stored = (await agent.aget_state(thread)).values["mollm"]
    resumed = await agent.ainvoke(Command(resume="yes"), thread)

    updated = next(piece["experts"]["mollm"] for mode, piece in seen if mode == "updates" and "experts" in piece)
    valued = [piece["mollm"] for mode, piece in seen if mode == "values" and "mollm" in piece][-1]
    assert [plain(found) for found in (stored, updated, valued)] == [expected] * 3
    assert plain(answer_from_plain(resumed["mollm"])) == expected
    assert (expected["confidence"] is None) == ("alike" in mixture)


@pytest.mark.parametrize("node", ["propose", "aggregate"])
async def test_another_process_goes_on_with_it(node: str, tmp_path: Path) -> None:
    """A run that stopped before a node is taken up by a graph that was built anew."""
    from langgraph.checkpoint.memory import InMemorySaver

    whole = {"description": "d", "workers": ["a", "b", "c"], **VOTE}
    config = {"llms": {n: {"model": "x/y", "retries": 0} for n in "abc"}, "mixtures": {"m": whole}}
    whole["calibration"] = str(written(tmp_path / "c.json", {**config, "mixtures": {"m": {**whole}}}))
    saver, thread = InMemorySaver(), {"configurable": {"thread_id": "t"}}

    def graph() -> Any:
        return mollm.create_graph(config, llms={n: ScriptedLLM(FOUR) for n in "abc"}, checkpointer=saver)

    await graph().ainvoke({"messages": [("user", "How many?")]}, thread, interrupt_before=[node])
    resumed = await graph().ainvoke(None, thread)

    assert resumed["mollm"]["confidence"] == pytest.approx(0.9)
