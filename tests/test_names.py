"""LLMs and mixtures may be called as other programs call models, and everything that goes by a name still works."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM, create_graph
from mollm.llms.scripted import ScriptedLLM
from mollm.observing.prometheus import Metrics
from mollm.routing.choice import mentioned
from tests.clock import run_virtual
from tests.command import run

if TYPE_CHECKING:
    from pathlib import Path

SUMS, JOKES = "org/sums:latest", "@me/jokes/short:v1.2"
EXAMPLES = {
    SUMS: ["What is 17 percent of 340?", "Solve x + 3 = 7", "How many primes are below 100?", "What is 12 * 8?"],
    JOKES: ["Tell me a joke", "Something funny, please", "Make me laugh", "Tell me another joke about bytes"],
}


def config(router: dict[str, Any]) -> dict[str, Any]:
    """Two mixtures and three LLMs, none of whose names was allowed before."""
    return {
        "llms": {
            name: {"model": "scripted/x"} for name in ("openai/gpt-4o", "ollama:qwen3:8b", "local/guide", "~x/y@2=z")
        },
        "router": {"fallback": JOKES, **router},
        "mixtures": {
            SUMS: {"description": "Sums.", "examples": EXAMPLES[SUMS], "workers": ["openai/gpt-4o", "ollama:qwen3:8b"]},
            JOKES: {
                "description": "Jokes.",
                "examples": EXAMPLES[JOKES],
                "workers": [{"llm": "ollama:qwen3:8b", "samples": 2}],
                "aggregator": {"llm": "~x/y@2=z"},
            },
        },
    }


def test_a_learned_router_picks_by_such_names_and_keeps_what_it_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fitted, and read again from the folder where fitted ones are kept."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path))
    for _ in range(2):
        with MoLLM(config({"kind": "learned"})) as mollm:
            assert mollm.route("What is 13 * 8?").mixture == SUMS
            assert mollm.route("Please tell me a funny joke").mixture == JOKES


@pytest.mark.parametrize("reply", [SUMS, f"`{SUMS.upper()}`.", f'"{SUMS}"'])
def test_an_llm_picks_by_such_names(reply: str) -> None:
    """Whatever stands around the name."""
    llms = {name: ScriptedLLM("x") for name in config({})["llms"]} | {"local/guide": ScriptedLLM(reply)}
    mollm = MoLLM(config({"kind": "llm", "llm": "local/guide"}), llms=llms)

    assert run_virtual(mollm.aroute("What is 13 * 8?")).mixture == SUMS


def test_a_name_within_a_longer_one_is_not_mentioned() -> None:
    """Parts stand between slashes."""
    assert mentioned("I pick org/sums:latest", ["sums:latest", "org/sums:latest", "org"]) == ["org/sums:latest"]


def test_a_graph_keeps_such_names_in_its_state() -> None:
    """Through a checkpointer that stores plain data alone; samples of one LLM are told apart."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    saver = InMemorySaver(serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None))
    graph: Any = create_graph(config({"kind": "fixed"}), checkpointer=saver)
    thread = {"configurable": {"thread_id": "a/b:c"}}

    graph.invoke({"messages": [("user", "Hi")]}, thread)
    found = graph.get_state(thread).values["mollm"]

    assert found["mixture"] == JOKES
    assert [proposal["worker"] for proposal in found["proposals"]] == ["ollama:qwen3:8b", "ollama:qwen3:8b#2"]
    assert json.loads(json.dumps(found)) == found


def test_metrics_are_counted_under_such_names() -> None:
    """As a label."""
    metrics = Metrics(in_flight=int, waiting=int)
    metrics.answered(SUMS, 0.1)

    assert f'mollm_requests_total{{mixture="{SUMS}"}} 1.0' in metrics.page().decode()


def test_a_recording_may_lie_in_folders(tmp_path: Path) -> None:
    """One for each part of the name."""
    (tmp_path / "recorded" / "org").mkdir(parents=True)
    (tmp_path / "recorded" / "questions.jsonl").write_text('{"id": 1, "question": "2+2?"}\n')
    (tmp_path / "recorded" / "org" / "a:b.jsonl").write_text('{"id": 1, "output": "4"}\n')
    text = "llms: {'org/a:b': {model: replay/recorded}}\nmixtures: {m: {description: d, workers: ['org/a:b']}}\n"
    (tmp_path / "mollm.yaml").write_text(text)

    with MoLLM(tmp_path / "mollm.yaml") as mollm:
        assert mollm.ask("2+2?").text == "4"


def test_the_command_takes_and_shows_such_names(tmp_path: Path) -> None:
    """To ask, to show and to check; nothing of a name becomes a picture."""
    text = json.dumps(
        config({"kind": "fixed"}) | {"llms": {n: {"model": "scripted/Four."} for n in config({})["llms"]}}
    )
    (tmp_path / "mollm.yaml").write_text(text.replace("ollama:qwen3:8b", "ollama:cat:8b"))

    asked = run("ask", "2 + 2?", "--mixture", SUMS, "--json", cwd=tmp_path)
    alone = run("ask", "2 + 2?", "--mixture", "openai/gpt-4o", cwd=tmp_path)
    shown = run("show", cwd=tmp_path)

    assert json.loads(asked.stdout)["mixture"] == SUMS, asked.stderr
    assert alone.stdout == "Four.\n", alone.stderr
    assert "ollama:cat:8b" in shown.stdout
    assert run("check", cwd=tmp_path).returncode == 0
