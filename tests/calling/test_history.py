"""Messages as they are sent to an LLM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mollm.calling.attempt import ReliableLLM
from mollm.calling.base import Request
from mollm.calling.history import as_sent
from mollm.llms.scripted import ScriptedLLM
from tests.clock import run_virtual

if TYPE_CHECKING:
    from mollm.types import Message

LOOK = {"name": "look"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
SIGNED = {**CALL, "extra_content": {"google": {"thought_signature": "x"}}}


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (
            {"role": "assistant", "content": "x", "tool_calls": [], "refusal": None, "function_call": None},
            {"role": "assistant", "content": "x"},
        ),
        ({"role": "assistant", "content": "x", "tool_calls": None}, {"role": "assistant", "content": "x"}),
        (
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
        ),
        (
            {"role": "assistant", "tool_calls": [CALL], "refusal": None},
            {"role": "assistant", "tool_calls": [CALL], "content": None},
        ),
        ({"role": "assistant", "content": None, "refusal": None}, {"role": "assistant", "content": ""}),
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
        (
            {"role": "assistant", "content": "", "tool_calls": [SIGNED], "reasoning_content": "Hm."},
            {"role": "assistant", "content": "", "tool_calls": [SIGNED], "reasoning_content": "Hm."},
        ),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{**CALL, "function": {**LOOK, "arguments": {"at": 1}}}],
            },
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
        ),
        (
            {"role": "assistant", "content": None, "tool_calls": [{**CALL, "function": {**LOOK, "arguments": None}}]},
            {"role": "assistant", "content": None, "tool_calls": [{**CALL, "function": {**LOOK, "arguments": "{}"}}]},
        ),
        ({"role": "user", "content": "x", "name": None}, {"role": "user", "content": "x"}),
        (
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
        ),
        ({"role": "tool", "content": "", "tool_call_id": "c1"}, {"role": "tool", "content": "", "tool_call_id": "c1"}),
    ],
)
def test_empty_fields_are_left_out(message: Message, sent: Message) -> None:
    """They are what SDKs write where nothing is, and strict servers refuse them. The order of the others stays."""
    (found,) = as_sent([message])

    assert list(found.items()) == list(sent.items())


def test_plain_messages_are_not_touched() -> None:
    """Not even copied."""
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    assert as_sent(messages) is messages


def test_every_call_is_cleaned() -> None:
    """Whatever the client; the caller's own messages stay as they are."""
    given: list[Message] = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "tool_calls": []}]
    fake = ScriptedLLM("yes")

    run_virtual(ReliableLLM("m", fake).complete(Request(given)))

    assert list(fake.requests[0].messages) == [given[0], {"role": "assistant", "content": "y"}]
    assert given[1]["tool_calls"] == []
