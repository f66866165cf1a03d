"""A panel that a question brings is the words of whoever asks, as the conversation is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mollm import MoLLM, create_graph
from mollm.llms.scripted import ScriptedLLM
from mollm.messages import text_of
from tests.server.served import served
from tests.upstream import Upstream, answer

MAIL, OTHER = "anna.berg@corp.io", "ben.berg@corp.io"
PANEL: dict[str, Any] = {
    "workers": [{"llm": "a", "system": f"You write for {OTHER}.", "stop": [OTHER]}, "b", "c"],
    "aggregator": {"llm": "d", "analysis": {"criteria": [f"is {OTHER} named"]}},
    "review": {"criteria": f"{OTHER} and {MAIL} are named"},
}
CONFIG: dict[str, Any] = {
    "llms": {name: {"model": "scripted/x", "retries": 0} for name in "abcd"},
    "mixtures": {"m": {"description": "d", "workers": ["a"]}},
    "privacy": {"mask": ["email"]},
}


def llms(text: str = "Mail [EMAIL_1], not [EMAIL_P1].") -> dict[str, ScriptedLLM]:
    """LLMs that write placeholders."""
    return {name: ScriptedLLM(text) for name in "abcd"}


def read(found: dict[str, ScriptedLLM]) -> str:
    """Everything that LLMs were sent."""
    return "".join(json.dumps(r.messages) + repr(r.settings) for llm in found.values() for r in llm.requests)


@pytest.mark.parametrize("engine", ["auto", "graph"])
@pytest.mark.parametrize("text", ["Mail [EMAIL_1], not [EMAIL_P1].", "Mail [email_1], not [email_p1]."])
def test_llms_read_placeholders_in_a_panel_and_the_answer_has_the_values(engine: Any, text: str) -> None:
    """In the system message and the criteria, and in what a worker stops at; whole and streamed."""
    scripted = llms(text)
    with MoLLM(CONFIG, llms=scripted, engine=engine) as mollm:
        whole = mollm.ask(f"Write to {MAIL}.", mixture=PANEL)
        *_, done = mollm.stream(f"Write to {MAIL}.", mixture=PANEL)
    for found in (whole, getattr(done, "answer")):  # noqa: B009 - the last event has one
        assert found.text == f"Mail {MAIL}, not {OTHER}."
        assert OTHER not in repr(found.proposals) + repr(found.ranking) + repr(found.degraded)
    sent = read(scripted)
    assert MAIL not in sent
    assert OTHER not in sent
    assert "You write for [EMAIL_P1]." in sent
    assert "is [EMAIL_P1] named" in sent
    assert "[EMAIL_P1] and [EMAIL_1] are named" in sent
    assert scripted["a"].requests[0].settings.stop == ("[EMAIL_P1]",)


def test_a_private_llm_reads_the_values_of_a_panel() -> None:
    """As it reads those of the conversation."""
    scripted = llms()
    config = {**CONFIG, "privacy": {"mask": ["email"], "for": "remote"}}
    config["llms"] = {name: {"model": "scripted/x", "private": name == "a"} for name in "abcd"}
    with MoLLM(config, llms=scripted) as mollm:
        mollm.ask(f"Write to {MAIL}.", mixture=PANEL)
    assert text_of(scripted["a"].requests[0].messages[0]["content"]) == f"You write for {OTHER}."
    assert OTHER not in read({name: llm for name, llm in scripted.items() if name != "a"})


async def test_a_graph_stores_no_value_of_a_panel_and_goes_on_elsewhere_with_its_placeholders() -> None:
    """Nobody brings the panel again: the conversation's values come back, the panel's stay placeholders."""
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.memory import InMemorySaver

    saver, config, scripted = InMemorySaver(), RunnableConfig(configurable={"thread_id": "t"}), llms()
    begun = create_graph(CONFIG, llms=scripted, checkpointer=saver)
    asked: Any = {"messages": [("user", f"Write to {MAIL}.")]}
    context: Any = {"mixture": PANEL}
    await begun.ainvoke(asked, config, context=context, interrupt_after=["propose"])
    resumed = create_graph(CONFIG, llms=scripted, checkpointer=saver)
    found = await resumed.ainvoke(None, config)

    assert found["messages"][-1].text == f"Mail {MAIL}, not [EMAIL_P1]."
    state = (await resumed.aget_state(config)).values
    assert OTHER not in str(state["run"]) + str(state["mollm"])
    assert OTHER not in read(scripted)


async def test_a_server_sends_no_value_of_a_panel_to_an_upstream() -> None:
    """Neither in a message nor in a field that is handed on."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: answer("Mail [EMAIL_1], not [EMAIL_P1].")
        llm = {"model": "hosted_vllm/x", "api_base": upstream.base_url, "context_window": 8192}
        config = {**CONFIG, "llms": dict.fromkeys("abcd", llm), "server": {"panels": True, "forward": ["top_k"]}}
        panel = {**PANEL, "workers": [*PANEL["workers"], {"llm": "b", "extra_body": {"top_k": OTHER}}], "trace": True}
        async with served(config) as server:
            got = await server.chat(
                model="panel", messages=[{"role": "user", "content": f"Write to {MAIL}."}], mollm=panel
            )
    assert got.body["choices"][0]["message"]["content"] == f"Mail {MAIL}, not {OTHER}."
    assert OTHER not in str([received.body for received in upstream.received])
    assert OTHER not in str({**got.body["mollm"], "text": "", "message": {}})
