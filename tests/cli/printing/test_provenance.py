"""Who gave an answer, who agreed, how probable it is, and why nobody else was asked: each word of it true."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from mollm import MoLLM, load_config
from mollm.cli.printing.explanation import print_explanation
from mollm.errors import AuthFailed
from mollm.final.calibration import stated
from mollm.llms.scripted import Reply, ScriptedLLM
from tests.calibrations import written
from tests.clock import run_virtual

if TYPE_CHECKING:
    from pathlib import Path

SEVEN, EIGHT, NINE = "So the answer is 7.", "So the answer is 8.", "So the answer is 9."
TWO = {"b": EIGHT}
FAILS = Reply(error=AuthFailed("no"))
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
KEEPS = {"keep_above": 0.6}
ON_7 = "a, c: 2 of 3 on 7"
WROTE = "written by w from 3 proposals"
OPEN = {
    "a": "It rained a lot in Paris this morning, so that all the streets are wet.",
    "b": "My cat likes to sleep on the red sofa the whole day long, and so do I.",
}


def asked(folder: Path, mixture: dict[str, Any], says: dict[str, Any], engine: Any, options: Any) -> Any:
    """Ask three workers, or others, that all say 7 where nothing else is said, and a writer; and the configuration."""
    supports = mixture.get("supports")
    section = {
        "description": "x",
        "workers": ["a", "b", "c"],
        "shuffle": False,
        **{key: value for key, value in mixture.items() if key != "supports"},
        "aggregator": {"llm": "w", **mixture.get("aggregator", {})},
    }
    config: dict[str, Any] = {
        "llms": {name: {"model": "scripted/x", "retries": 0} for name in "abcw"},
        "mixtures": {"m": section},
    }
    if supports is not None:
        section["calibration"] = str(
            written(folder / "c.json", {**config, "mixtures": {"m": bare(section)}}, supports=supports)
        )
    llms = {name: ScriptedLLM(says.get(name, SEVEN)) for name in config["llms"]}
    mollm = MoLLM(config, llms=llms, engine=engine)
    loaded = load_config(config)
    # A graph runs parts of itself in threads, which a virtual clock does not wait for.
    run: Any = run_virtual if engine == "auto" else asyncio.run
    return run(mollm.aask("How many?", **options)), loaded


def bare(section: dict[str, Any]) -> dict[str, Any]:
    """A mixture without what needs a calibration."""
    aggregator = {key: value for key, value in section["aggregator"].items() if key != "keep_above"}
    return {**{key: value for key, value in section.items() if key != "agree"}, "aggregator": aggregator}


Rows = dict[str, str | None]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], Rows]] = {
    "kept": (
        {"aggregator": KEEPS, "supports": {"a": 4.0}},
        {**TWO, "w": EIGHT},
        {},
        {
            "asked": "3 of 3",
            "agreed": ON_7,
            "confidence": "right with a probability of 0.990",
            "answer": "a's proposal, word for word, kept against w",
        },
    ),
    "nothing to keep it against": (
        {"aggregator": KEEPS, "supports": {"a": 4.0}},
        TWO,
        {},
        {"agreed": ON_7, "confidence": "right with a probability of 0.990", "answer": WROTE},
    ),
    "not sure enough to be kept": (
        {"aggregator": {"keep_above": 0.99}, "supports": {}},
        {**TWO, "w": EIGHT},
        {},
        {"agreed": ON_7, "confidence": "unknown: a, c say 7, which the answer is not known to say", "answer": WROTE},
    ),
    "open text": (
        {"aggregator": KEEPS, "supports": {}, "workers": ["a", "b"]},
        OPEN,
        {},
        {"agreed": "open text, nothing to compare", "confidence": "unknown: no proposal has a final answer"},
    ),
    "no calibration": ({}, TWO, {}, {"agreed": ON_7, "confidence": None, "answer": WROTE}),
    "majority": (
        {"agree": "majority", "ask_first": 2},
        TWO,
        {},
        {"asked": "3 of 3: `agree: majority` was reached", "agreed": ON_7, "answer": "a's proposal, word for word"},
    ),
    "sure of one": (
        {"agree": 0.9, "ask_first": 1, "supports": {"a": 4.0}},
        {},
        {},
        {
            "asked": "1 of 3: `agree: 0.9` was reached",
            "agreed": None,
            "answer": "a's proposal, word for word",
            "confidence": "right with a probability of 0.982",
        },
    ),
    "sure after two, of whom one failed": (
        {"agree": 0.75, "ask_first": 1, "supports": {}},
        {"b": FAILS},
        {},
        {
            "asked": "3 of 3: `agree: 0.75` was reached",
            "agreed": "a, c: 2 of 2 on 7",
            "confidence": "right with a probability of 0.800",
        },
    ),
    "never sure": (
        {"agree": 0.85, "ask_first": 1, "supports": {}},
        {"b": EIGHT, "c": NINE},
        {},
        {"asked": "3 of 3: `agree: 0.85` was not reached", "agreed": "nobody", "answer": WROTE},
    ),
    "sure, until another came at the same moment": (
        {"agree": 0.9, "ask_first": 2, "supports": {"a": 2.5}},
        TWO,
        {},
        {
            "asked": "2 of 3: `agree: 0.9` was not reached",
            "confidence": "right with a probability of 0.858",
            "answer": "written by w from 2 proposals",
        },
    ),
    "enough": (
        {"enough": 2},
        {"c": Reply(SEVEN, delay=9)},
        {},
        {"asked": "3 of 3: `enough: 2` was reached", "answer": "written by w from 2 proposals"},
    ),
    "late": (
        {"deadline": 0.5, "agree": 3},
        {"c": Reply(SEVEN, delay=9)},
        {},
        {"asked": "3 of 3: the time was up, `agree: 3` was not reached", "agreed": "a, b: 2 of 2 on 7"},
    ),
    "bypass": ({"workers": ["a"]}, {}, {}, {"asked": None, "agreed": None, "answer": "by a alone"}),
    "tools, kept": (
        {"aggregator": KEEPS, "supports": {"a": 4.0}},
        {**TWO, "w": EIGHT},
        {"tools": [TOOL]},
        {
            "on tools": "after: the workers proposed for this request",
            "answer": "a's proposal, word for word, kept against w",
        },
    ),
    "tools, called": (
        {"supports": {}},
        {"w": Reply(message={"role": "assistant", "content": SEVEN, "tool_calls": [CALL]}, finish_reason="tool_calls")},
        {"tools": [TOOL]},
        {
            "confidence": "unknown: a call of a tool is no answer yet",
            "answer": "a call of a tool by w, who read 3 proposals",
        },
    ),
    "tools, cut off twice": (
        {"aggregator": {"llm": "w", "fallback_llm": "b"}},
        {"w": Reply("I think", finish_reason="length"), "b": [SEVEN, Reply("Well", finish_reason="length")]},
        {"tools": [TOOL]},
        {"answer": WROTE},
    ),
    "cut at the caller's word": (
        {},
        {"a": "So the answer is 7. END", "w": FAILS},
        {"stop": "END"},
        {"answer": "a's proposal, shortened"},
    ),
    "in another format": (
        {"aggregator": {"method": "vote"}},
        {"w": '{"answer": 7}', "a": [SEVEN], "b": SEVEN, "c": SEVEN},
        {"response_format": {"type": "json_object"}},
        {"answer": "written anew by w, in the format asked for"},
    ),
}


@pytest.mark.parametrize("engine", ["auto", "graph"])
@pytest.mark.parametrize(("mixture", "says", "options", "rows"), CASES.values(), ids=CASES)
def test_what_is_said_of_an_answer_is_true(
    mixture: dict[str, Any],
    says: dict[str, Any],
    options: dict[str, Any],
    rows: Rows,
    engine: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In both engines, and within 60 columns."""
    found, config = asked(tmp_path, mixture, says, engine, options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "60")
        print_explanation(found, config)
        narrow = capsys.readouterr().err
        patch.setenv("COLUMNS", "200")
        print_explanation(found, config)

    lines = [line.partition("  ") for line in capsys.readouterr().err.splitlines()]
    told = {name: text.strip() for name, _, text in lines if name}
    assert {name: told.get(name) for name in rows} == rows
    assert max(cell_len(line) for line in narrow.splitlines()) <= 60


@pytest.mark.parametrize(
    ("probability", "places", "text"),
    [
        (0.9342, 3, "0.934"),
        (0.934, 3, "0.934"),
        (0.99996, 3, "0.999"),
        (99.96, 0, "99"),
        (0.999, 2, "0.99"),
        (1, 2, "1.00"),
    ],
)
def test_a_probability_is_never_said_to_be_more_than_it_is(probability: float, places: int, text: str) -> None:
    """What is almost sure is not written as 1."""
    assert stated(probability, places) == text
