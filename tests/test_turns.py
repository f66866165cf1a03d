"""Proposals are kept for the rest of a turn: as long, as many and as much as promised, and apart for each who asks."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.catalog import Catalog
from mollm.config.load import load_config
from mollm.turns import MOST_BYTES, MOST_TURNS, SECONDS, Kept, Turns, mark_of, turn_of
from mollm.types import Message, Proposal

CONFIG = {
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
