"""Proposals are kept for the rest of a turn: as long, as many and as much as promised, and apart for each who asks."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.catalog import Catalog
from mollm.config.load import load_config
from mollm.turns import MOST_BYTES, MOST_TURNS, SECONDS, Kept, Turns, mark_of, turn_of
from mollm.types import Message, Proposal

CONFIG: dict[str, Any] = {
    "llms": {name: {"model": "scripted/x"} for name in "ab"},
    "router": {"fallback": "m"},
    "mixtures": {
        "m": {"description": "d", "workers": ["a", "b"]},
        "n": {"description": "d", "workers": ["a", "b"]},
        "o": {"description": "d", "workers": ["b", "a"]},
    },
}
MIXTURES = Catalog(load_config(CONFIG)).mixtures
ASKED: list[Message] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def kept(text: str) -> Kept:
    """One proposal with this text."""
    return Kept((Proposal("a", "a", 1, text),), 1)


@dataclass
class Model:
    """What is promised, spelled out: a list of turns, the one that was used last at its end."""

    most: int
    most_bytes: int
    seconds: int
    now: int = 0
    turns: list[tuple[str, int, Kept]] = field(default_factory=list)

    def get(self, turn: str) -> Kept | None:
        self._forget()
        found = next((entry for entry in self.turns if entry[0] == turn), None)
        if found is None:
            return None
        self.turns = [entry for entry in self.turns if entry[0] != turn] + [(turn, self.now, found[2])]
        return found[2]

    def put(self, turn: str, value: Kept) -> None:
        self.turns = [entry for entry in self.turns if entry[0] != turn] + [(turn, self.now, value)]
        self._forget()

    def _forget(self) -> None:
        self.turns = [entry for entry in self.turns if entry[1] > self.now - self.seconds]
        while len(self.turns) > self.most or sum(entry[2].size for entry in self.turns) > self.most_bytes:
            self.turns.pop(0)


STEPS = st.lists(
    st.tuples(st.just("put"), st.sampled_from("abcde"), st.integers(0, 3000))
    | st.tuples(st.just("get"), st.sampled_from("abcde"), st.just(0))
    | st.tuples(st.just("wait"), st.just(""), st.integers(1, 9)),
    max_size=40,
)


@given(STEPS)
def test_it_keeps_as_much_as_promised_and_no_more(steps: list[tuple[str, str, int]]) -> None:
    """Time since the last use, number of turns and bytes bound it; what is forgotten first was used the longest ago."""
    model = Model(most=3, most_bytes=8000, seconds=10)
    turns = Turns(seconds=10, most=3, most_bytes=8000, now=lambda: float(model.now))

    for what, turn, size in steps:
        if what == "wait":
            model.now += size
        elif what == "put":
            value = kept("x" * size)
            turns.put(turn, value)
            model.put(turn, value)
        else:
            assert turns.get(turn) is model.get(turn)
        assert len(turns) <= 3


def test_the_bounds_are_those_of_the_documentation() -> None:
    """Half an hour, a thousand turns, 64 MiB."""
    assert (SECONDS, MOST_TURNS, MOST_BYTES) == (1800, 1000, 67_108_864)
    assert kept("x" * 100_000).size >= sys.getsizeof("x" * 100_000)


def test_a_turn_is_the_conversation_up_to_the_last_user_message() -> None:
    """Calls of tools and their results, in any number, change nothing; any word before them does."""
    turn = turn_of(ASKED, MIXTURES["m"], "k")
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}

    assert turn_of([*ASKED, call, {"role": "tool", "tool_call_id": "1", "content": "7"}], MIXTURES["m"], "k") == turn
    others = [
        turn_of(ASKED, MIXTURES["m"], "other"),
        turn_of(ASKED, MIXTURES["n"], "k"),
        turn_of(ASKED, replace(MIXTURES["m"], workers=MIXTURES["o"].workers), "k"),
        turn_of([*ASKED, {"role": "user", "content": "And?"}], MIXTURES["m"], "k"),
        turn_of([{"role": "system", "content": "Be long."}, ASKED[1]], MIXTURES["m"], "k"),
        turn_of(ASKED[1:], MIXTURES["m"], "k"),
    ]
    assert len({turn, *others}) == 7


def test_a_turn_depends_on_every_word_of_what_its_workers_are_sent() -> None:
    """Also on what no `repr` of the configuration shows: the texts of `extra_body`, and the numbers of its secrets."""
    turns = set()
    for body in ({"effort": "low"}, {"effort": "high"}, {"key": 1}, {"key": 2}):
        workers = [{"llm": "a", "extra_body": body}, "b"]
        config = {**CONFIG, "mixtures": {**CONFIG["mixtures"], "m": {"description": "d", "workers": workers}}}
        turns.add(turn_of(ASKED, Catalog(load_config(config)).mixtures["m"], "k"))

    assert len(turns) == 4


@pytest.mark.parametrize("text", ["caf\u00e9", "half \ud83d", "\0"])
def test_a_turn_has_a_digest_whatever_it_says(text: str) -> None:
    """Also what no JSON document can hold."""
    turns = [turn_of([{"role": "user", "content": said}], MIXTURES["m"], "") for said in (text, text, text + ".")]

    assert turns[0] == turns[1] != turns[2]


def test_without_a_user_there_is_no_turn() -> None:
    """Two conversations without one have nothing that tells them apart."""
    assert turn_of([{"role": "tool", "tool_call_id": "1", "content": "7"}], MIXTURES["m"], "k") == ""


def test_the_delimiter_of_a_turn_stays_the_same() -> None:
    """A server can reuse the beginning of the prompt from one step to the next."""
    assert mark_of("a") == mark_of("a") != mark_of("b")


def _history(**last: Any) -> list[Message]:
    """A turn before, with a tool, and a question after it with these fields."""
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    return [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Add them."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
        {"role": "assistant", "content": "It is 3."},
        {"role": "user", "content": "And now?", **last},
    ]


def _changed(place: int, **fields: Any) -> list[Message]:
    found = _history()
    found[place] = {**found[place], **fields}
    return found


def _part(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **more}


def _other_ids() -> list[Message]:
    found = _changed(3, tool_call_id="call_9")
    call = {"id": "call_9", "type": "function", "index": 0, "function": {"name": "add", "arguments": '{"b":2,"a":1}'}}
    found[2] = {"role": "assistant", "tool_calls": [call]}
    return found


SAME = {
    "a part": _history(content=[_part("And now?")]),
    "two parts": _history(content=[_part("And "), _part("now?")]),
    "a mark for a cache": _history(content=[_part("And now?", cache_control={"type": "ephemeral"})]),
    "a system prompt in parts": _changed(0, content=[_part("Be brief.", cache_control={"type": "ephemeral"})]),
    "developer": _changed(0, role="developer"),
    "a result in parts": _changed(3, content=[_part("3")]),
    "a result with a name that is null": _changed(3, name=None),
    "an empty text": _changed(2, content=""),
    "an empty list": _changed(2, content=[]),
    "fields of replies": _changed(4, refusal=None, annotations=[], audio=None, function_call=None, tool_calls=[]),
    "thoughts": _changed(4, reasoning_content="Hm.", thinking_blocks=[]),
    "white space at the end": _changed(4, content="It is 3.\n"),
    "other ids, and arguments written anew": _other_ids(),
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
OTHER = {
    "another question": _history(content="And then?"),
    "another name": _history(name="eve"),
    "an image": _history(content=[_part("And now?"), IMAGE]),
    "another place of an image": _history(content=[IMAGE, _part("And now?")]),
    "another result": _changed(3, content="4"),
    "another answer": _changed(4, content="It is 4."),
    "a refusal": _changed(4, content=None, refusal="No."),
    "another role": _changed(0, role="user"),
    "no call": _changed(2, tool_calls=None),
    "other arguments": _changed(
        2, tool_calls=[{"id": "c1", "function": {"name": "add", "arguments": '{"a": 1, "b": 3}'}}]
    ),
    "a result of another call": _changed(3, tool_call_id="c2"),
    "spaces between words": _history(content="And  now?"),
}


@pytest.mark.parametrize("messages", SAME.values(), ids=SAME)
def test_the_same_conversation_is_the_same_turn_however_it_is_written(messages: list[Message]) -> None:
    """Clients mark other messages for the cache in each request, and write history in their own way."""
    assert turn_of(messages, MIXTURES["m"], "k") == turn_of(_history(), MIXTURES["m"], "k")


def test_whatever_says_something_else_is_another_turn() -> None:
    """Proposals for one conversation are never shown in another."""
    turns = [turn_of(messages, MIXTURES["m"], "k") for messages in (_history(), *OTHER.values())]

    assert len(set(turns)) == len(turns)


def test_results_of_calls_at_once_belong_to_their_calls() -> None:
    """The same two results for the other two calls are another conversation."""
    calls = [{"id": name, "function": {"name": "read", "arguments": name}} for name in "xy"]
    called: Message = {"role": "assistant", "tool_calls": calls}

    def turn(*ids: str) -> str:
        results: list[Message] = [
            {"role": "tool", "tool_call_id": name, "content": str(at)} for at, name in enumerate(ids)
        ]
        return turn_of([*ASKED, called, *results, ASKED[1]], MIXTURES["m"], "k")

    assert turn("x", "y") != turn("y", "x")


def test_a_text_that_grows_in_memory_counts_as_it_did() -> None:
    """Whoever writes it out lets Python keep its bytes as well; what is dropped is what was counted."""
    turns = Turns(most=1, most_bytes=50_000)
    for number in range(20):
        value = kept(f"{number}: " + "\u00e9" * 20_000)
        turns.put("a" if number % 2 else "b", value)
        orjson.dumps(value.proposals[0].text)

    turns.put("large", kept("x" * 60_000))
    assert len(turns) == 0
    turns.put("one", kept("x" * 30_000))
    assert len(turns) == 1
