"""Tool calls of every provider's kind, put into one form that every reader puts together rightly."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.base import Chunk
from mollm.calling.streamed import StreamedReply
from mollm.calling.toolcalls import ToolCalls, is_sound
from mollm.errors import ProviderFailed
from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mollm.types import Message

LOOK = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
FIND = {"id": "c2", "type": "function", "function": {"name": "find", "arguments": '{"it": {"a": []}}'}}
NAMES = ("look", "find", "find_all")


def passed_on(*deltas: Any, names: Sequence[str] = NAMES) -> list[list[Message]]:
    """What is passed on of each `tool_calls`, and of the rest."""
    calls = ToolCalls(names)
    return [*(calls.add(given) for given in deltas), calls.rest()]


def merged_by_openai(passed: Iterable[list[Message]]) -> list[Message]:
    """Put deltas together by the rules of OpenAI's SDK: the index is a place, and a place that is new is appended."""
    calls: list[Message] = []
    for delta in passed:
        for entry in delta:
            index = entry["index"]
            assert type(index) is int
            assert index <= len(calls), "a gap: the SDK would take it for another place"
            if index == len(calls):
                calls.append(json.loads(json.dumps(entry)))
                continue
            assert entry.keys().isdisjoint(("id", "type")), "the SDK would join it to the first one"
            assert "name" not in entry.get("function", {})
            for key, value in entry.items():
                if key == "function":
                    calls[index][key]["arguments"] += value["arguments"]
                else:
                    calls[index][key] = value
    return [{key: value for key, value in call.items() if key != "index"} for call in calls]


def merged(passed: Iterable[list[Message]]) -> list[Message]:
    """Put deltas together as mollm does."""
    reply = StreamedReply()
    for delta in passed:
        reply.add(Chunk({"tool_calls": delta} if delta else {}))
    return list(reply.completion(Usage()).message.get("tool_calls", ()))


def joined(*deltas: Any, names: Sequence[str] = NAMES) -> list[Message]:
    """The calls that these `tool_calls` make, for every reader the same."""
    passed = passed_on(*deltas, names=names)
    found = merged_by_openai(passed)
    assert merged(passed) == found
    assert is_sound(found) or not found
    return found


def part(name: Any = None, arguments: Any = None, **fields: Any) -> list[Message]:
    """`tool_calls` with one piece of a call."""
    given = {"name": name, "arguments": arguments}
    return [{**fields, "function": {key: value for key, value in given.items() if value is not None}}]


