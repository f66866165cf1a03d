"""The embedded LLM for real: Python, graph, and graph inside a graph; tests/real/packaged.py runs the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.events import Arrived, Done, Token
from mollm.plain import answer_from_plain
from tests.server.served import served

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process

REAL: dict[str, Any] = {
    "llms": {"tiny": {"model": "local/smollm2-135m", "context_window": 1024, "max_tokens": 24}},
    "router": {"kind": "fixed", "fallback": "pair"},
    "mixtures": {
        "pair": {"description": "Two.", "workers": [{"llm": "tiny", "samples": 2, "temperature": 0.7}]},
        "solo": {"description": "One.", "workers": ["tiny"]},
    },
}
QUESTION = "Name three things one needs to bake bread."


@pytest.fixture(scope="module")
def mollm() -> Iterator[MoLLM]:
    """The embedded LLM, loaded once."""
    with MoLLM(REAL) as found:
        yield found


def test_python_asks_the_real_model(mollm: MoLLM) -> None:
    """Text, usage from the model itself, two proposals and an aggregator."""
    answer = mollm.ask(QUESTION, max_tokens=24)

    assert answer.text.strip()
    assert [p.error for p in answer.proposals] == [None, None]
    assert 0 < answer.usage.completion_tokens <= 3 * 24
    assert not answer.usage.estimated


def test_python_streams_the_real_model(mollm: MoLLM) -> None:
    """Tokens come one by one, and together they are the answer."""
    events = list(mollm.stream(QUESTION, mixture="solo", max_tokens=24))

    tokens = [event.text for event in events if isinstance(event, Token) and event.text]
    done = events[-1]
    assert isinstance(done, Done)
    assert len(tokens) > 5
    assert "".join(tokens) == done.answer.text
    assert not any(isinstance(event, Arrived) for event in events), "a bypass has no workers to wait for"


def test_the_same_seed_gives_the_same_answer(mollm: MoLLM) -> None:
    """A seed reaches the model."""
    first, second = (mollm.ask(QUESTION, mixture="solo", seed=7, temperature=0.9).text for _ in range(2))

    assert first == second


def test_it_remembers_the_conversation(mollm: MoLLM) -> None:
    """What was said before goes into the prompt."""
    asked = mollm.ask(QUESTION, mixture="solo").usage.prompt_tokens
    history = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "Flour, water and salt."},
        {"role": "user", "content": "And for cake?"},
    ]

    assert mollm.ask(history, mixture="solo").usage.prompt_tokens > asked


async def test_the_graph_and_a_parent_graph_stream_the_real_model() -> None:
    """As one node of an agent, its tokens reach whoever streams the agent."""
    from langgraph.graph import START, MessagesState, StateGraph

    from mollm import create_graph

    builder: Any = StateGraph(MessagesState)
    builder.add_node("experts", create_graph(REAL))
    builder.add_edge(START, "experts")
    agent: Any = builder.compile()

    parts = [
        part async for part in agent.astream({"messages": [("user", QUESTION)]}, stream_mode="messages", subgraphs=True)
    ]

    assert len(parts) > 5
    assert "".join(message.content for _, (message, _) in parts).strip()


def test_the_graph_alone_under_invoke() -> None:
    """`graph.invoke` with the real model brings the answer and how it came about."""
    from mollm import create_graph

    result: Any = create_graph(REAL).invoke({"messages": [("user", QUESTION)]})

    answer = answer_from_plain(result["mollm"])
    assert result["messages"][-1].content == answer.text
    assert answer.calls == 3


@pytest.mark.parametrize("mixture", ["pair", "solo"])
async def test_the_server_streams_it(mixture: str) -> None:
    """Over a socket: many pieces, one answer, the usage of all calls, and a whole end."""
    async with served(REAL) as server:
        asked = {"model": mixture, "stream": True, "stream_options": {"include_usage": True}, "seed": 1}
        reply = await server.chat(messages=[{"role": "user", "content": QUESTION}], **asked)

    assert reply.status == 200
    assert reply.events[-1] == "[DONE]"
    pieces = [event["choices"][0]["delta"].get("content") for event in reply.events[:-2]]
    assert len([piece for piece in pieces if piece]) > 1
    assert reply.events[-2]["usage"]["completion_tokens"] > (24 if mixture == "pair" else 1)
    assert reply.events[-3]["choices"][0]["finish_reason"] in ("stop", "length")
