"""A conversation that is too long for a window is cut where tools made it long, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mollm.fitting import SHORTENED, cut_to
from mollm.messages import question_of
from mollm.transcript import without_tools

if TYPE_CHECKING:
    from mollm.types import Message


def conversation(results: list[str], arguments: str = "{}") -> list[Message]:
    """The user asks, and a tool is called once for each of the results."""
    found: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why does it fail?"},
    ]
    for number, result in enumerate(results):
        call = {"id": f"c{number}", "type": "function", "function": {"name": "read", "arguments": arguments}}
        found += [
            {"role": "assistant", "content": f"Step {number}.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": result},
        ]
    return found


WIDE = ["\xeb\x94r\xb4\x08", "\U0010ca825(", "\xec\x9e\U00011e48\U0010f954j?f\U000db466\xec\r\x7f\xba\U000ad08b~"]


@given(st.lists(st.text(max_size=300), max_size=6), st.text(max_size=200), st.integers(0, 900))
@example([*WIDE, WIDE[1], "", ""], "\U00011533\xde\U000a1898Y\U0004de28", 262)  # shorter than the mark of a cut
def test_it_fits_or_nothing_more_can_be_cut(results: list[str], arguments: str, room: int) -> None:
    """What was said stays whole, and what has room is the conversation as it is."""
    messages = conversation(results, arguments)

    cut, whole = cut_to(messages, room), without_tools(messages)

    if question_of(whole).tokens <= room:
        assert cut == whole
    least = cut_to(conversation(["cut away"] * len(results), "cut away"), 0)
    # Each text is cut at a whole character, so what is left of it may be a byte more than its share.
    assert question_of(cut).tokens <= max(room, question_of(least).tokens + 1 + len(results))
    assert all(f"Step {number}." in str(cut) for number in range(len(results)))
    assert [m["role"] for m in cut] == [m["role"] for m in whole]


def test_short_results_stay_whole_beside_long_ones() -> None:
    """Each gets the same share of the room, and what a short one leaves goes to the others."""
    cut = str(cut_to(conversation(["x" * 60_000, "the port is 8080", "y" * 60_000]), 4000))

    assert "the port is 8080" in cut
    assert cut.count(SHORTENED) == 2
    assert abs(cut.count("x") - cut.count("y")) < 10
    assert len(cut) > 11_000


@pytest.mark.parametrize(
    "result",
    [
        [{"type": "text", "text": "x" * 9000}],
        [{"type": "text", "text": "x" * 9000, "cache_control": {"type": "ephemeral"}}],
        ["x" * 9000],
        "x" * 9000,
        "\u4e2d" * 3000,
    ],
    ids=["part", "marked part", "string in a list", "string", "Chinese"],
)
def test_a_result_is_cut_however_it_is_written(result: Any) -> None:
    """As a text or as parts of one."""
    cut = cut_to(conversation([result]), 500)

    assert 300 < question_of(cut).tokens <= 500
    assert SHORTENED in str(cut)


def test_arguments_are_cut_as_well() -> None:
    """A program that writes a file sends the file."""
    messages = conversation(["written"], '{"text": "' + "x" * 9000 + '"}')

    assert question_of(cut_to(messages, 500)).tokens <= 500
    custom = {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "x" * 9000}}
    messages[2] = {"role": "assistant", "content": None, "tool_calls": [custom]}
    assert question_of(cut_to(messages, 500)).tokens <= 500