def named(found: list[Message]) -> list[tuple[str, str]]:
    """Names and arguments alone."""
    return [(call["function"]["name"], call["function"]["arguments"]) for call in found]


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param(
            [
                part("look", "", index=0, id="c1", type="function"),
                part(None, '{"at"', index=0),
                part("find", "", index=1, id="c2", type="function"),
                part(None, ": 1}", index=0),
                part(None, '{"it": {"a": []}}', index=1),
            ],
            id="in turns",
        ),
        pytest.param([[{"index": 0, **LOOK}, {"index": 1, **FIND}]], id="at once"),
        pytest.param([[LOOK, FIND]], id="at once, without an index"),
        pytest.param([[LOOK], [FIND]], id="one after the other, without an index"),
        pytest.param([[{"index": 0, **LOOK}], [{"index": 0, **FIND}]], id="all at index 0"),
        pytest.param([[{"index": 0, **LOOK}, {"index": 0, **FIND}]], id="all at index 0, at once"),
        pytest.param([[{"index": "0", **LOOK}], [{"index": "1", **FIND}]], id="index as text"),
        pytest.param([[{"index": 0.0, **LOOK}], [{"index": 1.0, **FIND}]], id="index with a fraction"),
        pytest.param([[{"index": -1, **LOOK}], [{"index": -1, **FIND}]], id="index below 0"),
        pytest.param([[{"index": 1, **LOOK}], [{"index": 3, **FIND}]], id="index that counts other blocks too"),
        pytest.param([[{"index": None, **LOOK}], [{"index": None, **FIND}]], id="index null"),
        pytest.param(
            [
                part("look", '{"at"', id="c1"),
                part(None, ": 1}"),
                part("find", '{"it": {"a"', id="c2"),
                part(None, ": []}}"),
            ],
            id="pieces without an index",
        ),
        pytest.param(
            [
                part("look", '{"at"', id="c1"),
                part("look", ": 1}", id="c1"),
                part("find", '{"it": {"a"', id="c2"),
                part("find", ": []}}", id="c2"),
            ],
            id="id and name in every delta, without an index",
        ),
        pytest.param(
            [
                part("look", "", index=0, id="c1"),
                part("look", '{"at"', index=0),
                part("look", ": 1}", index=0),
                part("find", "", index=1, id="c2"),
                part("find", '{"it": {"a": []}}', index=1),
            ],
            id="the name in every delta",
        ),
        pytest.param(
            [
                part("look", '{"at"', index=0, id="c1"),
                part("find", '{"it": {"a"', index=0, id="c2"),
                part(None, ": 1}", index=0, id="c1"),
                part(None, ": []}}", index=0, id="c2"),
            ],
            id="in turns, all at index 0, told apart by their ids",
        ),
        pytest.param(
            [
                part("look", '{"at"', index=0, id="c1"),
                part(None, ": 1}", index=0, id="c9"),
                part("find", '{"it": {"a"', index=1, id="c2"),
                part(None, ": []}}", index=1, id="c8"),
            ],
            id="another id in every delta",
        ),
        pytest.param(
            [
                part("look", index=0, id="c1"),
                part(None, '{"at"', index=0, id="c3"),
                part(None, ": 1}", index=0, id="c4"),
                part("find", "", index=1, id="c2"),
                part(None, '{"it": {"a": []}}', index=1, id="c5"),
            ],
            id="another id in every delta, the arguments later",
        ),
        pytest.param(
            [part("look", {}, id="c1"), part("look", {"at": 1}, id="c1"), part("find", {"it": {"a": []}}, id="c2")],
            id="objects, an empty one ahead",
        ),
        pytest.param(
            [[{"index": 0, **LOOK}], [{"index": 0, **LOOK}], [{"index": 1, **FIND}], [{"index": 4, **FIND}]],
            id="a call twice",
        ),
        pytest.param(
            [
                part("look", {}, index=0, id="c1"),
                part(None, {"at": 1}, index=0),
                part("find", "{}", index=1, id="c2"),
                part(None, '{"it": {"a": []}}', index=1),
            ],
            id="an empty object ahead of the arguments",
        ),
        pytest.param(
            [
                part("look", '{"at"', index=0, id="c1"),
                part(None, ": 1}", index=0),
                part(None, '{"at": 1}', index=0),
                part("find", '{"it": {"a": []}}', index=1, id="c2"),
                part(None, '{"it":{"a":[]}}', index=1),
            ],
            id="the arguments whole at the end",
        ),
        pytest.param(
            [
                part("look", "{", index=0, id="c1"),
                part(None, '{"at', index=0),
                part(None, '{"at": 1}', index=0),
                part("find", '{"it": {"a": []}}', index=1, id="c2"),
            ],
            id="in each delta the arguments so far",
        ),
        pytest.param([[{}], [{"index": 0}], [{"index": 0, **LOOK}], [{"index": 1, **FIND}]], id="an empty entry ahead"),
        pytest.param([{"0": {**LOOK}, "1": {**FIND}}], id="calls by their number"),
        pytest.param([{"index": 0, **LOOK}, {"index": 1, **FIND}], id="each call alone, without a list"),
        pytest.param([[None, LOOK], [FIND]], id="null in the list"),
        pytest.param(
            [
                {"id": "c1", "name": "look", "arguments": {"at": 1}},
                {"id": "c2", "name": "find", "input": {"it": {"a": []}}},
            ],
            id="without a function around",
        ),
        pytest.param(
            [part("lo", "", index=0, id="c1"), part("ok", '{"at": 1}', index=0), [{"index": 1, **FIND}]],
            id="a name in pieces",
        ),
        pytest.param(
            [part(None, '{"at"', index=0, id="c1"), part("look", ": 1}", index=0), [{"index": 1, **FIND}]],
            id="arguments ahead of the name",
        ),
    ],
)  # fmt: skip
def test_calls_come_as_they_were_meant(deltas: list[Any]) -> None:
    """However a provider cuts, counts and repeats them."""
    assert joined(*deltas) == [LOOK, FIND]
    assert joined(*deltas, names=()) == [LOOK, FIND]


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([part("look", '{"at": 1}'), part("look", '{"at": 2}')], [("look", '{"at": 1}'), ("look", '{"at": 2}')]),
        (
            [part("look", '{"at": 1}', index=0), part("look", '{"at": 2}', index=0)],
            [("look", '{"at": 1}'), ("look", '{"at": 2}')],
        ),
        ([part("look", '{"at": 1}') + part("look", '{"at": 1}')], [("look", '{"at": 1}'), ("look", '{"at": 1}')]),
        ([part("look", ""), part("find", "")], [("look", "{}"), ("find", "{}")]),
        ([part("look", "", index=0), part("find", "", index=1)], [("look", "{}"), ("find", "{}")]),
        ([part("look", "", index=0), part("find", "", index=0)], [("look", "{}"), ("find", "{}")]),
        ([part("look", '{"at": 1}', id="x"), part("find", "{}", id="x")], [("look", '{"at": 1}'), ("find", "{}")]),
        ([part("look", '{"a": 1}', id="x", index=0), part("look", '{"a": 2}', id="x", index=1)],
         [("look", '{"a": 1}'), ("look", '{"a": 2}')]),
        ([part("find", "", id="x"), part("_all", "{}", id="x")], [("find_all", "{}")]),
        ([part("find", "", index=0), part("find", "", index=0), part(None, "{}", index=0)], [("find", "{}")]),
    ],
)  # fmt: skip
def test_calls_without_ids_of_their_own_are_told_apart(deltas: list[Any], expected: list[tuple[str, str]]) -> None:
    """By what is complete, and by the names of the tools; each gets an id of its own."""
    found = joined(*deltas)

    assert named(found) == expected
    assert len({call["id"] for call in found}) == len(found)


