"""What is known of a question before anybody is asked: its texts, its tokens, its images."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.messages import IMAGE_TOKENS, image_tokens, question_of, text_of, tokens_at_most
from mollm.transcript import without_tools

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": json.dumps({"x": "y" * 600})}}


def user(content: Any) -> dict[str, Any]:
    """A message of the user."""
    return {"role": "user", "content": content}


def test_the_last_message_of_the_user_is_the_question() -> None:
    """And the one before it says what a follow-up is about, whatever was said in between."""
    found = question_of(
        [user("one"), {"role": "assistant", "content": "x"}, user("two"), {"role": "tool", "content": "7"}]
    )

    assert (found.last, found.before) == ("two", "one")
    assert question_of([user("one")]).before == ""
    assert question_of([{"role": "system", "content": "x"}]).last == ""


def test_the_result_of_a_tool_is_a_question_with_tools() -> None:
    """As is one that offers some."""
    assert question_of([user("x")], tools=[{"type": "function"}]).has_tools
    assert question_of([user("x"), {"role": "tool", "content": "7"}]).has_tools
    assert not question_of([{"role": "tool", "content": "7"}, user("x")]).has_tools


def calling(*names: str, **more: Any) -> dict[str, Any]:
    """An assistant that calls tools."""
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in names]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def result(call_id: str, text: str = "7", **more: Any) -> dict[str, Any]:
    """What a tool returned."""
    return {"role": "tool", "tool_call_id": call_id, "content": text, **more}


@pytest.mark.parametrize("is_agent", [True, False])
@pytest.mark.parametrize(
    ("messages", "is_ours"),
    [
        ([calling("find"), result("find")], True),
        ([calling("find", "read"), result("read"), result("find")], True),
        ([calling("transfer_to_x"), result("transfer_to_x")], False),
        ([calling("find", "transfer_to_x"), result("transfer_to_x"), result("find")], False),
        ([calling("ask"), result("ask", "Successfully transferred to experts")], False),
        ([calling("find", name="scout"), result("find")], False),
        ([result("c1", name="transfer_to_x")], False),
        ([calling("find"), result("find"), {"role": "assistant", "content": "x"}], False),
        ([calling("find")], False),
        ([{"role": "assistant", "function_call": {"name": "find"}}, {"role": "function", "content": "7"}], True),
    ],
    ids=[
        "ours",
        "two",
        "hand-over",
        "beside one",
        "told",
        "another's",
        "no call",
        "answered",
        "no result",
        "old style",
    ],
)
def test_the_result_of_another_agents_tool_is_none_of_ours(
    messages: list[Any], *, is_ours: bool, is_agent: bool
) -> None:
    """Whatever it is, it does not switch the mixture off."""
    assert question_of([user("x"), *messages], is_agent=is_agent).has_tools == is_ours


def test_among_agents_a_result_that_nobody_asked_for_is_no_question_with_tools() -> None:
    """There is no call of ours that it could belong to."""
    assert not question_of([user("x"), result("c1")], is_agent=True).has_tools


SHOWN = [
    calling("find", "transfer_to_x"),
    calling("find", name="ann"),
    result("find", "y" * 99),
    result("zzz"),
    {"role": "assistant", "content": "w" * 50, "name": "bob"},
    {"role": "assistant", "content": "v"},
]


@given(st.lists(st.sampled_from(SHOWN)))
def test_what_is_shown_as_text_is_counted(messages: list[Any]) -> None:
    """The fences around calls, results and answers as well."""
    asked = [user("x" * 99), *messages]

    assert question_of(asked).tokens >= question_of(without_tools(asked)).tokens


@pytest.mark.parametrize(
    ("messages", "options", "least"),
    [
        ([user("x" * 300)], {}, 100),
        ([user([{"type": "text", "text": "x" * 300}])], {}, 100),
        ([{"role": "assistant", "content": None, "tool_calls": [CALL]}, user("x")], {}, 200),
        ([{"role": "assistant", "content": "x", "reasoning_content": "y" * 600}, user("x")], {}, 200),
        ([user([{"type": "input_audio", "input_audio": {"data": "A" * 900}}])], {}, 300),
        ([user("x")], {"tools": [{"type": "function", "function": {"description": "d" * 600}}]}, 200),
        (
            [user("x")],
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"title": "t" * 600}}}},
            200,
        ),
    ],
    ids=["text", "parts", "tool call", "reasoning", "audio", "tools", "schema"],
)
def test_everything_that_is_sent_counts(messages: list[dict[str, Any]], options: dict[str, Any], least: int) -> None:
    """A bound on the cost that leaves out what is sent is none."""
    assert question_of(messages, **options).tokens >= least


def test_images_are_counted_by_number() -> None:
    """Their bytes are no tokens; what one takes is the provider's rule."""
    found = question_of([user([IMAGE, {"type": "text", "text": "abc"}, IMAGE]), user("abc")])

    assert (found.images, found.has_images, found.tokens) == (2, True, 2)
    assert not question_of([user("abc")]).has_images


def test_an_image_takes_what_its_provider_says() -> None:
    """And 2,000 tokens where no rule is known."""
    assert image_tokens("hosted_vllm/Qwen/Qwen2.5-VL") == IMAGE_TOKENS == 2000
    assert image_tokens("openai/gpt-4.1") < image_tokens("anthropic/claude-sonnet-4-5")


@given(st.lists(st.text()))
def test_the_tokens_of_a_conversation_are_bounded_by_its_bytes(texts: list[str]) -> None:
    """No tokenizer in use makes more of them."""
    found = question_of([user(text) for text in texts])

    assert found.tokens == sum(map(tokens_at_most, texts))
    assert found.tokens * 3 >= sum(len(text.encode("utf-8", "replace")) for text in texts)


@pytest.mark.parametrize(
    ("content", "text"),
    [("a", "a"), (None, ""), (["a", {"type": "text", "text": "b"}, IMAGE, {"type": "text"}], "ab"), (7, ""), ([7], "")],
)
def test_text_is_found_in_any_content(content: Any, text: str) -> None:
    """A string, a list of parts, or nothing."""
    assert text_of(content) == text