@pytest.mark.parametrize("arguments", [None, "", " ", {}, "{}"])
def test_no_arguments_are_an_empty_object(arguments: Any) -> None:
    """A client parses them."""
    assert named(joined([{"id": "c", "function": {"name": "look", "arguments": arguments}}])) == [("look", "{}")]


@pytest.mark.parametrize("given", [None, "", 7])
def test_every_call_has_an_id(given: Any) -> None:
    """One that no other call of any conversation has, where the provider gives none."""
    (first,), (second,) = (joined([{"id": given, "function": {"name": "look"}}]) for _ in range(2))

    assert isinstance(first["id"], str)
    assert first["id"]
    assert first["id"] == second["id"] == "7" if given == 7 else first["id"] != second["id"]


def test_further_fields_come_along() -> None:
    """Gemini wants its signatures back, wherever in the stream they stood."""
    signature = {"google": {"thought_signature": "x"}}
    early = joined([{"index": 0, **LOOK, "extra_content": signature}])
    late = joined([{"index": 0, **LOOK}], [{"index": 0, "extra_content": signature}])

    assert early == late == [{**LOOK, "extra_content": signature}]


def test_a_custom_tool_keeps_its_text() -> None:
    """Its input is free text, and no arguments."""
    whole = {"id": "c1", "type": "custom", "custom": {"name": "shell", "input": "ls {"}}
    pieces = [
        [{"index": 0, **whole, "custom": {"name": "shell", "input": "ls "}}],
        [{"index": 0, "custom": {"input": "{"}}],
    ]

    assert merged(passed_on([whole])) == merged(passed_on(*pieces)) == [whole]  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        part(None, "{}", id="c1"),
        part("", "{}", id="c1"),
        [{"id": "c1", "type": "function", "function": None}],
        [LOOK, {"index": 7, "function": {"arguments": '{"x": 1}'}}],
        "look()",
        7,
        [["look"]],
        part(7, "{}"),
        part("look", 7),
        part("look", True),
    ],
)
def test_what_is_no_call_is_a_failure(given: Any) -> None:
    """Nobody could call it; it is not passed on in the hope that somebody can."""
    with pytest.raises(ProviderFailed, match="tool call"):
        joined(given)


def test_a_whole_name_is_passed_on_at_once() -> None:
    """A reader shows which tool is called while its arguments come; a name that may go on waits."""
    head = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}
    assert passed_on(part("look", "", index=0, id="c1"), part(None, "{}", index=0)) == [
        [head],
        [],
        part(None, "{}", index=0),
    ]
    assert passed_on(part("find", "", index=0, id="c1"))[0] == []  # fmt: skip


NAMED = st.sampled_from(["a", "aa", "ab", "b", "find", "find_all", "look", "lookup"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ARGUMENTS = st.dictionaries(st.text(), VALUES, max_size=3).map(lambda value: json.dumps(value, ensure_ascii=False))
CALLS = st.lists(st.tuples(NAMED, ARGUMENTS), min_size=1, max_size=4)


def pieces_of(text: str, cuts: Sequence[int]) -> list[str]:
    """Cut `text` at some places."""
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(places)]


def _openai(number: int, is_first: bool, name: str, arguments: str) -> Message:
    head = {"id": f"c{number}", "type": "function"} if is_first else {}
    return {"index": number, **head, "function": {**({"name": name} if is_first else {}), "arguments": arguments}}


def _repeating(number: int, is_first: bool, name: str, arguments: str) -> Message:  # noqa: ARG001 - a style
    return {"index": number, "id": f"c{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _by_id(number: int, is_first: bool, name: str, arguments: str) -> Message:
    delta = _openai(number, is_first, name, arguments)
    return {**delta, "index": 0, "id": f"c{number}"}


def _unindexed(number: int, is_first: bool, name: str, arguments: str) -> Message:
    delta = _openai(number, is_first, name, arguments)
    del delta["index"]
    return delta


def _as_text(number: int, is_first: bool, name: str, arguments: str) -> Message:
    return {**_openai(number, is_first, name, arguments), "index": str(number + 1)}


@pytest.mark.parametrize("style", [_openai, _repeating, _by_id, _unindexed, _as_text])
@given(calls=CALLS, cuts=st.lists(st.integers(0, 200), max_size=8))
def test_a_message_cut_anywhere_is_the_same(
    style: Callable[[int, bool, str, str], Message], calls: list[tuple[str, str]], cuts: list[int]
) -> None:
    """In every provider's style, one call after the other."""
    deltas = [
        [style(number, at == 0, name, piece)]
        for number, (name, arguments) in enumerate(calls)
        for at, piece in enumerate(pieces_of(arguments, cuts))
    ]

    assert named(joined(*deltas, names=sorted({name for name, _ in calls}))) == calls


@pytest.mark.parametrize("style", [_openai, _repeating, _by_id])
@given(calls=CALLS, cuts=st.lists(st.integers(0, 200), max_size=8), turns=st.randoms(use_true_random=False))
def test_calls_that_come_in_turns_are_the_same(
    style: Callable[[int, bool, str, str], Message], calls: list[tuple[str, str]], cuts: list[int], turns: Any
) -> None:
    """Their pieces mixed at random, each call's own in order."""
    waiting = [
        [[style(number, at == 0, name, piece)] for at, piece in enumerate(pieces_of(arguments, cuts))]
        for number, (name, arguments) in enumerate(calls)
    ]
    deltas = [pieces.pop(0) for pieces in waiting]
    while any(waiting):
        deltas.append(turns.choice([pieces for pieces in waiting if pieces]).pop(0))

    assert named(joined(*deltas)) == calls


@given(name=NAMED, arguments=ARGUMENTS, cut=st.integers(1, 9))
def test_a_name_cut_anywhere_is_whole(name: str, arguments: str, cut: int) -> None:
    """Where the tools are known, also one of which another is the beginning."""
    names = pieces_of(name, [cut])
    deltas = [part(piece, "", index=0, **({"id": "c"} if not at else {})) for at, piece in enumerate(names)]

    assert named(joined(*deltas, part(None, arguments, index=0), names=[name])) == [(name, arguments)]
